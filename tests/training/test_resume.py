"""A resumed training is the run that was never stopped, bit for bit on a CPU."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import command, digitspot, environment, kill
from digitspot.detector.trained import load_model
from digitspot.training.checkpoint import load_training
from digitspot.training.runlog import Run

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def whole(small_recipe: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs that nothing interrupted."""
    output = tmp_path_factory.mktemp("whole") / "run"
    digitspot("train", small_recipe, "--data", small_data, "--output", output)
    return output


def kill_and_resume(arguments: list[object], output: Path, delays: list[float], *resume: object) -> int:
    """Start, kill -9 after each delay from the first sign of training, resume; return how many were hit."""
    kills = 0
    for delay in delays:
        process = subprocess.Popen(
            command(*arguments), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline and not Run(output).last.exists():
            time.sleep(0.005)
        time.sleep(delay)
        kills += kill(process)
        if not Run(output).last.exists():
            continue
        load_training(Run(output).last)  # loadable, whenever the kill came
        arguments = ["train", "--resume", output, *resume]
    digitspot(*arguments)
    return kills


def assert_same(first: Any, second: Any, place: str = "state") -> None:
    """Compare nested states; tensors bit for bit."""
    assert type(first) is type(second), place
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), place
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), place
        for key in first:
            if key not in ("seconds", "checkpoint_every_seconds"):
                assert_same(first[key], second[key], f"{place}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), place
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{place}[{index}]")
    else:
        assert first == second, place


@pytest.mark.parametrize("most_kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_and_resumed_equals_never_stopped(
    most_kills: int, whole: Path, small_recipe: Path, small_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    longest = 3 / most_kills  # seconds; the whole training takes about this long
    delays = [random.Random(time.time_ns()).uniform(0, longest) for _ in range(most_kills)]
    start = ["train", small_recipe, "--data", small_data, "--output", output]
    # A checkpoint after every update: kills hit the writing of checkpoints, too.
    kills = kill_and_resume([*start, "--train.checkpoint-every-seconds", 0], output, delays)
    assert kills >= 1, f"no kill hit the training, delays {delays}"
    assert_same(load_training(Run(whole).last), load_training(Run(output).last))
    assert_same(load_model(whole).detector.state_dict(), load_model(output).detector.state_dict(), "best")
    assert [strip(row) for row in Run(whole).metrics()] == [strip(row) for row in Run(output).metrics()]


PARTS = [
    "--data.strategy", "parts", "--data.parts", 3, "--data.part-order", "once", "--data.hold-out",
    "--optimizer.accumulate", 2, "--train.score-parts", "--schedule.kind", "plateau",
    "--schedule.plateau-compare", "cycle", "--train.early-stopping", 4,
]  # fmt: skip


def test_killed_under_parts_with_background_reading(
    small_recipe: Path, small_data: Path, tmp_path: Path
) -> None:
    also = ["--data.also", small_data, "--data.also-epochs", 2]  # longer epochs, then shorter ones
    start = ["train", small_recipe, "--data", small_data, *PARTS, *also, "--data.workers", 2, "--output"]
    digitspot(*start, tmp_path / "whole")
    delays = [random.Random(time.time_ns()).uniform(0, 1.0) for _ in range(2)]
    kills = kill_and_resume(
        [*start, tmp_path / "run", "--train.checkpoint-every-seconds", 0], tmp_path / "run", delays
    )
    assert kills >= 1, f"no kill hit the training, delays {delays}"
    whole, resumed = (load_training(tmp_path / name / "last.pt") for name in ("whole", "run"))
    assert_same(whole, resumed)
    first, second = ([strip(row) for row in Run(tmp_path / name).metrics()] for name in ("whole", "run"))
    assert first == second
    assert {row["kind"] for row in first} == {"part", "round", "held_out", "valid"}


@pytest.mark.parametrize("strategy", ["files", "prepared"])
def test_strategies(strategy: str, whole: Path, small_recipe: Path, small_data: Path, tmp_path: Path) -> None:
    """Files are the run of the pack, bit for bit; prepared images are other images."""
    start = ["train", small_recipe, "--data", small_data, "--data.strategy", strategy]
    one_part = ["--data.parts", 1] if strategy == "prepared" else []
    digitspot(*start, *one_part, "--output", tmp_path / "run", "--data.workers", 0)
    first, second = (load_training(Run(path).last) for path in (whole, tmp_path / "run"))
    assert first["state"]["step"] == second["state"]["step"]
    if strategy == "files":
        assert_same(first["learner"], second["learner"])
    else:
        assert first["state"]["images_seen"] == second["state"]["images_seen"]


def strip(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.endswith(("seconds", "_mib"))}


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_processes_change_nothing(
    workers: int, whole: Path, small_recipe: Path, small_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    digitspot(
        "train", small_recipe, "--data", small_data, "--output", output, "--data.workers", workers,
        "--schedule.kind", "wsd", "--train.epochs", 4,
    )  # fmt: skip
    first, second = (load_training(Run(path).last) for path in (whole, output))
    assert_same(first["learner"], second["learner"])


def test_branch_equals_a_run_of_its_length(small_recipe: Path, small_data: Path, tmp_path: Path) -> None:
    settings = ["--schedule.kind", "wsd", "--schedule.decay-fraction", 0.5]
    trunk, alone = tmp_path / "trunk", tmp_path / "alone"
    start = ["train", small_recipe, "--data", small_data, "--output"]
    digitspot(*start, trunk, *settings, "--train.epochs", 3, "--schedule.branch-epochs", 2)
    digitspot(*start, alone, *settings, "--train.epochs", 2)
    branch = load_training(Run(trunk / "epochs-2").last)
    assert branch["state"]["step"] == 12
    assert load_model(trunk / "epochs-2").scores["epoch"] in (1, 2)
    assert_same(load_training(Run(alone).last)["learner"], branch["learner"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_says_how_to_go_on(
    number: signal.Signals, small_recipe: Path, small_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    process = subprocess.Popen(
        command("train", small_recipe, "--data", small_data, "--output", output, "--train.epochs", 400,
                "--train.validate-every-epochs", 400, "--train.checkpoint-every-seconds", 0.1),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not Run(output).last.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    step = load_training(Run(output).last)["state"]["step"]
    assert f"saved at update {step} of 2400; go on with: digitspot train --resume {output}" in messages
    assert "Traceback" not in messages


def test_a_signal_to_all_its_processes_leaves_the_last_checkpoint(
    small_recipe: Path, small_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    process = subprocess.Popen(
        command("train", small_recipe, "--data", small_data, "--output", output, "--train.epochs", 400,
                "--data.workers", 2, "--train.checkpoint-every-seconds", 0.1),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not Run(output).last.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert f"go on with: digitspot train --resume {output}" in messages
    assert "Traceback" not in messages
    assert "defect" not in messages
    assert load_training(Run(output).last)["state"]["step"] > 0


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log({"kind": "train", "step": 20})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"kind": "train", "step": 40})[:-4])
    assert run.metrics() == [{"kind": "train", "step": 20}]


def test_a_trial_ends_after_its_updates(small_recipe: Path, small_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    digitspot("train", small_recipe, "--data", small_data, "--output", output, "--train.max-updates", 8)
    assert load_training(Run(output).last)["state"]["step"] == 8
    assert [row["step"] for row in Run(output).metrics() if row["kind"] == "valid"] == [6]
