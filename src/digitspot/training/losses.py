"""The losses of a network as it would be used: in evaluation, leaving no trace.

torchvision's detectors give losses in training mode only (pytorch/vision#1574); computing them there under
`no_grad` still moves every batch norm's statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from digitspot.dataset.augment import random_seed
from digitspot.detector import Detector
from digitspot.runtime.torch_runtime import autocast
from digitspot.training.loader import TensorBatch


def evaluation_losses(
    detector: Detector, batch: TensorBatch, device: torch.device, precision: str, key: tuple[int, ...]
) -> dict[str, float]:
    """Return the named losses of a batch and their sum, `loss`, with batch norms and dropout in evaluation.

    As many proposals are made and sampled as in training. Nothing is changed: no weight, no buffer, no
    module's mode, and no generator of torch, whose draws follow from `key` alone.

    Args:
        detector: On `device`.
        batch: With targets.
        device: Where to compute.
        precision: "fp32", "bf16" or "fp16" by autocast.
        key: Decides what is sampled.
    """
    batch = batch.to(device)
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices), _losses_on(detector), autocast(device, precision):
        torch.manual_seed(random_seed(*key))
        _, losses = detector(batch.images, batch.sizes_hw, batch.targets)
    values = {name: float(value) for name, value in losses.items()}
    return {**values, "loss": sum(values.values())}


@contextmanager
def _losses_on(detector: Detector) -> Iterator[None]:
    """Put a network into evaluation but for its losses; every module gets its own mode back."""
    modes = [(module, module.training) for module in detector.modules()]
    detector.eval()
    for module in detector.loss_switches():
        module.training = True
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
