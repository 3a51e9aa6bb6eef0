"""Detection with ONNX Runtime, on a CPU and without torch."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import onnxruntime

from digitspot.errors import CheckpointError
from digitspot.model_file import IMAGES, OUTPUTS, SIZES, read_onnx
from digitspot.runtime.exported import BATCH_SIZE, ExportedRuntime, Outputs
from digitspot.types import FloatArray, IntArray

ERRORS_ONLY = 3
UPDATE = "Update it: pip install -U onnxruntime. Or export the model again."


class OnnxRuntime(ExportedRuntime):
    """An exported model in ONNX Runtime, in the file's precision.

    Args:
        path: What `digitspot export` wrote.
        batch_size: Images computed at once, by one core.
        num_threads: Batches computed at once; None takes every core.

    Raises:
        CheckpointError: The file is missing, broken or not digitspot's.
    """

    def __init__(self, path: Path, batch_size: int = BATCH_SIZE, num_threads: int | None = None) -> None:
        data, info = read_onnx(path)
        super().__init__(info, batch_size, num_threads)
        self._session = _session(data, path)

    def _run(self, images: FloatArray, sizes_hw: IntArray) -> Outputs:
        return cast(Outputs, tuple(self._session.run(OUTPUTS, {IMAGES: images, SIZES: sizes_hw})))


def _session(data: bytes, path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches run side by side instead
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds have no base class but this
        raise CheckpointError(f"ONNX Runtime cannot run {path}", hint=UPDATE) from error
