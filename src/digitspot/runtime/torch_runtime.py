"""Detection with torch, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from digitspot.config import InputConfig
from digitspot.detector import Detector
from digitspot.preprocess import Prepared, group_by_shape, prepare, stack
from digitspot.structures import Detections, ImageArray

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRuntime:
    """A detector in evaluation, with the size rule it was trained for.

    Args:
        detector: Moved to `device` and set to evaluation.
        rule: The size rule.
        device: Where to compute.
        precision: "fp32", or "bf16" or "fp16" by autocast.
        batch_size: Pictures computed at once.
    """

    def __init__(
        self,
        detector: Detector,
        rule: InputConfig,
        device: torch.device,
        precision: str = "fp32",
        batch_size: int = 32,
    ) -> None:
        self.detector = detector.to(device).eval()
        self.rule = rule
        self.device = device
        self.precision = precision
        self.batch_size = batch_size

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each picture, boxes in its own pixels; batches are of like shapes."""
        prepared = [prepare(image, self.rule) for image in images]
        results: list[Detections] = [Detections.empty()] * len(prepared)
        for group in group_by_shape([picture.size_hw for picture in prepared], self.batch_size):
            found = self._detect_batch([prepared[index] for index in group])
            for index, detections in zip(group, found, strict=True):
                results[index] = detections
        return results

    @torch.inference_mode()
    def _detect_batch(self, pictures: Sequence[Prepared]) -> list[Detections]:
        batch = torch.from_numpy(stack(pictures, self.rule.multiple)).to(self.device)
        with autocast(self.device, self.precision):
            outputs, _ = self.detector(batch, [picture.size_hw for picture in pictures])
        return [
            Detections(
                boxes=picture.to_original(output["boxes"].float().cpu().numpy()),
                labels=output["labels"].cpu().numpy().astype(np.int64),
                scores=output["scores"].float().cpu().numpy(),
            )
            for picture, output in zip(pictures, outputs, strict=True)
        ]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context of a precision; "fp32" does nothing."""
    dtype = AUTOCAST_DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
