"""The loop's rules: early stopping, plateaus, the best model, a loss that is no number."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import digitspot
from digitspot.calibrate import calibrate_model
from digitspot.config import Config, ScheduleConfig, load_recipe
from digitspot.config.checks import check_config
from digitspot.detector.trained import load_model, save_model
from digitspot.errors import CheckpointError, ConfigError, DataError
from digitspot.labels.coco import read_labels, write_labels
from digitspot.labels.labels import CategoryMap
from digitspot.reader import Reader
from digitspot.runtime.torch_runtime import pick_precision
from digitspot.synth.cached import generated_set
from digitspot.training.checkpoint import load_training, stored_config
from digitspot.training.learner import NonFiniteLossError
from digitspot.training.run import _drop_later_metrics, resume_training, start_training
from digitspot.training.runlog import Run
from digitspot.training.state import TrainState


@pytest.fixture
def config(small_recipe: Path) -> Config:
    config = load_recipe(small_recipe)
    return replace(config, data=replace(config.data, workers=0))


def test_a_rate_too_small_to_learn_stops_early_and_halves_on_plateaus(
    config: Config, small_data: Path, tmp_path: Path
) -> None:
    """With a rate of 1e-30 no validation improves on the first, so both rules must act."""
    still = replace(
        config,
        optimizer=replace(config.optimizer, lr=1e-30),
        schedule=ScheduleConfig(kind="plateau", warmup_steps=0, plateau_floor=0.0),
        train=replace(config.train, epochs=30, early_stopping=3, ema_decay=0.0),
        model=replace(config.model, batch_norm="frozen"),
    )
    run = start_training(still, small_data, tmp_path / "run")
    place = load_training(run.last)["state"]
    assert place["epoch"] == 4
    assert place["waited"] == 3
    assert place["plateau"]["scale"] == 0.5**3
    assert load_model(run.path).scores["epoch"] == 1


def test_the_finished_model_looks_as_often_as_asked(config: Config, small_data: Path, tmp_path: Path) -> None:
    """Also after the end, where the process was killed before; and as `digitspot calibrate` would have it."""
    looking = replace(config, train=replace(config.train, epochs=1, looks=2))
    run = start_training(looking, small_data, tmp_path / "run")
    model = load_model(run.path)
    expected = calibrate_model(run.path, small_data / "valid.json", num_looks=2)
    (looks, weights), (expected_looks, expected_weights) = (
        (each.looks, each.weights) for each in (model.reading, expected)
    )
    assert looks is not None
    assert expected_looks is not None
    assert looks.number_weights == pytest.approx(expected_looks.number_weights, abs=1e-3)
    assert looks == replace(expected_looks, weights=looks.weights, number_weights=looks.number_weights)
    assert weights == pytest.approx(expected_weights, abs=1e-3)
    save_model(replace(model, reading=replace(model.reading, looks=None)), run.best)
    resume_training(run.path)
    assert load_model(run.path).reading == model.reading
    before = run.best.stat().st_mtime_ns
    resume_training(run.path)
    assert run.best.stat().st_mtime_ns == before, "it is fitted once"


def test_generated_images_are_made_once_and_trained_on(
    config: Config, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))
    more = replace(
        config,
        data=replace(config.data, also=("generated:empty:8",), pack_root=str(tmp_path / "packs")),
        train=replace(config.train, epochs=1),
    )
    made = tmp_path / "cache" / "generated" / "empty-8"
    with pytest.raises(DataError, match="no such folder"):
        start_training(more, tmp_path / "nothing", tmp_path / "run")
    assert not made.exists(), "the data set is looked at first"
    run = start_training(more, small_data, tmp_path / "run")
    num = len(read_labels(small_data / "train.json"))
    assert load_training(run.last)["state"]["images_seen"] == num + 8
    assert stored_config(run.last).data.also == (str(made),)
    before = made.stat().st_mtime_ns
    start_training(more, small_data, tmp_path / "again")
    assert made.stat().st_mtime_ns == before
    assert generated_set("generated:empty:8") == made


@pytest.mark.parametrize(
    "name", ["generated:empty", "generated:empty:0", "generated:nothing:3", "generated:"]
)
def test_no_such_images_are_generated(name: str, config: Config, small_data: Path, tmp_path: Path) -> None:
    more = replace(config, data=replace(config.data, also=(name,)))
    with pytest.raises(ConfigError, match=r"generated data set|no domain"):
        start_training(more, small_data, tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_best_model_is_the_best_validation(config: Config, small_data: Path, tmp_path: Path) -> None:
    run = start_training(config, small_data, tmp_path / "run")
    rows = [row for row in run.metrics() if row["kind"] == "valid"]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    means = [(row["accuracy"] + row["zoomed_accuracy"]) / 2 for row in rows]
    model = load_model(run.path)
    assert model.scores["epoch"] == 1 + int(np.argmax(means))
    best = rows[int(np.argmax(means))]
    assert model.scores["map"] == pytest.approx(best["map"], abs=1e-5)
    names = {path.name for path in run.path.iterdir()}
    assert names == {"best.pt", "last.pt", "config.yaml", "environment.json", "metrics.jsonl"}
    precision: Any = pick_precision(config.train.precision, torch.device("cpu"))
    resolved = replace(config, train=replace(config.train, precision=precision))
    assert load_recipe(run.path / "config.yaml") == resolved, "a resumed run computes as it began"
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    assert environment["seed"] == config.train.seed


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(
    config: Config, small_data: Path, tmp_path: Path
) -> None:
    wild = replace(
        config,
        optimizer=replace(config.optimizer, name="sgd", lr=1e30, clip_norm=0.0),
        schedule=ScheduleConfig(kind="constant", warmup_steps=8),
        train=replace(config.train, checkpoint_every_seconds=0.0, precision="fp32"),
    )
    run = Run(tmp_path / "run")
    with pytest.raises(NonFiniteLossError, match=r"the (loss|gradient) is (nan|-?inf) on the images \d"):
        start_training(wild, small_data, run.path)
    saved = load_training(run.last)["learner"]["model"]
    assert all(torch.isfinite(value).all() for value in saved.values())


def test_category_ids_come_back_as_they_were(config: Config, small_data: Path, tmp_path: Path) -> None:
    """Labels in which 10 is the digit 0, as SVHN's own: the answers use the same ids."""
    data = tmp_path / "data"
    for name in ("train", "valid"):
        labels = read_labels(small_data / f"{name}.json")
        write_labels(replace(labels, categories=CategoryMap((10, *range(1, 10)))), data / f"{name}.json")
        (data / name).symlink_to(small_data / name)
    short = replace(config, train=replace(config.train, epochs=1))
    output = digitspot.train(short, data=data, output=tmp_path / "run")
    assert Reader.load(output).categories.id_of(1) == 10


def parts_of(config: Config, **data: Any) -> Config:
    return replace(config, data=replace(config.data, **{"strategy": "parts", "parts": 3, **data}))


def test_records_of_parts_say_their_cycle_and_what_is_unseen(
    config: Config, small_data: Path, tmp_path: Path
) -> None:
    train = replace(config.train, epochs=2, score_parts=True)
    run = start_training(
        replace(parts_of(config, part_order="once", hold_out=True), train=train), small_data, tmp_path / "run"
    )
    rows = run.metrics()
    kinds = [(row["kind"], row["cycle"], row.get("part")) for row in rows]
    assert kinds == [
        ("part", 1, 1), ("round", 1, 1), ("part", 1, 2), ("round", 1, 2),
        ("held_out", 1, 0), ("valid", 1, None),
        ("part", 2, 0), ("round", 2, 0), ("part", 2, 2), ("round", 2, 2),
        ("held_out", 2, 1), ("valid", 2, None),
    ]  # fmt: skip
    for row in rows:
        if row["kind"] in ("part", "held_out"):
            assert row["unseen"] == (row["cycle"] == 1)
            assert row["loss"] > 0
            assert 0 <= row["map"] <= 1
            assert 0 <= row["accuracy"] <= 1
        if row["kind"] == "valid":
            assert row["valid_loss"] > 0
            assert row["of"] == "valid"
        if row["kind"] == "round":
            assert row["wait_seconds"] >= 0
            assert row["longest_wait_seconds"] >= row["usual_wait_seconds"] >= 0


def test_a_plateau_of_parts_counts_rounds(config: Config, small_data: Path, tmp_path: Path) -> None:
    """At a rate of 1e-30 the loss is chance: four rounds in a row above all before stop within a cycle."""
    still = replace(
        parts_of(config),
        optimizer=replace(config.optimizer, lr=1e-30),
        schedule=ScheduleConfig(
            kind="plateau",
            warmup_steps=0,
            plateau_floor=0.0,
            plateau_compare="round",
            plateau_first_cycle=True,
        ),
        train=replace(config.train, epochs=60, early_stopping=4, ema_decay=0.0),
    )
    run = start_training(still, small_data, tmp_path / "run")
    place = load_training(run.last)["state"]
    losses = [loss for _, loss in place["plateau"]["rounds"]]
    worse = [loss >= min(losses[:i]) for i, loss in enumerate(losses) if i]
    assert place["waited"] == 4
    assert worse[-4:] == [True] * 4
    assert place["plateau"]["scale"] == 0.5 ** sum(worse)
    assert place["epoch"] == (len(losses) - 1) // 3 < 60
    assert [row["step"] for row in run.metrics() if row["kind"] == "valid"][-1] == place["step"]


@pytest.mark.parametrize(("share", "untouched"), [(0.25, 2), (0.0, 0)])
def test_merged_validation(
    share: float, untouched: int, config: Config, small_data: Path, tmp_path: Path
) -> None:
    """24 + 8 images: what is not kept untouched is trained on, and only what is kept is validated on."""
    merged = parts_of(config, parts=2, merge_valid=True, untouched_fraction=share)
    merged = replace(merged, train=replace(merged.train, epochs=1, batch_size=1, score_parts=True))
    run = start_training(merged, small_data, tmp_path / "run")
    rows = run.metrics()
    assert load_training(run.last)["state"]["images_seen"] == 32 - untouched
    validations = [row for row in rows if row["kind"] == "valid"]
    assert [row["of"] for row in validations] == ["untouched slice of valid"] * (untouched > 0)
    model = load_model(run.path)
    labels = read_labels(small_data / "valid.json", clip=False)
    assert len(model.seen.among(labels)) == 8 - untouched
    if untouched:
        assert model.scores["map"] == pytest.approx(validations[0]["map"], abs=1e-5)
    else:
        assert set(model.scores) == {"epoch"}


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("train", {"epochs": 0}, "train.epochs is 0"),
        ("train", {"seed": -1}, "train.seed is -1"),
        ("train", {"batch_size": 0}, "train.batch_size is 0"),
        ("data", {"workers": -1}, "data.workers is -1, must be from 0 to 256"),
        ("data", {"parts": 0}, "data.parts is 0"),
        ("data", {"hold_out": True}, "data.hold_out True has no effect, since data.strategy is"),
        ("data", {"strategy": "parts", "hold_out": True}, "since data.part_order is each_cycle"),
        ("data", {"merge_valid": True, "untouched_fraction": 0.0}, "leaves nothing to validate on"),
        ("data", {"also_epochs": 2}, "data.also_epochs 2 has no effect, since data.also is"),
        ("train", {"looks": 5}, "train.looks is 5, must be from 1 to 4"),
        ("train", {"score_parts": True}, "score_parts True has no effect, since data.strategy is"),
        ("input", {"long_side": 0}, "input.long_side is 0, must be from 1"),
        ("train", {"ema_decay": 1.5}, "train.ema_decay is 1.5"),
        ("train", {"max_updates": 0}, "train.max_updates is 0"),
        ("model", {"anchor_ratios": (1.0, 0.0)}, "model.anchor_ratios"),
        ("schedule", {"decay_fraction": 1.0}, "schedule.decay_fraction is 1.0"),
        ("optimizer", {"lr": 0.0}, "optimizer.lr is 0.0"),
        ("optimizer", {"lr": float("nan")}, "optimizer.lr is nan"),
        ("input", {"train_short_sides": (64, 0)}, "train_short_sides"),
        ("schedule", {"kind": "cosine", "branch_epochs": (2,)}, "schedule.kind is cosine"),
        ("schedule", {"kind": "wsd", "branch_epochs": (9,)}, "below train.epochs"),
    ],
)
def test_settings_that_cannot_be_trained(
    section: str, change: dict[str, object], message: str, config: Config
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(replace(config, **{section: replace(getattr(config, section), **change)}))


def test_a_trunk_that_may_stop_early_has_no_branches(config: Config) -> None:
    both = replace(
        config,
        schedule=replace(config.schedule, kind="wsd", branch_epochs=(2,)),
        train=replace(config.train, early_stopping=1),
    )
    with pytest.raises(ConfigError, match="early_stopping is 1"):
        check_config(both)


def test_a_training_on_other_labels_is_not_gone_on_with(
    config: Config, small_data: Path, tmp_path: Path
) -> None:
    """Its updates would be of other images, and what it had seen forgotten."""
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    start_training(replace(config, train=replace(config.train, max_updates=1)), data, tmp_path / "run")
    labels = read_labels(data / "train.json", clip=False)
    write_labels(labels.with_images(labels.images[1:]), data / "train.json")
    with pytest.raises(CheckpointError, match=r"labels that .* trains on have changed"):
        resume_training(tmp_path / "run")
    write_labels(labels, data / "train.json")
    resume_training(tmp_path / "run")


def test_the_validation_of_a_stop_within_an_epoch_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for kind, step in (("valid", 7), ("train", 7), ("valid", 8)):
        run.log({"kind": kind, "step": step})
    _drop_later_metrics(run, TrainState(step=7, update=3, validated=7))
    assert [(each["kind"], each["step"]) for each in run.metrics()] == [("valid", 7), ("train", 7)]
    _drop_later_metrics(run, TrainState(step=7, update=3, validated=4))
    assert [each["kind"] for each in run.metrics()] == ["train"]
