"""The exported graph: what it takes, what it is made of, and which detectors can be exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from digitspot.config import ModelConfig
from digitspot.detector.export import Core
from digitspot.detector.nano import Nano
from digitspot.detector.trained import Model
from digitspot.errors import DigitspotError, ExportError
from digitspot.model_file import IMAGES, OUTPUTS, SIZES
from small_nano import export, make_model


def test_batch_height_width_and_findings_are_free(nano_onnx: Path) -> None:
    graph = onnx.load(nano_onnx).graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes[IMAGES] == ["batch", 3, "height", "width"]
    assert shapes[SIZES] == ["batch", 2]
    assert all(isinstance(shapes[name][0], str) for name in OUTPUTS)


def test_the_traced_network_is_the_graph(nano_model: Model, nano_onnx: Path) -> None:
    """What the graph was traced from gives the same in torch, on a batch of another shape."""
    assert isinstance(nano_model.detector, Nano)
    generator = torch.Generator().manual_seed(2)
    images, sizes = (
        torch.randn(3, 3, 32, 96, generator=generator),
        torch.tensor([[32, 96], [30, 70], [9, 96]]),
    )
    with torch.inference_mode():
        expected = Core(nano_model.detector)(images, sizes)
    session = onnxruntime.InferenceSession(nano_onnx, providers=["CPUExecutionProvider"])
    found = session.run(OUTPUTS, {IMAGES: images.numpy(), SIZES: sizes.numpy()})
    assert len(expected[0]) > 10
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two.numpy(), atol=1e-3)


def test_each_suppression_is_one_node(nano_onnx: Path) -> None:
    kinds = [node.op_type for node in onnx.load(nano_onnx).graph.node]
    assert (kinds.count("NonMaxSuppression"), kinds.count("RoiAlign")) == (2, 1)


def test_other_presets_say_what_can_be_exported(tmp_path: Path) -> None:
    model = make_model(ModelConfig(preset="resnet18_fpn", fpn_channels=16, head_channels=32))
    with pytest.raises(ExportError, match="resnet18_fpn cannot be exported") as raised:
        export(model, tmp_path / "model.onnx")
    assert "nano" in str(raised.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written(nano_model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DigitspotError, match="cannot write"):
        export(nano_model, tmp_path / "file" / "model.onnx")


def test_exporting_twice_gives_the_same_bytes(nano_model: Model, nano_onnx: Path, tmp_path: Path) -> None:
    assert export(nano_model, tmp_path / "again.onnx").read_bytes() == nano_onnx.read_bytes()
