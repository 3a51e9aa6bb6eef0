"""Options of commands that use a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from digitspot.reader import Reader
from digitspot.runtime.opening import Precision, RuntimeName


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How the model computes."""

    device: str = "auto"
    """auto, cpu or cuda."""
    runtime: RuntimeName = "auto"
    """What computes; auto is ONNX Runtime for an .onnx, torch for the others."""
    precision: Precision = "fp32"
    """bf16, in torch and OpenVINO, is faster on processors that have it; answers differ a little."""
    threads: int | None = None
    """Threads to decode and compute with. None is one for each core, at most 16; OMP_NUM_THREADS and a
    container's CPU quota are obeyed."""

    def load(self, path: Path | None) -> Reader:
        """Load a model as the options say."""
        return Reader.load(path, self.device, self.runtime, self.precision, self.threads)
