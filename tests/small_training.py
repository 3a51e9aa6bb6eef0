"""A small data set and a small recipe, for trainings of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from digitspot.synth.generate import SynthRequest
from digitspot.synth.write import synthesize

SMALL = {
    "data": {"workers": 1},
    "input": {"short_side": 32, "long_side": 96},
    "augment": {"preset": "photo"},
    "model": {
        "preset": "resnet18_fpn",
        "fpn_channels": 16,
        "head_channels": 32,
        "rpn_pre_nms_train": 50,
        "rpn_post_nms_train": 30,
        "rpn_pre_nms_test": 30,
        "rpn_post_nms_test": 20,
        "rpn_batch_size_per_image": 32,
        "box_batch_size_per_image": 16,
        "max_detections": 10,
    },
    "schedule": {"kind": "wsd", "warmup_steps": 2},
    "train": {"epochs": 4, "batch_size": 4, "device": "cpu", "ema_decay": 0.9},
}


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training, 8 validation and 8 test images."""
    folder = tmp_path_factory.mktemp("small") / "data"
    synthesize(folder, SynthRequest(train=24, valid=8, test=8, seed=3, domain="plates"))
    return folder


@pytest.fixture(scope="session")
def small_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path
