"""Detection with torch, on a CPU or a GPU."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from digitspot.config import InputConfig
from digitspot.cores import after_fork
from digitspot.detector import Detector
from digitspot.detector.model import pick_device
from digitspot.detector.trained import load_model
from digitspot.model_file import ModelInfo
from digitspot.runtime.batches import BatchRuntime
from digitspot.types import Detections, FloatArray

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRuntime(BatchRuntime):
    """A detector in evaluation, with the size rule it was trained for.

    Args:
        detector: Moved to `device` and set to evaluation.
        rule: The size rule.
        device: Where to compute.
        precision: "fp32", or "bf16" or "fp16" by autocast; "auto" is what the device is fast with.
        batch_size: Images computed at once, by all cores.
    """

    def __init__(
        self,
        detector: Detector,
        rule: InputConfig,
        device: torch.device,
        precision: str = "fp32",
        batch_size: int = 32,
    ) -> None:
        super().__init__(rule, batch_size)
        self.detector = detector.to(device).eval()
        self.device = device
        self.precision = precision
        self._one_at_a_time = threading.Lock()  # torchvision's detectors keep the batch's size while they run
        after_fork(self._after_fork)

    def _after_fork(self) -> None:
        """Compute with one thread in a forked child; OpenMP would wait for threads that are not there."""
        self._one_at_a_time = threading.Lock()  # another thread of the parent may have held it
        if self.device.type == "cpu":
            torch.set_num_threads(1)

    @torch.inference_mode()
    def _compute(self, batch: FloatArray, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        with self._one_at_a_time, autocast(self.device, self.precision):
            outputs, _ = self.detector(torch.from_numpy(batch).to(self.device), sizes_hw)
        return [
            Detections(
                boxes=output["boxes"].float().cpu().numpy(),
                labels=output["labels"].cpu().numpy().astype(np.int64),
                scores=output["scores"].float().cpu().numpy(),
            )
            for output in outputs
        ]


def pick_precision(name: str, device: torch.device) -> str:
    """Return the precision that a configuration names; "auto" is bf16 where the device multiplies it.

    An x86 processor does with AVX-512 BF16 or AMX. One without them takes five times as long in bf16 as in
    fp32 (benchmarks/results/training_step.md).
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    multiplies = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if device.type == "cpu" and multiplies else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context of a precision; "fp32" does nothing."""
    dtype = AUTOCAST_DTYPES.get(pick_precision(precision, device))
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def open_checkpoint(
    path: Path, device: str, precision: str = "fp32", num_threads: int | None = None
) -> tuple[TorchRuntime, ModelInfo]:
    """Load a run's best model or a checkpoint.

    Args:
        path: A run folder, or the file.
        device: "auto", "cpu" or "cuda".
        precision: See `TorchRuntime`.
        num_threads: Threads that torch computes with, in the whole process; None leaves them as they are.

    Raises:
        CheckpointError: There is none, or it cannot be read.
    """
    model = load_model(path)
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    return TorchRuntime(model.detector, model.config.input, pick_device(device), precision), model.info
