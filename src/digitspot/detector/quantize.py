"""Integers of 8 bits for the backbone of an exported `nano`: static, calibrated on images of `train`.

The backbone's convolutions take and give 8 bits, weights with a scale for each channel; `FLOAT` are left out.
The sums between them, the heads, box arithmetic and suppression stay in float32. The graph keeps float
operations between `QuantizeLinear` and `DequantizeLinear`, of which ONNX Runtime and OpenVINO make integer
ones. benchmarks/results/int8.md has what each choice is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from digitspot.config import InputConfig
from digitspot.errors import DataError
from digitspot.images import decode_image
from digitspot.labels.coco import find_split, read_labels
from digitspot.model_file import IMAGES, SIZES
from digitspot.preprocess import collate, prepare
from digitspot.types import FloatArray, IntArray

NUM_IMAGES = 256
"""Enough for the ranges of activations to settle; calibration takes seconds."""
BACKBONE = "/backbone/"
"""What the tracing exporter puts before the names of the backbone's nodes."""
KINDS = ("Conv", "Relu")
"""A `Relu` in 8 bits is none: the range of the convolution before it begins at zero."""
FLOAT = ("stem", "smooth8")
"""The first convolution costs accuracy. The one that proposals are made of, OpenVINO 2026.4 scales wrongly
when it is in 8 bits and what follows is not: offsets are off by half their size."""
_PREPROCESSED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""Spares a warning; what that preprocessing folds, torch's exporter has folded."""

Feed = dict[str, FloatArray | IntArray]
"""The graph's inputs, by name."""


def sample_images(data: Path, num: int = NUM_IMAGES, seed: int = 0) -> list[Path]:
    """Choose images of a data set's `train` split, the same for the same seed; all where there are fewer.

    Raises:
        DataError: There is no such split, its labels cannot be used, or it has no image.
    """
    split = find_split(data, "train")
    names = [image.file_name for image in read_labels(split.labels_path).images]
    if not names:
        raise DataError(f"{split.labels_path} has no image", hint="Calibration needs some.")
    chosen = np.random.default_rng(seed).permutation(len(names))[:num]
    return [split.images_dir / names[index] for index in chosen]


def feeds(
    paths: Sequence[Path],
    rule: InputConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Feed]:
    """Make the graph's inputs of one image after another.

    Args:
        paths: The images.
        rule: The size rule.
        progress: Called with the images used and their total.

    Raises:
        DataError: An image cannot be read.
    """
    for done, path in enumerate(paths, 1):
        image = prepare(decode_image(path), rule)
        yield {IMAGES: collate([image], rule), SIZES: np.array([image.size_hw], np.int64)}
        progress(done, len(paths))


def quantize(model: onnx.ModelProto, inputs: Iterable[Feed]) -> onnx.ModelProto:
    """Return the graph with convolutions of the backbone in 8 bits; metadata is not kept.

    Args:
        model: What `digitspot.detector.export` traced; left as it is.
        inputs: What to measure the ranges of activations on; at least one.
    """
    source = onnx.ModelProto()
    source.CopyFrom(model)
    onnx.helper.set_model_props(source, _PREPROCESSED)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        quantize_static(
            source,
            path,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(KINDS),
            nodes_to_quantize=[node.name for node in model.graph.node if _is_quantized(node)],
            per_channel=True,
            activation_type=QuantType.QUInt8,  # beside signed weights, what VNNI multiplies
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantized = onnx.load(path)
    del quantized.metadata_props[:]
    return quantized


def _is_quantized(node: onnx.NodeProto) -> bool:
    left_out = node.name.startswith(tuple(f"{BACKBONE}{name}" for name in FLOAT))
    return node.op_type in KINDS and node.name.startswith(BACKBONE) and not left_out


class _Reader:
    """Inputs as onnxruntime's calibration asks for them, a `CalibrationDataReader`."""

    def __init__(self, inputs: Iterable[Feed]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> Feed | None:
        return next(self._inputs, None)
