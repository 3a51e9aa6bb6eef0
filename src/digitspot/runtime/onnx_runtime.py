"""Detection with ONNX Runtime, on a CPU and without torch."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import onnxruntime

from digitspot.errors import CheckpointError
from digitspot.manifest import IMAGES, KEY, OUTPUTS, SIZES, Manifest
from digitspot.runtime.exported import BATCH_SIZE, ExportedRuntime, Outputs
from digitspot.types import FloatArray, IntArray

ERRORS_ONLY = 3


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
        self._session = _session(path)
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        super().__init__(Manifest.from_json(text, path), batch_size, num_threads)

    def _run(self, images: FloatArray, sizes_hw: IntArray) -> Outputs:
        return cast(Outputs, tuple(self._session.run(OUTPUTS, {IMAGES: images, SIZES: sizes_hw})))


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches run side by side instead
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise CheckpointError(f"no model {path}: {error.strerror}") from error
    except Exception as error:  # its own kinds have no base class but this
        raise CheckpointError(f"{path} cannot be read as an ONNX model: {str(error)[:200]}") from error
