"""What several tests share: small detectors, built once, and signals as in a terminal."""

import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import settings

from digitspot.config import ModelConfig
from digitspot.detector import Detector, build_detector
from digitspot.training.loader import TensorBatch
from small_nano import blind_onnx, nano_int8, nano_model, nano_onnx, nano_run  # noqa: F401 - fixtures
from small_training import small_data, small_recipe  # noqa: F401 - fixtures

# A shell's background jobs ignore SIGINT, and so would all commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no reason to fail.
settings.register_profile("no deadlines", deadline=None)
settings.load_profile("no deadlines")

SMALL = {
    "fpn_channels": 16,
    "head_channels": 32,
    "rpn_pre_nms_train": 100,
    "rpn_post_nms_train": 50,
    "rpn_pre_nms_test": 60,
    "rpn_post_nms_test": 30,
    "rpn_batch_size_per_image": 16,
    "box_batch_size_per_image": 16,
}
"""Settings of a `resnet18_fpn` that is quick to build and to run."""


@pytest.fixture
def random() -> np.random.Generator:
    """Random numbers that no other test draws from."""
    return np.random.default_rng(0)


@pytest.fixture
def small_detector() -> Callable[..., Detector]:
    """Build a small detector from a fixed seed; keywords are fields of `ModelConfig`."""

    def build(**changes: object) -> Detector:
        torch.manual_seed(0)
        return build_detector(ModelConfig(**{**SMALL, **changes}))  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def still_detector() -> Detector:
    """A small detector that nobody trains, with statistics of its own in its batch norms."""
    torch.manual_seed(3)
    detector = build_detector(ModelConfig(**{**SMALL, "min_score": 0.0}))  # type: ignore[arg-type]
    with torch.no_grad():
        detector.train()
        for _ in range(3):
            detector.backbone(torch.randn(2, 3, 64, 64))
        detector.roi_heads.box_predictor.cls_score.weight.mul_(20)
    return detector.eval()


@pytest.fixture
def make_batch() -> Callable[..., TensorBatch]:
    """Make a batch of noise with one digit in each image; ids count from 100 times the seed."""

    def make(seed: int, num_images: int = 2, size_hw: tuple[int, int] = (64, 64)) -> TensorBatch:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(num_images, 3, *size_hw, generator=generator)
        corners = torch.rand(num_images, 2, generator=generator) * 20
        sides = 15 + torch.rand(num_images, 2, generator=generator) * 15
        labels = torch.randint(1, 11, (num_images, 1), generator=generator)
        targets = [
            {"boxes": torch.cat([corners[i], corners[i] + sides[i]])[None], "labels": labels[i]}
            for i in range(num_images)
        ]
        return TensorBatch(
            images, [size_hw] * num_images, targets, [100 * seed + i for i in range(num_images)]
        )

    return make
