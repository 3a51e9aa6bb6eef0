"""One update, by one process and by all that torchrun started, on the same batches.

    torchrun --standalone --nproc-per-node 2 tests/training/joint_step.py OUTPUT CASE...

Writes for each case the largest difference of any gradient, relative to the largest gradient of all, and
that of the losses, of the batch norms' statistics and between the weights of the ranks. All is computed in
float64: in float32 a rounding can turn a ReLU on or off, and move a gradient by 1e-4 of the largest.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

import digitspot.detector.model
from digitspot.config import Config, ModelConfig, OptimizerConfig, TrainConfig
from digitspot.detector import build_detector
from digitspot.ranks import Ranks, joined
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch

CPU = torch.device("cpu")
NUM_IMAGES = 16
SMALL: dict[str, Any] = {
    "fpn_channels": 16,
    "head_channels": 32,
    "rpn_pre_nms_train": 100,
    "rpn_post_nms_train": 50,
    "rpn_batch_size_per_image": 64,
    "box_batch_size_per_image": 48,
}
"""Of many images, fewer proposals are left than are to be sampled: their numbers differ."""
NANO = {**SMALL, "preset": "nano", "nano_widths": (8, 16, 24, 32)}
RESNET = {**SMALL, "preset": "resnet18_fpn"}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nano": (NANO, {}),
    "nano with dropout, two batches in pieces": ({**NANO, "dropout": 0.3}, {"max_batch_pixels": 60_000}),
    "resnet18_fpn": (RESNET, {}),
    "resnet18_fpn, frozen": ({**RESNET, "batch_norm": "frozen"}, {}),
    "resnet18_fpn with dropout, two batches in pieces": (
        {**RESNET, "dropout": 0.3},
        {"max_batch_pixels": 60_000},
    ),
}


def make_batch(seed: int) -> TensorBatch:
    """Make images of several sizes, with none to five digits each."""
    generator = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    sizes = [(whole(48, 97), whole(48, 129)) for _ in range(NUM_IMAGES)]
    images = torch.zeros(NUM_IMAGES, 3, 96, 128)
    targets = []
    for image, (height, width) in zip(images, sizes, strict=True):
        image[:, :height, :width] = torch.randn(3, height, width, generator=generator)
        corners = torch.rand(whole(0, 6), 2, generator=generator) * 20
        sides = 10 + torch.rand(corners.shape, generator=generator) * 15
        labels = torch.randint(1, 11, (len(corners),), generator=generator)
        targets.append({"boxes": torch.cat([corners, corners + sides], 1).double(), "labels": labels})
    return TensorBatch(images.double(), sizes, targets, list(range(NUM_IMAGES)))


def share(batch: TensorBatch, ranks: Ranks) -> TensorBatch:
    """Return the share of a rank, padded to its own images only."""
    sizes = list(ranks.own(batch.sizes_hw))
    height, width = (-(-max(sides) // 32) * 32 for sides in zip(*sizes, strict=True))
    return TensorBatch(
        batch.images[ranks.rank :: ranks.size, :, :height, :width],
        sizes,
        list(ranks.own(batch.targets)),
        list(ranks.own(batch.image_ids)),
    )


def compare(ranks: Ranks, model: dict[str, Any], train: dict[str, Any]) -> dict[str, float]:
    """Do the update both ways."""
    config = Config(
        model=ModelConfig(**model),
        optimizer=OptimizerConfig(name="sgd", lr=0.1, clip_norm=0.0),
        train=TrainConfig(seed=3, precision="fp32", ema_decay=0.0, **train),
    )
    batches = [make_batch(seed) for seed in range(2 if train else 1)]
    found = []
    for own, of in ((batches, Ranks()), ([share(each, ranks) for each in batches], ranks)):
        torch.manual_seed(0)
        detector = build_detector(config.model, load_weights=False).double()
        learner = Learner(detector, config, CPU, of)
        losses = learner.update(own, 1.0, step=5)
        gradients = {n: p.grad for n, p in learner.detector.named_parameters() if p.grad is not None}
        found.append((losses, gradients, dict(learner.detector.named_buffers()), detector.state_dict()))
    (losses, gradients, buffers, _), (joint_losses, joint_gradients, joint_buffers, weights) = found
    largest = max(float(each.abs().max()) for each in gradients.values())
    assert gradients.keys() == joint_gradients.keys()
    apart = [ranks.gathered(each.double()) for each in weights.values()]
    return {
        "gradient": differing(gradients, joint_gradients) / largest,
        "loss": max(abs(losses[name] - joint_losses[name]) for name in losses),
        "statistics": differing(buffers, joint_buffers),
        "ranks": max(float((each - each[0]).abs().max()) for each in apart),
    }


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def main() -> None:
    digitspot.detector.model._in_float32 = lambda value: value
    with joined() as ranks:
        found = {name: compare(ranks, *CASES[name]) for name in sys.argv[2:]}
        if ranks.is_first:
            Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
