"""Detection with OpenVINO, on a CPU and without torch; it reads the same ONNX file."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import openvino

from digitspot.cores import after_fork
from digitspot.errors import CheckpointError
from digitspot.model_file import IMAGES, OUTPUTS, SIZES, read_onnx
from digitspot.runtime.exported import BATCH_SIZE, ExportedRuntime, Outputs
from digitspot.types import FloatArray, IntArray

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
"""Left alone, OpenVINO takes bfloat16 where the processor has it."""
UPDATE = "Update it: pip install -U openvino. Or export the model again."


class OpenVinoRuntime(ExportedRuntime):
    """An exported model in OpenVINO.

    Args:
        path: What `digitspot export` wrote.
        precision: "fp32", or "bf16", which processors without it compute in float32.
        batch_size: Images computed at once, by one core.
        num_threads: Batches computed at once; None takes every core.

    Raises:
        CheckpointError: The file is missing, broken or not digitspot's.
    """

    def __init__(
        self,
        path: Path,
        precision: str = "fp32",
        batch_size: int = BATCH_SIZE,
        num_threads: int | None = None,
    ) -> None:
        self._data, info = read_onnx(path)
        super().__init__(info, batch_size, num_threads)
        self._path, self._precision = path, precision
        self._open()
        after_fork(self._close)

    def _open(self) -> None:
        """Compile the model for this process."""
        core = openvino.Core()
        self._model = core.compile_model(
            _read(core, self._data, self._path),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": PRECISIONS[self._precision],
                "INFERENCE_NUM_THREADS": self.num_threads,
                "NUM_STREAMS": self.num_threads,
            },
        )
        self._requests = threading.local()
        # The bindings initialise themselves at the first tensor; two threads at once would block each other,
        # one with the interpreter's lock and the other with that of the initialisation.
        side = self.info.rule.multiple
        self._infer(np.zeros((1, 3, side, side), np.float32), np.array([[side, side]], np.int64))

    def _close(self) -> None:
        """Leave the parent's model alone in a forked child: OpenVINO's threads are not there."""
        self._parents = self._model, self._requests  # freeing them would wait for these threads
        self._model, self._opening = None, threading.Lock()

    def _run(self, images: FloatArray, sizes_hw: IntArray) -> Outputs:
        if self._model is None:
            with self._opening:
                if self._model is None:
                    self._open()
        return self._infer(images, sizes_hw)

    def _infer(self, images: FloatArray, sizes_hw: IntArray) -> Outputs:
        if not hasattr(self._requests, "mine"):
            self._requests.mine = self._model.create_infer_request()
        outputs = self._requests.mine.infer({IMAGES: images, SIZES: sizes_hw}, share_inputs=True)
        boxes, labels, scores, image_index = (outputs[name] for name in OUTPUTS)
        return boxes, labels, scores, image_index


def _read(core: openvino.Core, data: bytes, path: Path) -> openvino.Model:
    try:
        return core.read_model(data)
    except RuntimeError as error:
        raise CheckpointError(f"OpenVINO cannot run {path}", hint=UPDATE) from error
