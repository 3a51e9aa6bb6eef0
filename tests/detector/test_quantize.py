"""The backbone in 8 bits: which nodes are, how near the answers stay, and what it is calibrated on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from digitspot.config import ModelConfig
from digitspot.detector.quantize import BACKBONE, feeds, sample_images
from digitspot.detector.trained import Model
from digitspot.errors import DataError, ExportError
from digitspot.images import decode_image
from digitspot.labels.coco import find_split, read_labels
from digitspot.preprocess import prepare
from digitspot.runtime.onnx_runtime import OnnxRuntime
from small_nano import RULE, export, make_model


def nodes(path: Path, kind: str) -> list[onnx.NodeProto]:
    return [node for node in onnx.load(path).graph.node if node.op_type == kind]


def test_the_backbone_is_in_8_bits_but_what_is_left_out_and_the_heads(nano_int8: Path) -> None:
    dequantized = {name for node in nodes(nano_int8, "DequantizeLinear") for name in node.output}
    products = [node for kind in ("Conv", "MatMul") for node in nodes(nano_int8, kind)]
    integer = [node for node in products if dequantized.issuperset(node.input)]
    rest = [node for node in products if node not in integer]
    assert len(integer) == 23
    assert all(node.name.startswith(BACKBONE) for node in integer)
    assert [node.name.removeprefix(BACKBONE).strip("/").split("/")[0] for node in rest] == [
        "stem", "smooth8", "propose", "box_head", "box_head", "classify", "regress"
    ]  # fmt: skip
    assert not any(node.input[1] in dequantized for node in rest)
    onnx.checker.check_model(onnx.load(nano_int8), full_check=True)


def test_every_convolution_in_8_bits_gives_8_bits(nano_int8: Path) -> None:
    """Otherwise it is computed in float32, and slower than without."""
    quantized = {node.input[0] for node in nodes(nano_int8, "QuantizeLinear")}
    dequantized = {name for node in nodes(nano_int8, "DequantizeLinear") for name in node.output}
    integer = [node for node in nodes(nano_int8, "Conv") if dequantized.issuperset(node.input)]
    assert quantized.issuperset(node.output[0] for node in integer)


def test_weights_have_a_scale_for_each_channel(nano_int8: Path) -> None:
    constants = onnx.load(nano_int8).graph.initializer
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in constants}
    inputs = [node.input for node in nodes(nano_int8, "DequantizeLinear")]
    kernels = [names for names in inputs if names[0] in arrays and arrays[names[0]].ndim == 4]
    assert len(kernels) == 23
    for values, scales in ([arrays[name] for name in names[:2]] for names in kernels):
        assert (values.dtype, scales.shape) == (np.int8, values.shape[:1])


def test_the_file_is_smaller_and_says_what_it_is(nano_onnx: Path, nano_int8: Path) -> None:
    assert nano_int8.stat().st_size < nano_onnx.stat().st_size
    assert [OnnxRuntime(path).info.precision for path in (nano_onnx, nano_int8)] == ["fp32", "int8"]


def test_quantising_twice_gives_the_same_bytes(
    nano_model: Model, nano_int8: Path, small_data: Path, tmp_path: Path
) -> None:
    again = export(nano_model, tmp_path / "again.onnx", feeds(sample_images(small_data), RULE))
    assert again.read_bytes() == nano_int8.read_bytes()


def test_images_are_of_train_and_chosen_once_and_for_all(small_data: Path) -> None:
    train = find_split(small_data, "train")
    known = {train.images_dir / image.file_name for image in read_labels(train.labels_path).images}
    some, others = sample_images(small_data, 7), sample_images(small_data, 7, seed=1)
    assert (len(some), len(set(some))) == (7, 7)
    assert set(some) < known
    assert some == sample_images(small_data, 7)
    assert some != others
    assert sorted(sample_images(small_data)) == sorted(known)


def test_feeds_are_preprocessed_as_every_input(small_data: Path) -> None:
    shown: list[tuple[int, int]] = []
    paths = sample_images(small_data, 2)
    made = list(feeds(paths, RULE, lambda done, total: shown.append((done, total))))
    assert shown == [(1, 2), (2, 2)]
    for path, feed in zip(paths, made, strict=True):
        runtime_sees = prepare(decode_image(path), RULE)
        np.testing.assert_array_equal(feed["sizes_hw"], [runtime_sees.size_hw])
        assert (feed["images"].dtype, feed["images"].shape[:2]) == (np.float32, (1, 3))
        assert feed["images"].shape[2] % RULE.multiple == feed["images"].shape[3] % RULE.multiple == 0


def test_an_image_that_cannot_be_read_leaves_no_file(nano_model: Model, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (40, 30)).save(good)
    bad.write_text("no image")
    with pytest.raises(DataError, match=r"bad\.png"):
        export(nano_model, tmp_path / "model.onnx", feeds([good, bad], RULE))
    assert sorted(tmp_path.iterdir()) == [bad, good]


def test_other_presets_are_refused_before_an_image_is_read(tmp_path: Path) -> None:
    def untouched() -> Iterator[dict[str, np.ndarray]]:
        raise AssertionError
        yield {}

    model = make_model(ModelConfig(preset="resnet18_fpn", fpn_channels=16, head_channels=32))
    with pytest.raises(ExportError, match="resnet18_fpn cannot be exported"):
        export(model, tmp_path / "model.onnx", untouched())
