"""From a budget to a layout that keeps it, and batches in pieces that add up to the same update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from command_line import command, environment
from digitspot.config import Config, TrainConfig, load_recipe
from digitspot.dataset.sampler import BatchPlan
from digitspot.dataset.splits import open_training
from digitspot.errors import MemoryBudgetError
from digitspot.training import budget, memory
from digitspot.training.budget import bytes_at, fit_to_budget, images_within, loader_bytes, measure_pixels
from digitspot.training.checkpoint import load_training
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch, TrainingBatches, largest_part, plan_batches
from digitspot.training.memory import can_measure, status_bytes
from digitspot.training.rehearsal import Trial
from digitspot.training.run import resume_training, start_training
from digitspot.training.runlog import Run

MIB = 2**20
TRIALS = [Trial(1, 100), Trial(2, 150), Trial(4, 250)]
needs_linux = pytest.mark.skipif(not can_measure(), reason="needs /proc/self/smaps_rollup")


@pytest.mark.parametrize(
    ("images", "expected", "reason"),
    [(1, 100, "tried"), (3, 200, "between"), (4, 250, "the last"), (6, 350, "beyond, on the last line")],
)
def test_bytes_at(images: float, expected: float, reason: str) -> None:
    assert bytes_at(TRIALS, images) == pytest.approx(expected), reason


@pytest.mark.parametrize(
    ("room", "expected", "reason"),
    [
        (99, 0, "not one"),
        (100, 1, "one"),
        (199, 2, "two"),
        (200, 3, "three"),
        (300, 5, "more than were tried, on the last line"),
        (9999, 6, "as many as there may be"),
    ],
)
def test_images_within(room: float, expected: float, reason: str) -> None:
    assert images_within(TRIALS, room, 6) == expected, reason


@pytest.fixture
def config(small_recipe: Path) -> Config:
    config = load_recipe(small_recipe)
    return replace(config, data=replace(config.data, strategy="parts", parts=2, workers=2, read_ahead=2))


def test_measured_pixels_are_those_of_the_batches(config: Config, small_data: Path) -> None:
    still = replace(config, augment=replace(config.augment, preset="none"))
    samples = open_training(small_data, still).samples
    batches = TrainingBatches(samples, still)
    made = [batches[batch].images for batch in plan_batches(samples, still).epoch(0)]
    pixels = measure_pixels(still, samples)
    assert pixels.largest == max(images[:, 0].numel() for images in made)
    assert pixels.each >= max(images[0, 0].numel() for images in made)


@needs_linux
@pytest.mark.parametrize(
    ("room_mib", "workers", "read_ahead", "whole", "reason"),
    [
        (2000, 2, 2, True, "enough for all"),
        (150, 1, 1, True, "workers and read-ahead are given up first"),
        (101, 0, 1, True, "and all of the workers"),
        (50, 0, 1, False, "then batches are cut"),
    ],
)
def test_what_is_given_up(
    room_mib: int,
    workers: int,
    read_ahead: int,
    whole: bool,
    reason: str,
    config: Config,
    small_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch of four takes 80 MiB, an image 20: the room is beside what this process has already."""
    monkeypatch.setattr(budget, "rehearse", lambda *_, **__: [Trial(n, 20 * n * MIB) for n in (1, 2, 4)])
    samples = open_training(small_data, config).samples
    size = int((status_bytes("VmRSS") + room_mib * MIB) / (1 - budget.RESERVE))
    fitted = fit_to_budget(replace(config, train=replace(config.train, memory_budget=str(size))), samples)
    assert (fitted.data.workers, fitted.data.read_ahead) == (workers, read_ahead), reason
    pixels = measure_pixels(config, samples)
    assert (fitted.train.max_batch_pixels or 0) <= 4 * pixels.each
    assert ((fitted.train.max_batch_pixels or 0) >= pixels.typical) == whole, reason
    assert loader_bytes(fitted, samples, pixels) < room_mib * MIB


@needs_linux
def test_too_small_a_budget_says_the_least(config: Config, small_data: Path, tmp_path: Path) -> None:
    small = replace(config, train=replace(config.train, memory_budget="100MiB"))
    with pytest.raises(MemoryBudgetError, match="100 MiB does not suffice") as raised:
        start_training(small, small_data, tmp_path / "run")
    assert raised.value.exit_code == 6
    assert not (tmp_path / "run").exists()
    least = int((raised.value.hint or "").split(" MiB")[0].split()[-1])
    assert 150 < least < 4000


@needs_linux
def test_the_guard_saves_and_a_larger_budget_goes_on(
    config: Config, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(config, data=replace(config.data, workers=0), train=replace(config.train, epochs=1))
    monkeypatch.setattr("digitspot.training.run.fit_to_budget", lambda config, *_: config)
    tight = replace(short, train=replace(short.train, memory_budget="100MiB"))
    with pytest.raises(MemoryBudgetError, match=r"of 100 MiB are used: stopped, saved at update 1 of 6"):
        start_training(tight, small_data, tmp_path / "run")
    run = resume_training(tmp_path / "run", memory_budget="64GiB")
    whole = start_training(short, small_data, tmp_path / "whole")
    first, second = (torch.load(each.last, weights_only=True)["learner"]["model"] for each in (run, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def scored(
    small_recipe: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, Run]:
    """A training that scores its parts and one left out: each cycle ends with two evaluations in a row."""
    config = load_recipe(small_recipe)
    data = replace(config.data, strategy="parts", parts=3, part_order="once", hold_out=True, workers=0)
    model = replace(config.model, preset="nano", nano_widths=(8, 16, 24, 32))
    train = replace(config.train, epochs=2, score_parts=True)
    config = replace(config, data=data, model=model, train=train)
    return config, start_training(config, small_data, tmp_path_factory.mktemp("scored") / "run")


@pytest.mark.parametrize(
    ("looks", "update", "reason"),
    [
        (0, 0, "the first part is scored"),
        (3, 2, "the second"),
        (6, 4, "the part that was left out"),
        (7, 4, "validation"),
        (8, 4, "its zoomed view"),
        (9, 4, "the first part of the second cycle"),
    ],
)
def test_the_guard_stops_evaluations_which_begin_anew(
    looks: int,
    update: int,
    reason: str,
    scored: tuple[Config, Run],
    small_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look for each of two updates to a part, and for each evaluation of up to 128 images."""
    config, whole = scored
    readings = count()
    monkeypatch.setattr(memory, "LOOK_EVERY_SECONDS", 0)
    monkeypatch.setattr(memory, "used_bytes", lambda: MIB if next(readings) < looks else 200 * MIB)
    monkeypatch.setattr(memory, "can_measure", lambda: True)
    monkeypatch.setattr("digitspot.training.run.fit_to_budget", lambda config, *_: config)
    tight = replace(config, train=replace(config.train, memory_budget="100MiB"))
    with pytest.raises(MemoryBudgetError, match=f"stopped, saved at update {update} of 8"):
        start_training(tight, small_data, tmp_path / "run")
    assert next(readings) == looks + 2, f"{reason}: read once more, and again after handing back; no more"
    run = resume_training(tmp_path / "run", memory_budget="64GiB")
    assert [steady(row) for row in run.metrics()] == [steady(row) for row in whole.metrics()], reason
    first, second = (load_training(each.last) for each in (run, whole))
    assert all(
        torch.equal(value, second["learner"]["model"][name])
        for name, value in first["learner"]["model"].items()
    )
    assert steady(first["state"]) == steady(second["state"])


def steady(figures: dict[str, Any]) -> dict[str, Any]:
    """Leave out what no two runs have in common."""
    return {name: value for name, value in figures.items() if not name.endswith(("seconds", "_mib"))}


def test_pieces_add_up(small_detector: Callable[..., Any], make_batch: Callable[..., TensorBatch]) -> None:
    batch = make_batch(1, num_images=5)
    pieces = batch.pieces(2 * 64 * 64, 32)
    assert [len(piece.image_ids) for piece in pieces] == [2, 1, 2]
    assert [i for piece in pieces for i in piece.image_ids] == batch.image_ids
    torch.testing.assert_close(torch.cat([piece.images for piece in pieces]), batch.images)
    assert batch.pieces(None, 32) == [batch]
    assert [len(piece.image_ids) for piece in batch.pieces(1, 32)] == [1] * 5

    whole = Learner(small_detector(batch_norm="frozen"), Config(), torch.device("cpu"))
    cut = Learner(
        small_detector(batch_norm="frozen"),
        Config(train=TrainConfig(max_batch_pixels=1)),
        torch.device("cpu"),
    )
    losses = [learner.update([batch], 1.0, 0)["loss"] for learner in (whole, cut)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_padding_shrinks_with_the_piece() -> None:
    sizes = [(32, 90), (20, 33), (64, 10)]
    images = torch.zeros(3, 3, 64, 96)
    batch = TensorBatch(images, sizes, [{}, {}, {}], [1, 2, 3])
    assert [tuple(piece.images.shape) for piece in batch.pieces(1, 32)] == [
        (1, 3, 32, 96), (1, 3, 32, 64), (1, 3, 64, 32),
    ]  # fmt: skip


@needs_linux
@pytest.mark.slow
def test_a_budget_holds_from_outside(small_recipe: Path, small_data: Path, tmp_path: Path) -> None:
    import subprocess
    import time

    process = subprocess.Popen(
        command("train", small_recipe, "--data", small_data, "--output", tmp_path / "run",
                "--train.memory-budget", "1500MiB", "--train.epochs", 10),
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(pss, [process.pid, *children(process.pid)])))
        time.sleep(0.2)
    assert process.returncode == 0
    assert 200 * MIB < peak < 1500 * MIB


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has just ended
        return []


def pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def test_no_more_parts_are_tried_than_there_are_images_of_ones_own(config: Config, small_data: Path) -> None:
    """The rest are shown in the first epochs only."""
    data = replace(config.data, strategy="parts", parts=4, also=(str(small_data),) * 3, also_epochs=1)
    samples = open_training(small_data, replace(config, data=data)).samples
    ways = [way.data.parts for way in budget._ways(replace(config, data=data), samples)]
    assert max(ways) == 16, "of 24 own images"


def test_the_largest_part_is_that_of_any_epoch() -> None:
    """Parts are dealt again when other data sets are no longer shown."""
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.lognormal(8, 1, 200), np.full(30, 100)]).astype(np.int64)
    samples: Any = SimpleNamespace(num_bytes=sizes)
    for seed in range(30):
        plan = BatchPlan(
            aspects=np.ones(230),
            batch_size=8,
            short_sides=(32,),
            seed=seed,
            num_parts=10,
            part_order="once",
            num_lasting=200,
            early_epochs=2,
        )
        largest = largest_part(samples, plan, 4)
        assert all(sizes[part].sum() <= largest for epoch in range(4) for part in plan.parts(epoch))
