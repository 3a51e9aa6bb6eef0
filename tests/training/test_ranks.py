"""Several processes train as one would; one of them may be killed, and a machine may go away."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from joint_step import CASES
from test_resume import assert_same
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from command_line import digitspot, environment, torchrun
from digitspot.dataset.sampler import Batch
from digitspot.detector.joint import JointSampler
from digitspot.errors import ConfigError
from digitspot.ranks import ALONE, Ranks
from digitspot.training.checkpoint import load_training
from digitspot.training.loader import own_share
from digitspot.training.runlog import Run
from small_training import SMALL

HERE = Path(__file__).parent
TWO = ["--standalone", "--nproc-per-node", 2]
KILLS = 5
PLAIN = ["--optimizer.name", "sgd", "--optimizer.lr", 0.005, "--schedule.kind", "constant"]
"""AdamW divides by the gradient: where it is all but zero, its last bit decides the sign of a whole step."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "nano.yaml"
    model = {**SMALL["model"], "preset": "nano", "nano_widths": [8, 16, 24, 32]}
    train = {**SMALL["train"], "batch_size": 8, "precision": "fp32"}
    path.write_text(yaml.safe_dump({**SMALL, "model": model, "train": train}))
    return path


def test_alone_is_the_identity() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3, 4)
    torch.manual_seed(0)
    assert torch.equal(ALONE.rand((3, 4), torch.device("cpu")), expected)
    network = torch.nn.Linear(2, 2)
    losses = {"loss": torch.ones(())}
    assert ALONE.parallel(network) is network
    assert ALONE.weighted(losses, torch.tensor(3)) is losses
    assert ALONE.own((1, 2, 3)) == (1, 2, 3)
    assert ALONE.any(True, False) == [True, False]
    assert ALONE.first(lambda: 7) == ALONE.most(7) == 7


def test_alone_samples_as_torchvision() -> None:
    states = [torch.tensor([1.0, 0, 0, -1, 2, 0, 0]), torch.zeros(9)]
    found = []
    for kind in (BalancedPositiveNegativeSampler, JointSampler):
        torch.manual_seed(1)
        found.append([mask for masks in kind(4, 0.5)(states) for mask in masks])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_ranks_take_turns_and_get_equal_shares() -> None:
    batch = Batch(epoch=0, part=0, indices=(5, 3, 8, 1, 9, 2), short_side=32)
    shares = [own_share(batch, Ranks(rank, 3)).indices for rank in range(3)]
    assert shares == [(5, 1), (3, 9), (8, 2)]
    with pytest.raises(ConfigError, match="is 6, which cannot be divided among 4 processes"):
        own_share(batch, Ranks(0, 4))


def test_processes_of_a_machine_do_not_share_a_gpu() -> None:
    both = Ranks(1, 2, local_rank=1, local_size=2)
    with pytest.raises(ConfigError, match="cuda:1, and 2 processes cannot share it"):
        both.device(torch.device("cuda:1"))
    assert both.device(torch.device("cpu")).type == "cpu"


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(["nano"], id="nano"),
        pytest.param(list(CASES), id="all", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_a_step_is_that_of_one_process(cases: list[str], tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", *map(str, TWO), str(HERE / "joint_step.py")]
    subprocess.run([*launch, str(tmp_path / "found.json"), *cases], env=environment(), check=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found) == set(cases)
    for name, differences in found.items():
        assert differences["gradient"] < 1e-5, name
        assert differences["loss"] < 1e-5, name
        assert differences["statistics"] < 1e-5, name
        assert differences["ranks"] == 0, name


def run(command: list[str]) -> None:
    subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=280)


def weights(path: Path) -> dict[str, Tensor]:
    model = load_training(Run(path).last)["learner"]["model"]
    return {name: value for name, value in model.items() if name.endswith(("weight", "bias"))}


def rounds(path: Path) -> list[dict[str, Any]]:
    return [row for row in Run(path).metrics() if row["kind"] == "round"]


def assert_close(first: Path, second: Path) -> None:
    """Compare weights and figures of two trainings; the order of additions makes them part slowly."""
    one, other = (torch.cat([each.flatten() for each in weights(path).values()]) for path in (first, second))
    assert (one - other).norm() < 0.01 * one.norm()
    for number, (row, same) in enumerate(zip(rounds(first), rounds(second), strict=True)):
        assert same["loss"] == pytest.approx(row["loss"], rel=0.02 if number else 1e-4)
        assert (same["step"], same["images_seen"]) == (row["step"], row["images_seen"])


@pytest.mark.slow
def test_two_ranks_train_as_one(recipe: Path, small_data: Path, tmp_path: Path) -> None:
    start = ["train", recipe, "--data", small_data, *PLAIN, "--train.epochs", 4, "--output"]
    digitspot(*start, tmp_path / "one")
    run(torchrun(TWO, *start, tmp_path / "two"))
    assert_close(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_parts_are_shared(recipe: Path, small_data: Path, tmp_path: Path) -> None:
    """Every image of a part is in the memory of one rank; scores and the reader are everyone's."""
    parts = ["--data.strategy", "parts", "--data.parts", 2, "--train.score-parts", "--data.workers", 1]
    start = ["train", recipe, "--data", small_data, *PLAIN, *parts, "--train.batch-size", 4,
             "--train.epochs", 2, "--train.memory-budget", "6GiB", "--output"]  # fmt: skip
    digitspot(*start, tmp_path / "one")
    run(torchrun(TWO, *start, tmp_path / "two"))
    kinds = [
        [(row["kind"], row["step"]) for row in Run(tmp_path / name).metrics()] for name in ("one", "two")
    ]
    assert kinds[0] == kinds[1]
    assert {kind for kind, _ in kinds[0]} == {"part", "round", "valid"}
    assert_close(tmp_path / "one", tmp_path / "two")


def test_a_batch_that_cannot_be_divided(recipe: Path, small_data: Path, tmp_path: Path) -> None:
    command = torchrun(TWO, "train", recipe, "--data", small_data, "--train.batch-size", 7,
                       "--output", tmp_path / "run")  # fmt: skip
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode
    assert "train.batch_size is 7, which cannot be divided among 2 processes" in done.stderr
    assert not Run(tmp_path / "run").started


class Launched:
    """A torchrun that is under way, and all processes that were ever seen below it."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with open(log, "w") as file:
            self.process = subprocess.Popen(command, env=environment(), stdout=file, stderr=file)
        self.agent = psutil.Process(self.process.pid)
        self.seen: set[psutil.Process] = set()

    def ranks(self) -> list[psutil.Process]:
        """Return the training processes that are there now."""
        with suppress(psutil.Error):
            self.seen |= set(self.agent.children(recursive=True))
            return [each for each in self.agent.children() if "digitspot" in each.cmdline()]
        return []

    def wait(self, seconds: float) -> None:
        """Wait to the end, of all processes."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self.ranks()
            time.sleep(0.05)
        left = psutil.wait_procs(self.seen, timeout=5)[1]
        code = self.process.poll()
        for each in (*left, *([] if code is not None else [self.process])):
            each.kill()
        assert not left
        assert code == 0, self.log.read_text()[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_rank_changes_nothing(recipe: Path, small_data: Path, tmp_path: Path) -> None:
    start = ["train", recipe, "--data", small_data, "--data.workers", 1, "--train.epochs", 40,
             "--train.validate-every-epochs", 20, "--output"]  # fmt: skip
    run(torchrun(TWO, *start, tmp_path / "whole"))
    often = ["--train.checkpoint-every-seconds", 0]
    launch = [*TWO, "--max-restarts", KILLS, "--monitor-interval", 0.1]
    launched = Launched(torchrun(launch, *start, tmp_path / "killed", *often), tmp_path / "log")
    moments = random.Random(time.time_ns())
    killed: set[psutil.Process] = set()
    for _ in range(KILLS):
        deadline = time.monotonic() + 90
        while len(ranks := set(launched.ranks()) - killed) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        killed |= ranks
        before = _step(tmp_path / "killed")
        moment = moments.uniform(0, 3)
        while _step(tmp_path / "killed") == before and time.monotonic() < deadline:
            launched.ranks()
            time.sleep(0.01)
        time.sleep(moment)
        victim = moments.choice(sorted(ranks, key=lambda each: each.pid))
        assert victim.is_running(), "the training ended before its kills"
        victim.kill()
    launched.wait(200)
    assert_same(load_training(Run(tmp_path / "whole").last)["learner"],
                load_training(Run(tmp_path / "killed").last)["learner"])  # fmt: skip


def _step(path: Path) -> int:
    return load_training(Run(path).last)["state"]["step"] if Run(path).last.exists() else -1


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("goes", [False, True], ids=["both stay", "one goes away"])
def test_two_machines(
    goes: bool, recipe: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    start = ["train", recipe, "--data", small_data, *PLAIN, "--train.epochs", 40 if goes else 4,
             "--train.validate-every-epochs", 20, "--output"]  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    agents = []
    for number in (1, 2):
        conf = f"is_host={int(number == 1)},last_call_timeout=3"
        launch = ["--nnodes", "1:2" if goes else 2, "--nproc-per-node", 1, "--rdzv-backend", "c10d",
                  "--rdzv-endpoint", endpoint, "--local-addr", f"127.0.0.{number}", "--rdzv-conf", conf,
                  "--max-restarts", 3]  # fmt: skip
        agents.append(Launched(torchrun(launch, *start, tmp_path / "run"), tmp_path / f"log{number}"))
    if goes:
        deadline = time.monotonic() + 120
        while not Run(tmp_path / "run").metrics() and time.monotonic() < deadline:
            agents[0].ranks(), agents[1].ranks()
            time.sleep(0.05)
        os.kill(agents[1].process.pid, 9)
        agents[1].process.wait()
        assert not psutil.wait_procs(agents[1].seen, timeout=5)[1]
    else:
        agents[1].wait(200)
    agents[0].wait(300)
    log = "".join((tmp_path / f"log{number}").read_text() for number in (1, 2))
    assert ", 2 processes;" in log
    if goes:
        assert "lost the connection to another process" in log
        assert ", from update " in log
    digitspot(*start, tmp_path / "one")
    steps, found = ([row["step"] for row in rounds(tmp_path / name)] for name in ("one", "run"))
    assert steps == found
    if not goes:
        assert_close(tmp_path / "one", tmp_path / "run")
