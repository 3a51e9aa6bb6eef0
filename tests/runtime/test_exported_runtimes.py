"""Exported models in ONNX Runtime and OpenVINO: torch's answers, whatever the sizes and the batches."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from digitspot.boxes import box_ious
from digitspot.detector.trained import Model
from digitspot.errors import CheckpointError
from digitspot.images import decode_image, list_images
from digitspot.model_file import read_onnx, write_onnx
from digitspot.runtime.exported import ExportedRuntime
from digitspot.runtime.onnx_runtime import OnnxRuntime
from digitspot.runtime.torch_runtime import TorchRuntime
from digitspot.types import Detections, ImageArray
from small_nano import RULE

Make = Callable[..., ExportedRuntime]


def openvino_runtime(*arguments: object, **keywords: object) -> ExportedRuntime:
    from digitspot.runtime.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(*arguments, **keywords)  # type: ignore[arg-type]


RUNTIMES = [
    pytest.param(OnnxRuntime, id="onnx"),
    pytest.param(
        openvino_runtime,
        id="openvino",
        marks=pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs OpenVINO"),
    ),
]


def samples(num: int) -> list[ImageArray]:
    """Make coarse noise of random sizes from 4 to 400 pixels, after sizes that are hard to take."""
    random = np.random.default_rng(5)
    sizes = [(1, 1), (1, 300), (300, 1), (2000, 3), (32, 48), (96, 32)]
    sizes += [tuple(np.exp(random.uniform(np.log(4), np.log(400), 2)).astype(int)) for _ in range(num)]
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes[:num]]


def assert_same(first: Sequence[Detections], second: Sequence[Detections]) -> None:
    """Each detection of one has its equal in the other; equal scores may stand in any order."""
    assert len(first) == len(second)
    for index, (one, two) in enumerate(zip(first, second, strict=True)):
        near = np.abs(one.boxes[:, None] - two.boxes[None]).max(-1, initial=0) < 0.05
        near &= np.abs(one.scores[:, None] - two.scores[None]) < 1e-3
        near &= one.labels[:, None] == two.labels[None]
        assert len(one) == len(two), index
        assert near.any(1).all(), index
        assert near.any(0).all(), index


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("make", RUNTIMES)
def test_it_answers_as_torch(make: Make, batch_size: int, nano_model: Model, nano_onnx: Path) -> None:
    images = samples(100)
    expected = TorchRuntime(nano_model.detector, RULE, torch.device("cpu"), batch_size=batch_size).detect(
        images
    )
    assert sum(map(len, expected)) > 500
    assert len({label for each in expected for label in each.labels.tolist()}) > 3
    assert_same(make(nano_onnx, batch_size=batch_size).detect(images), expected)


@pytest.mark.parametrize("make", RUNTIMES)
def test_arrays_are_as_promised_and_the_best_come_first(make: Make, nano_onnx: Path) -> None:
    for image, found in zip(images := samples(20), make(nano_onnx).detect(images), strict=True):
        assert (found.boxes.dtype, found.labels.dtype, found.scores.dtype) == (
            np.float32,
            np.int64,
            np.float32,
        )
        assert len(found) <= 20
        assert (np.diff(found.scores) <= 0).all()
        assert ((found.labels >= 1) & (found.labels <= 10)).all()
        assert (found.boxes <= np.tile(image.shape[1::-1], 2) * (1 + 1e-6)).all()


@pytest.mark.parametrize("make", RUNTIMES)
def test_threads_change_nothing(make: Make, nano_onnx: Path) -> None:
    images = samples(40)
    alone, side_by_side = (make(nano_onnx, batch_size=4, num_threads=num) for num in (1, 3))
    assert_same(alone.detect(images), side_by_side.detect(images))


@pytest.mark.parametrize("make", RUNTIMES)
def test_nothing_found_is_empty(make: Make, blind_onnx: Path) -> None:
    found = make(blind_onnx).detect(samples(10))
    assert [(each.boxes.shape, each.labels.shape, each.scores.shape) for each in found] == [
        ((0, 4), (0,), (0,))
    ] * 10
    assert make(blind_onnx).detect([]) == []


@pytest.mark.parametrize("make", RUNTIMES)
def test_what_a_model_says_travels(make: Make, nano_model: Model, nano_onnx: Path) -> None:
    assert make(nano_onnx).info == nano_model.info


@pytest.mark.parametrize("make", RUNTIMES)
def test_8_bits_answer_nearly_as_float32(
    make: Make, nano_onnx: Path, nano_int8: Path, small_data: Path
) -> None:
    """Found: 0.98; 0.83 where activations are clipped to a tenth of their range, 0.7 with 4-bit weights."""
    images = [
        decode_image(path) for name in ("valid", "test") for path in list_images(small_data / name).paths
    ]
    exact, near = (make(path).detect(images) for path in (nano_onnx, nano_int8))
    assert share_found(exact, near) > 0.93
    assert share_found(near, exact) > 0.93


def share_found(first: Sequence[Detections], second: Sequence[Detections]) -> float:
    """Return how many detections are in both: same class, overlap above 0.7, scores within 0.05."""
    found: list[bool] = []
    for one, two in zip(first, second, strict=True):
        near = box_ious(one.boxes, two.boxes) > 0.7
        near &= np.abs(one.scores[:, None] - two.scores[None]) < 0.05
        near &= one.labels[:, None] == two.labels[None]
        found += near.any(1).tolist()
    assert len(found) > 200
    return float(np.mean(found))


@pytest.mark.parametrize("make", RUNTIMES)
def test_a_file_with_its_checksum_that_is_no_network(make: Make, nano_onnx: Path, tmp_path: Path) -> None:
    write_onnx(b"digits " * 100, read_onnx(nano_onnx)[1], path := tmp_path / "bad.onnx")
    with pytest.raises(CheckpointError, match=r"cannot run .*bad\.onnx"):
        make(path)


@pytest.mark.parametrize("make", RUNTIMES)
def test_no_file(make: Make, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model .*gone\.onnx"):
        make(tmp_path / "gone.onnx")
