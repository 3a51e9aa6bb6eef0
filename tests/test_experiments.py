"""Settings that exist for experiments: dropout in the box head, and enlarging."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from digitspot.config import InputConfig, ModelConfig
from digitspot.detector import Detector, build_detector
from digitspot.images import decode_image, list_images
from digitspot.preprocess import prepare
from digitspot.runtime.onnx_runtime import OnnxRuntime
from digitspot.runtime.torch_runtime import TorchRuntime
from digitspot.training.loader import TensorBatch
from small_nano import NANO, RULE, export, make_model


def dropped(detector: Detector, batch: TensorBatch) -> tuple[Any, Any]:
    """Return the losses of two passes that differ in nothing but what is dropped."""
    losses = []
    for seed in (1, 2):
        torch.manual_seed(0)
        head = detector.roi_heads if hasattr(detector, "roi_heads") else detector
        module = head.box_predictor if hasattr(head, "box_predictor") else detector
        before = copy.deepcopy(module.dropout)
        module.dropout.forward = lambda values, seed=seed: _drop(values, seed)  # type: ignore[method-assign]
        losses.append(
            {k: v.item() for k, v in detector(batch.images, batch.sizes_hw, batch.targets)[1].items()}
        )
        module.dropout = before
    return losses[0], losses[1]


def _drop(values: torch.Tensor, seed: int) -> torch.Tensor:
    keep = torch.rand(values.shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    return values * keep * 2


@pytest.mark.parametrize("preset", ["nano", "resnet18_fpn"])
def test_dropout_reaches_digits_and_boxes_and_never_proposals(
    preset: str, small_detector: Callable[..., Detector], make_batch: Callable[..., TensorBatch]
) -> None:
    detector = small_detector(preset=preset, dropout=0.5).train()
    one, other = dropped(detector, make_batch(1))
    assert one["loss_objectness"] == other["loss_objectness"]
    assert one["loss_classifier"] != other["loss_classifier"]
    assert one["loss_box_reg"] != other["loss_box_reg"]


@pytest.mark.parametrize("preset", ["nano", "resnet18_fpn"])
def test_dropout_is_off_in_use_and_has_no_weights(
    preset: str, small_detector: Callable[..., Detector]
) -> None:
    plain = small_detector(preset=preset, min_score=0.0).eval()
    with_dropout = small_detector(preset=preset, min_score=0.0, dropout=0.9)
    with_dropout.load_state_dict(plain.state_dict())
    average = copy.deepcopy(with_dropout).eval()  # beside a copy that is still training
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        [expected], [found] = plain(images, [(64, 64)])[0], average(images, [(64, 64)])[0]
    assert torch.equal(expected["scores"], found["scores"])


def test_no_dropout_changes_nothing() -> None:
    torch.manual_seed(0)
    first = build_detector(ModelConfig(preset="resnet18_fpn", fpn_channels=16, head_channels=32))
    assert not any(isinstance(module, torch.nn.Dropout) for module in first.modules())


def test_enlarging_leaves_boxes_in_the_images_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (21, 44, 3), np.uint8)
    boxes = np.array([[3, 4, 20, 15]], np.float32)
    held, moved = (
        InputConfig(short_side=32, long_side=96, upscale=2),
        InputConfig(short_side=64, long_side=192, upscale=2),
    )
    plain = prepare(image, replace(held, upscale=1))
    assert prepare(image, held).size_hw == plain.size_hw, "the resize undoes it"
    assert prepare(image, moved).size_hw == (64, 134)
    for rule in (held, moved):
        sample = prepare(image, rule)
        np.testing.assert_allclose(sample.to_original(sample.to_input(boxes)), boxes, rtol=1e-6)
    assert not np.array_equal(prepare(image, held).pixels, plain.pixels)
    bicubic = Image.fromarray(image).resize((88, 42), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(
        prepare(np.asarray(bicubic), replace(held, upscale=1)).pixels, prepare(image, held).pixels
    )


def test_an_export_sees_what_the_model_sees(small_data: Path, tmp_path: Path) -> None:
    rule = replace(RULE, upscale=2)
    model = make_model(replace(NANO, dropout=0.5))
    model = replace(model, config=replace(model.config, input=rule))
    exported = OnnxRuntime(export(model, tmp_path / "model.onnx"))
    assert exported.rule == rule
    images = [decode_image(path) for path in list_images(small_data / "test").paths[:4]]
    torch_runtime = TorchRuntime(model.detector, rule, torch.device("cpu"))
    for ours, theirs in zip(torch_runtime.detect(images), exported.detect(images), strict=True):
        assert len(ours) > 0
        np.testing.assert_allclose(np.sort(ours.scores), np.sort(theirs.scores), atol=1e-3)
        np.testing.assert_allclose(ours.boxes.sum(0), theirs.boxes.sum(0), rtol=1e-3, atol=0.5)
