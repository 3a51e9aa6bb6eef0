"""A few updates in a process of their own, to see how much memory they take before any is spent.

    python -m digitspot.training.rehearsal < request.json

It is a new process since whatever is tried must leave no memory behind, and must come before the loader
processes are forked, which in turn come before the network is built.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import torch

from digitspot.config import Config, config_from_dict, config_to_dict
from digitspot.detector import build_detector
from digitspot.detector.model import pick_device
from digitspot.errors import DigitspotError
from digitspot.processes import die_with_parent
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch
from digitspot.training.memory import status_bytes

DIGITS = 6
"""Digits in each image: the most that SVHN has."""
WIDTHS = (1.0, 0.5, 0.75, 1.0)
"""Shares of the largest width that are tried one after the other: memory freed by one shape does not quite
fit the next."""


@dataclass(frozen=True)
class Trial:
    """An update that was tried.

    Attributes:
        images: Images in its batch.
        bytes: What the process had grown by at its peak, network and optimiser included.
    """

    images: int
    bytes: int


def rehearse(
    config: Config, size_hw: tuple[int, int], counts: list[int], limit: int, now: int
) -> list[Trial]:
    """Try batches of more and more images, up to the first that would not fit.

    Args:
        config: The training.
        size_hw: Of each image, padded.
        counts: Images of the batches, rising.
        limit: Bytes that an update may take; two batches are tried whatever they take.
        now: Bytes that the rehearsing process may have, with the libraries that it has to load for itself.

    Returns:
        What was tried, in order.

    Raises:
        DigitspotError: The rehearsal failed, with what it said.
    """
    request: dict[str, Any] = {
        "config": config_to_dict(config),
        "size_hw": size_hw,
        "counts": counts,
        "limit": limit,
        "now": now,
        "parent": os.getpid(),
    }
    command = [sys.executable, "-m", "digitspot.training.rehearsal"]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DigitspotError(f"the rehearsal of an update failed: {done.stderr.strip()[-500:]}")
    return [Trial(**json.loads(line)) for line in done.stdout.splitlines()]


def main() -> None:
    """Answer one request; a line for each trial."""
    request = json.load(sys.stdin)
    die_with_parent(request["parent"])
    config = config_from_dict(request["config"])
    keep_freed_memory()
    before = status_bytes("VmRSS")
    device = pick_device(config.train.device)
    learner = Learner(build_detector(config.model, load_weights=False), config, device)
    limit = min(request["limit"], request["now"] - before)
    trials: list[Trial] = []
    for images in request["counts"]:
        if len(trials) > 1 and _expected(trials, images) > limit:
            return
        height, width = request["size_hw"]
        for share in WIDTHS:
            columns = math.ceil(width * share / config.input.multiple) * config.input.multiple
            learner.update([_batch(images, (height, columns))], 1.0, step=images)
        trials.append(Trial(images, status_bytes("VmHWM") - before))
        print(json.dumps(vars(trials[-1])), flush=True)


def _expected(trials: list[Trial], images: int) -> float:
    """Continue the line through the last two trials."""
    first, second = trials[-2:]
    slope = max(0, second.bytes - first.bytes) / (second.images - first.images)
    return second.bytes + slope * (images - second.images)


def _batch(num_images: int, size_hw: tuple[int, int]) -> TensorBatch:
    """Make images of noise with as many digits as there may be."""
    generator = torch.Generator().manual_seed(0)
    height, width = size_hw
    side = min(height, width / DIGITS) / 2
    left = torch.arange(DIGITS)[:, None] * width / DIGITS
    boxes = torch.cat([left, torch.zeros(DIGITS, 1), left + side, torch.full((DIGITS, 1), 1.8 * side)], 1)
    target = {"boxes": boxes, "labels": torch.arange(1, DIGITS + 1)}
    images = torch.randn(num_images, 3, height, width, generator=generator)
    return TensorBatch(images, [size_hw] * num_images, [target] * num_images, list(range(num_images)))


if __name__ == "__main__":
    main()
