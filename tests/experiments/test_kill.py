"""Ablations and searches that are killed with SIGKILL at random moments, and resumed."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from command_line import command, environment, kill
from small_nano import write_recipe

KILLS = 10
"""For each of the two commands, at moments over the time that it takes when nothing kills it."""
ABLATION = {
    "question": "Is a higher lr better?",
    "recipe": "small.yaml",
    "settings": {"data.workers": 1},
    "images": 240,
    "seeds": [0],
    "variants": {"as is": {}, "high": {"optimizer.lr": 0.01}},
}
TUNING = {
    "recipe": "small.yaml",
    "settings": {"data.workers": 1},
    "search": {"optimizer.lr": {"low": 1e-4, "high": 0.01, "log": True}},
    "images": 240,
    "budget_images": 480,
}


def run_whole(arguments: list[str]) -> float:
    """Run a command to its end; return the seconds that it took."""
    start = time.monotonic()
    subprocess.run(command(*arguments), env=environment(), check=True, capture_output=True)
    return time.monotonic() - start


def kill_after(arguments: list[str], seconds: float) -> bool:
    """Kill a command after some seconds; return whether it was still running."""
    with subprocess.Popen(
        command(*arguments), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return kill(process)


def weights(run: Path) -> dict[str, torch.Tensor]:
    stored: dict[str, Any] = torch.load(run / "best.pt", weights_only=True)
    return {name: value for name, value in _flat(stored) if isinstance(value, torch.Tensor)}


def _flat(values: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        found += _flat(value, f"{before}{name}.") if isinstance(value, dict) else [(f"{before}{name}", value)]
    return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("verb", "document", "runs", "found"),
    [
        ("ablate", ABLATION, ("trainings/as is-0", "trainings/high-0"), "ablation.json"),
        ("tune", TUNING, ("trials/000", "trials/001"), "tune.json"),
    ],
)
def test_killed_at_random_moments_it_comes_to_the_same_end(
    verb: str, document: dict[str, Any], runs: tuple[str, ...], found: str, small_data: Path, tmp_path: Path
) -> None:
    write_recipe(tmp_path / "small.yaml")
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    common = [verb, str(file), "--data", str(small_data), "--output"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seconds = run_whole([*common, str(whole)])
    moments = random.Random(0)
    kills = [kill_after([*common, str(killed)], moments.uniform(2, seconds)) for _ in range(KILLS)]
    assert any(kills)
    run_whole([*common, str(killed)])
    for run in runs:
        one, other = weights(whole / run), weights(killed / run)
        assert one.keys() == other.keys()
        assert one
        for name in one:
            assert torch.equal(one[name], other[name]), name
    assert figures(whole / found) == figures(killed / found)


def figures(path: Path) -> list[Any]:
    """Return the scores of a document: of variants by seed, or of trials."""
    document = json.loads(path.read_text())
    if "trials" in document:
        return [(each["value"], each["validations"], each["settings"]) for each in document["trials"]]
    return [
        (name, each["mean_ap"], each["accuracy"], each["images_seen"])
        for variant in document["variants"]
        for name, each in variant["seeds"].items()
    ]
