"""Training on a few images of one's own."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from command_line import held_elsewhere
from digitspot import finetune, verdict
from digitspot.cli import run
from digitspot.dataset.seen import Seen
from digitspot.dataset.splits import open_split
from digitspot.detector import export
from digitspot.detector.export import Stored, export_onnx
from digitspot.detector.trained import load_model, save_model
from digitspot.errors import CheckpointError, ConfigError, DataError
from digitspot.evaluation.intervals import Interval
from digitspot.finetune import prepare_start
from digitspot.labels.coco import labels_path_of, read_labels
from digitspot.model_file import BEST
from digitspot.reader import Reader
from digitspot.reading import LookSettings
from digitspot.verdict import Verdict


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finetune, "NUM_GENERATED", 20)
    monkeypatch.setattr(finetune, "MIN_SEEN", 200)
    monkeypatch.setattr(finetune, "SEEN_PER_IMAGE", 1)


@pytest.fixture
def own(tmp_path: Path, small_data: Path) -> Path:
    """A data set without `valid`."""
    folder = tmp_path / "own"
    shutil.copytree(small_data / "train", folder / "train")
    shutil.copy(small_data / "train.json", folder)
    return folder


@pytest.mark.parametrize("store", ["fp32", "fp16", "w8"])
def test_what_is_exported_can_be_trained_on(
    nano_run: Path, tmp_path: Path, store: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of the small network count as large, too."""
    monkeypatch.setattr(export, "MIN_BYTES", export.MIN_HALVED)
    model, path = load_model(nano_run), tmp_path / "model.onnx"
    export_onnx(model.detector, model.info, path, store=store)
    again = load_model(path)
    assert again.config == model.config
    for name, weight in model.detector.state_dict().items():
        if "num_batches_tracked" not in name:
            np.testing.assert_allclose(
                again.detector.state_dict()[name],
                weight,
                rtol=1e-3 if store == "fp16" else 0,
                atol=1e-4 if store != "w8" else 0.01,
            )


def test_what_is_exported_in_8_bits_cannot(nano_int8: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be trained on"):
        load_model(nano_int8)


def test_images_are_held_out_and_stay_so(own: Path, tmp_path: Path, nano_run: Path) -> None:
    start = prepare_start(own, tmp_path / "run", str(nano_run))
    train, valid = (read_labels(labels_path_of(start.data, name)) for name in ("train", "valid"))
    every = read_labels(own / "train.json")
    names = [{each.file_name for each in labels.images} for labels in (train, valid, every)]
    assert names[0] | names[1] == names[2]
    assert not names[0] & names[1]
    assert 0 < len(valid) <= 0.3 * len(every)
    again = prepare_start(own, tmp_path / "run", str(nano_run))
    assert again == start


def test_settings_follow_the_data(own: Path, small_data: Path, tmp_path: Path, nano_run: Path) -> None:
    base = load_model(nano_run).config
    start = prepare_start(small_data, tmp_path / "run", str(nano_run))
    assert start.data == small_data
    assert start.config.model == replace(base.model, weights=str(nano_run), trainable_stages=2)
    assert start.config.input == base.input, "its digits are large enough"
    assert start.config.data.also[-1].endswith("mixed-20")
    num = len(read_labels(small_data / "train.json"))
    epoch = num * len(start.config.data.also) + 20
    assert abs(start.config.train.epochs * epoch - 200) <= epoch / 2 or start.config.train.epochs == 2


def test_the_input_is_larger_where_digits_would_be_too_small(
    small_data: Path, tmp_path: Path, nano_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "MIN_DIGIT", 1_000.0)
    base = load_model(nano_run).config.input
    now = prepare_start(small_data, tmp_path / "run", str(nano_run)).config.input
    most = finetune.MAX_ENLARGED * base.short_side
    assert most <= now.short_side < most + base.multiple
    assert now.short_side % base.multiple == now.long_side % base.multiple == 0


def test_the_reader_is_told_the_lengths_of_few_numbers(
    small_data: Path, tmp_path: Path, nano_run: Path
) -> None:
    model, base, trained = load_model(nano_run), tmp_path / "base.pt", tmp_path / "trained"
    save_model(replace(model, reading=replace(model.reading, lengths=(0.1, *[0.15] * 6))), base)
    shutil.copytree(nano_run, trained)
    finetune.inherit(trained, str(base), small_data)
    numbers = [each.number for each in read_labels(small_data / "train.json").images]
    assert load_model(trained).reading == load_model(base).reading.for_lengths_of(numbers)
    assert load_model(trained).reading != load_model(base).reading


def test_a_reader_that_is_fitted_anew_looks_as_often_as_before(
    small_data: Path, tmp_path: Path, nano_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_valid = len(read_labels(small_data / "valid.json"))
    model, base = load_model(nano_run), tmp_path / "base.pt"
    for margins, enough_images, expected in (((1.0, 0.3), True, 3), ((1.0, 0.3), False, 1), (None, True, 1)):
        looks = LookSettings(short_sides=(64, 80, 48), margins=margins)
        save_model(replace(model, reading=replace(model.reading, looks=looks)), base)
        monkeypatch.setattr(finetune, "MIN_FITTED", num_valid + (not enough_images))
        run = tmp_path / f"run-{margins}-{enough_images}"
        assert prepare_start(small_data, run, str(base)).config.train.looks == expected


def test_a_model_with_a_larger_input_looks_at_larger_images(
    small_data: Path, tmp_path: Path, nano_run: Path
) -> None:
    model, base, trained = load_model(nano_run), tmp_path / "base.pt", tmp_path / "trained"
    looks = LookSettings(short_sides=(64, 80), margins=(1.0, 0.3))
    save_model(replace(model, reading=replace(model.reading, looks=looks)), base)
    shutil.copytree(nano_run, trained)
    larger = replace(model.config.input, short_side=3 * model.config.input.short_side // 2)
    save_model(replace(model, config=replace(model.config, input=larger)), trained / BEST)
    finetune.inherit(trained, str(base), small_data)
    assert load_model(trained).reading.looks == replace(looks, short_sides=(96, 120))


def test_the_whole_backbone_learns_from_many_images(
    small_data: Path, tmp_path: Path, nano_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "FEW", len(read_labels(small_data / "train.json")))
    assert prepare_start(small_data, tmp_path / "run", str(nano_run)).config.model.trainable_stages is None


def test_generated_images_can_be_left_out(small_data: Path, tmp_path: Path, nano_run: Path) -> None:
    start = prepare_start(small_data, tmp_path / "run", str(nano_run), num_generated=0)
    assert start.config.data.also == ()
    assert not (tmp_path / "cache" / "generated").exists()


@pytest.mark.parametrize("options", [["recipe.yaml", "--generated", "0"], ["--generated", "-1"]])
def test_generated_images_that_cannot_be(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *options, "--data", "data"]) == 2
    assert "0 or more, and no recipe" in capsys.readouterr().err


def test_precision_is_what_this_machine_is_fast_with(own: Path, tmp_path: Path, nano_run: Path) -> None:
    """The model may come from a machine that multiplies in bf16."""
    model = load_model(nano_run)
    config = replace(model.config, train=replace(model.config.train, precision="bf16"))
    save_model(replace(model, config=config), tmp_path / "base.pt")
    start = prepare_start(own, tmp_path / "run", str(tmp_path / "base.pt"))
    assert start.config.train.precision == "auto"


def test_valid_of_another_kind_is_not_used(
    own: Path, tmp_path: Path, nano_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A `valid` of whole photographs beside a `train` of windows would choose the worst model."""
    shutil.copytree(own / "train", own / "valid")
    document = json.loads((own / "train.json").read_text())
    for annotation in document["annotations"]:
        annotation["bbox"] = [value / 4 for value in annotation["bbox"]]
    (own / "valid.json").write_text(json.dumps(document))
    start = prepare_start(own, tmp_path / "run", str(nano_run))
    assert start.data == tmp_path / "run" / "data"
    assert "it is not used" in capsys.readouterr().err


def test_the_command_trains_and_judges(
    own: Path, tmp_path: Path, nano_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, base = tmp_path / "run", str(nano_run)
    options = ["--data", str(own), "--output", str(output), "--start", base]
    small = ["--train.epochs", "1", "--train.validate-every-epochs", "1", "--data.workers", "0"]
    assert run(["train", *options, *small]) == 0
    told = capsys.readouterr().err.replace("\n", " ")
    assert "held-out images" in told
    assert "too weak to use" in told
    assert Reader.load(output).settings == Reader.load(base).settings, "too few images to fit a reader to"
    assert run(["train", "--resume", str(output)]) == 0
    again = capsys.readouterr().err.partition("began with: digitspot ")[2].replace("\n", " ").strip()
    assert run(shlex.split(again)) == 0
    assert "held-out images" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("low", "high", "now", "sentence"),
    [
        (0.2, 0.6, 0.9, None),
        (-0.1, 0.3, 0.9, "can be chance"),
        (-0.5, -0.1, 0.9, "keep general"),
        (0.2, 0.6, 0.4, "too weak"),
    ],
)
def test_verdicts(low: float, high: float, now: float, sentence: str | None) -> None:
    gain = Interval(value=(low + high) / 2, low=low, high=high, level=0.95)
    told = Verdict(images=20, before=0.4, now=now, gain=gain).sentences("general")
    assert "on 20 held-out images" in told[0]
    assert len(told) == (1 if sentence is None else 2)
    assert sentence is None or sentence in told[1]


def _verdict(low: float, high: float) -> Verdict:
    gain = Interval(value=(low + high) / 2, low=low, high=high, level=0.95)
    return Verdict(images=40, before=0.5, now=0.6, gain=gain)


@pytest.mark.parametrize(
    ("own_gain", "older_gain", "kept"),
    [((0.1, 0.3), (-0.1, 0.1), True), ((-0.1, 0.3), (0, 0), False), ((0.1, 0.3), (-0.3, -0.1), False)],
    ids=["better", "perhaps", "forgets"],
)
def test_improve_replaces_a_model_only_by_a_better_one(
    own: Path,
    small_data: Path,
    tmp_path: Path,
    nano_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_gain: tuple[float, float],
    older_gain: tuple[float, float],
    kept: bool,
) -> None:
    """The verdicts are given; the training and the files are real."""
    mine = tmp_path / "mine.onnx"
    model = load_model(nano_run)
    export_onnx(model.detector, model.info, mine)
    before = mine.read_bytes()
    monkeypatch.setattr(
        verdict, "judge", lambda run, base, data: _verdict(*(older_gain if data == small_data else own_gain))
    )
    assert run(["improve", str(own), "--model", str(mine), "--also", str(small_data)]) == 0
    assert (mine.read_bytes() != before) == kept
    assert (tmp_path / "mine-unproven.onnx").exists() != kept
    assert not (tmp_path / ".mine-improving").exists()


def test_improve_needs_a_file_to_write(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["improve", str(own)]) == 2
    assert "--output FILE.onnx" in capsys.readouterr().err


def test_what_a_model_has_seen_is_not_held_out(own: Path, tmp_path: Path, nano_run: Path) -> None:
    """An improved model goes on with the labels that it was trained on, and new ones."""
    model, train = load_model(nano_run), read_labels(own / "train.json")
    first = prepare_start(own, tmp_path / "first", str(nano_run))
    trained_on = read_labels(labels_path_of(first.data, "train"))
    seen = Seen.of(open_split(first.data, "train", first.config.data))
    save_model(replace(model, seen=seen), tmp_path / "base.pt")
    again = prepare_start(own, tmp_path / "again", str(tmp_path / "base.pt"))
    valid = {each.file_name for each in read_labels(labels_path_of(again.data, "valid")).images}
    assert valid
    assert not valid & {each.file_name for each in trained_on.images}
    save_model(
        replace(model, seen=Seen.of(open_split(own, "train", first.config.data))), tmp_path / "base.pt"
    )
    with pytest.raises(DataError, match=f"has {len(train)} images, 0 of them new to the model"):
        prepare_start(own, tmp_path / "none", str(tmp_path / "base.pt"))


def test_a_run_folder_is_of_one_data_set(own: Path, small_data: Path, tmp_path: Path, nano_run: Path) -> None:
    output = tmp_path / "run"
    start = prepare_start(own, output, str(nano_run))
    (output / "metrics.jsonl").write_text("")
    assert prepare_start(own, output, str(nano_run)).data == start.data
    with pytest.raises(ConfigError, match="on other labels"):
        prepare_start(small_data, output, str(nano_run))
    for other in ({"num_generated": 3}, {"more": [small_data]}, {"flags": ["--train.epochs", "3"]}):
        with pytest.raises(ConfigError, match="or with other settings"):
            prepare_start(own, output, str(nano_run), **other)  # type: ignore[arg-type]
    labels = json.loads((own / "train.json").read_text())
    labels["images"].pop()
    kept = {image["id"] for image in labels["images"]}
    labels["annotations"] = [each for each in labels["annotations"] if each["image_id"] in kept]
    (own / "train.json").write_text(json.dumps(labels))
    with pytest.raises(ConfigError, match="on other labels"):
        prepare_start(own, output, str(nano_run))


def test_one_process_improves_a_model_at_a_time(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held_elsewhere(tmp_path / ".mine-improving.lock"):
        assert run(["improve", str(own), "--output", str(tmp_path / "mine.onnx")]) == 2
    assert "another `digitspot improve`" in capsys.readouterr().err


def test_improve_leaves_what_is_not_its_own(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / ".mine-improving"
    mine.mkdir()
    (mine / "photo.jpg").write_bytes(b"")
    assert run(["improve", str(own), "--output", str(tmp_path / "mine.onnx")]) == 2
    assert "is in the way" in capsys.readouterr().err
    assert (mine / "photo.jpg").exists()
