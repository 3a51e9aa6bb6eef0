"""The loss in evaluation: nothing is left changed, and it is that of the network as it would be used."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from digitspot.config import Config, ModelConfig, OptimizerConfig, TrainConfig
from digitspot.dataset.augment import random_seed
from digitspot.detector import build_detector
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch
from digitspot.training.losses import evaluation_losses

CPU = torch.device("cpu")
FEW: dict[str, Any] = {
    "fpn_channels": 16,
    "head_channels": 32,
    "nano_widths": (8, 16, 24, 32),
    "rpn_pre_nms_train": 60,
    "rpn_post_nms_train": 30,
    "rpn_pre_nms_test": 20,
    "rpn_post_nms_test": 10,
    "rpn_batch_size_per_image": 16,
    "box_batch_size_per_image": 16,
}


def bits(learner: Learner) -> dict[str, Any]:
    """Return everything that must not change, as bytes and plain values."""
    states = {
        "model": learner.detector.state_dict(),
        "average": learner.average.state_dict() if learner.average is not None else {},
    }
    seen: dict[str, Any] = {
        f"{name}.{key}": value.numpy().tobytes()
        for name, state in states.items()
        for key, value in state.items()
    }
    for number, state in learner.optimizer.state_dict()["state"].items():
        seen.update({f"optimizer.{number}.{key}": value.numpy().tobytes() for key, value in state.items()})
    seen["gradients"] = [
        None if each.grad is None else each.grad.numpy().tobytes() for each in learner.detector.parameters()
    ]
    seen["modes"] = [module.training for module in learner.detector.modules()]
    seen["torch"] = torch.get_rng_state().numpy().tobytes()
    seen["numpy"] = np.random.get_state()[1].tobytes()  # type: ignore[union-attr]
    seen["python"] = random.getstate()
    return seen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("preset", ["nano", "resnet18_fpn", "mobilenet_v3_large_fpn", "resnet50_fpn_v2"])
def test_no_trace(preset: Any, precision: str, make_batch: Callable[..., TensorBatch]) -> None:
    config = Config(
        model=ModelConfig(**{**FEW, "preset": preset}),
        optimizer=OptimizerConfig(name="adamw"),
        train=TrainConfig(precision="fp32", ema_decay=0.9),
    )
    learner = Learner(build_detector(config.model), config, CPU)
    learner.update([make_batch(1)], 1.0, 0)
    learner.detector.backbone.eval()  # a mixture of modes, which must come back as it was
    before = bits(learner)
    losses = evaluation_losses(learner.detector, make_batch(2), CPU, precision, (0, 1))
    after = bits(learner)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []
    assert losses["loss"] == pytest.approx(sum(value for name, value in losses.items() if name != "loss"))
    assert losses.keys() >= {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
    assert losses == evaluation_losses(learner.detector, make_batch(2), CPU, precision, (0, 1)), "repeatable"


def test_batch_norms_and_dropout_are_in_evaluation(make_batch: Callable[..., TensorBatch]) -> None:
    detector = build_detector(ModelConfig(**{**FEW, "preset": "nano"}))
    seen: list[bool] = []
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda norm, *_: seen.append(norm.training))
    detector.train()
    evaluation_losses(detector, make_batch(2), CPU, "fp32", (0,))
    assert seen
    assert not any(seen)
    assert all(module.training for module in detector.modules())


def test_with_frozen_batch_norms_it_is_the_training_loss(small_detector: Any, make_batch: Any) -> None:
    """Nothing else differs between the modes: as many proposals, the same samples from the same key."""
    detector = small_detector(batch_norm="frozen").train()
    batch = make_batch(3)
    losses = evaluation_losses(detector, batch, CPU, "fp32", (7,))
    torch.manual_seed(random_seed(7))
    with torch.no_grad():
        _, expected = detector(batch.images, batch.sizes_hw, batch.targets)
    for name, value in expected.items():
        assert losses[name] == pytest.approx(float(value)), name


def test_modes_come_back_after_an_error(small_detector: Any, make_batch: Any) -> None:
    detector = small_detector().train()
    with pytest.raises(ValueError):
        evaluation_losses(
            detector, TensorBatch(make_batch(1).images, [(64, 64)] * 2, [], []), CPU, "fp32", ()
        )
    assert all(module.training for module in detector.modules())
