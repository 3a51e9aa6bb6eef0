"""A small `nano` with random weights as a run, and what `digitspot export` makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from digitspot.config import Config, InputConfig, ModelConfig
from digitspot.dataset.seen import Seen
from digitspot.detector import Detector, build_detector
from digitspot.detector.export import export_onnx
from digitspot.detector.quantize import Feed, feeds, sample_images
from digitspot.detector.trained import Model, save_model
from digitspot.labels.labels import CategoryMap
from digitspot.model_file import BEST
from reading_layouts import threshold_settings

NANO = ModelConfig(
    preset="nano",
    nano_widths=(8, 16, 24, 32),
    fpn_channels=16,
    head_channels=32,
    rpn_pre_nms_test=300,
    rpn_post_nms_test=25,
    min_score=0.05,
    max_detections=20,
)
"""More proposals before suppression than the smallest input has anchors."""
RULE = InputConfig(short_side=32, long_side=96, multiple=32)
RECIPE = {
    "data": {"workers": 0},
    "input": vars(RULE),
    "model": {**vars(NANO), "rpn_pre_nms_train": 50, "rpn_post_nms_train": 20},
    "train": {"batch_size": 8, "device": "cpu", "precision": "fp32"},
}


def write_recipe(path: Path, **train: object) -> None:
    """Write a recipe that trains the small `nano` in no time."""
    recipe = {**RECIPE, "train": {**RECIPE["train"], **train}}
    path.write_text(yaml.safe_dump(json.loads(json.dumps(recipe))))


def make_model(config: ModelConfig) -> Model:
    """Return a model with random weights and statistics of its own in its batch norms."""
    torch.manual_seed(0)
    detector = build_detector(config, load_weights=False)
    _spread(detector)
    return Model(
        detector=detector.eval(),
        config=Config(input=RULE, model=config),
        categories=CategoryMap((10, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
        reading=threshold_settings(min_score=0.3, max_iou=0.2),
        scores={},
        seen=Seen(frozenset({3, 2**63})),
    )


def _spread(detector: Detector) -> None:
    """Let the outputs differ from place to place."""
    with torch.no_grad():
        detector.train()
        for _ in range(10):
            detector.backbone(torch.randn(4, 3, 64, 64))
        for name, std in (("propose", 0.3), ("classify", 2.0), ("regress", 0.3)):
            layer = getattr(detector, name, None)
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.normal_(layer.weight, std=std)


def export(model: Model, path: Path, calibration: Iterable[Feed] | None = None) -> Path:
    export_onnx(model.detector, model.info, path, calibration)
    return path


@pytest.fixture(scope="session")
def nano_model() -> Model:
    return make_model(NANO)


@pytest.fixture(scope="session")
def nano_run(nano_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("nano") / "run"
    save_model(nano_model, run / BEST)
    return run


@pytest.fixture(scope="session")
def nano_onnx(nano_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(nano_model, tmp_path_factory.mktemp("nano") / "model.onnx")


@pytest.fixture(scope="session")
def nano_int8(nano_model: Model, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "int8.onnx"
    return export(nano_model, path, feeds(sample_images(small_data), RULE))


@pytest.fixture(scope="session")
def blind_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never finds anything."""
    return export(make_model(replace(NANO, min_score=1.1)), tmp_path_factory.mktemp("blind") / "model.onnx")
