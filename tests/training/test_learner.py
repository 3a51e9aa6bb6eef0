"""One update: what moves, by how much, and what does not; compared with loops written out here."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from digitspot.config import Config, OptimizerConfig, TrainConfig
from digitspot.dataset.augment import random_seed
from digitspot.detector import Detector
from digitspot.errors import ConfigError
from digitspot.training.learner import Learner, NonFiniteLossError, build_optimizer
from digitspot.training.loader import TensorBatch

Build = Callable[..., Detector]
Make = Callable[..., TensorBatch]
CPU = torch.device("cpu")


def config(*, seed: int = 3, precision: Any = "fp32", ema: float = 0.0, **optimizer: Any) -> Config:
    """Configure plain gradient descent without anything around it, and what the keywords add."""
    plain = {"name": "sgd", "lr": 0.01, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": 0.0}
    return Config(
        optimizer=OptimizerConfig(**{**plain, **optimizer}),
        train=TrainConfig(seed=seed, precision=precision, ema_decay=ema),
    )


def copied(state: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    assert first.keys() == second.keys()
    return {name for name in first if not torch.equal(first[name], second[name])}


def test_groups_hold_every_parameter_once(small_detector: Build) -> None:
    detector = small_detector()
    settings = OptimizerConfig(lr=0.01, backbone_lr_factor=0.1, weight_decay=0.05)
    optimizer = build_optimizer(detector, settings)
    grouped = [id(each) for group in optimizer.param_groups for each in group["params"]]
    assert sorted(grouped) == sorted(id(each) for each in detector.parameters())
    group_of = {id(each): group for group in optimizer.param_groups for each in group["params"]}
    norms = {id(p) for m in detector.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    for name, parameter in detector.named_parameters():
        group = group_of[id(parameter)]
        rate = 0.001 if name.startswith("backbone.body.") else 0.01
        assert (group["lr"], group["peak_lr"]) == (pytest.approx(rate), pytest.approx(rate)), name
        bare = id(parameter) in norms or name.endswith(".bias")
        assert group["weight_decay"] == (0.0 if bare else 0.05), name


def test_groups_leave_out_what_is_frozen(small_detector: Build) -> None:
    detector = small_detector(batch_norm="frozen")
    grouped = [
        each
        for group in build_optimizer(detector, OptimizerConfig()).param_groups
        for each in group["params"]
    ]
    assert len(grouped) == sum(each.requires_grad for each in detector.parameters())
    assert all(each.requires_grad for each in grouped)


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        (OptimizerConfig(name="sgd", momentum=0.8), torch.optim.SGD, {"momentum": 0.8}),
        (OptimizerConfig(name="adamw", momentum=0.8), torch.optim.AdamW, {"betas": (0.8, 0.999)}),
    ],
)
def test_kind_of_optimiser(
    small_detector: Build, settings: OptimizerConfig, kind: type, expected: dict[str, Any]
) -> None:
    optimizer = build_optimizer(small_detector(), settings)
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert {name: group[name] for name in expected} == expected


def test_a_backbone_of_rate_zero_stays(small_detector: Build, make_batch: Make) -> None:
    for name in ("sgd", "adamw"):
        settings = config(name=name, backbone_lr_factor=0.0, weight_decay=0.1, momentum=0.9)
        learner = Learner(small_detector(batch_norm="frozen"), settings, CPU)
        before = copied(learner.detector.state_dict())
        learner.update([make_batch(1)], 1.0, 0)
        moved = differing(before, learner.detector.state_dict())
        assert moved
        assert not any(each.startswith("backbone.body.") for each in moved)


def test_batch_norm_policies(small_detector: Build, make_batch: Make) -> None:
    parts = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    for policy, expected in (("frozen", set()), ("live", parts)):
        learner = Learner(small_detector(batch_norm=policy), config(lr=0.1), CPU)
        norms = {n for n, m in learner.detector.named_modules() if isinstance(m, nn.BatchNorm2d)}
        before = copied(learner.detector.state_dict())
        for step in range(2):
            learner.update([make_batch(step)], 1.0, step)
        moved = [each.rpartition(".") for each in differing(before, learner.detector.state_dict())]
        assert {part for owner, _, part in moved if owner in norms} == expected, policy
        assert any(owner not in norms for owner, _, part in moved)


def gradients(detector: Detector, batches: list[TensorBatch], seed: int, step: int) -> dict[str, Tensor]:
    """Work out the mean gradient of the batches, in the order and with the draws of an update."""
    torch.manual_seed(random_seed(seed, step))
    detector.train()
    sums = {name: torch.zeros_like(p) for name, p in detector.named_parameters() if p.requires_grad}
    for batch in batches:
        detector.zero_grad()
        _, losses = detector(batch.images, batch.sizes_hw, batch.targets)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        for name, parameter in detector.named_parameters():
            if parameter.grad is not None:
                sums[name] += parameter.grad / len(batches)
    return sums


def test_accumulation_is_the_mean_gradient(small_detector: Build, make_batch: Make) -> None:
    batches = [make_batch(1), make_batch(2)]
    expected = gradients(small_detector(batch_norm="frozen"), batches, seed=3, step=5)
    learner = Learner(small_detector(batch_norm="frozen"), config(lr=0.5), CPU)
    before = copied(dict(learner.detector.named_parameters()))  # type: ignore[arg-type]
    losses = learner.update(batches, 0.1, 5)
    for name, parameter in learner.detector.named_parameters():
        if name in expected:
            moved = before[name] - 0.05 * expected[name]
            torch.testing.assert_close(parameter.detach(), moved, atol=1e-6, rtol=1e-5, msg=name)
    single = Learner(small_detector(batch_norm="frozen"), config(), CPU).update([batches[0]], 1.0, 5)
    assert losses["loss"] == pytest.approx(sum(value for name, value in losses.items() if name != "loss"))
    assert losses.keys() == single.keys()
    assert all(group["lr"] == pytest.approx(0.05) for group in learner.optimizer.param_groups)


def test_reported_losses_are_means_over_the_batches(small_detector: Build, make_batch: Make) -> None:
    batch = make_batch(1)
    detector = small_detector(batch_norm="frozen").train()
    torch.manual_seed(random_seed(3, 0))
    passes = [detector(batch.images, batch.sizes_hw, batch.targets)[1] for _ in range(2)]
    losses = Learner(small_detector(batch_norm="frozen"), config(), CPU).update([batch, batch], 1.0, 0)
    for name in passes[0]:
        assert losses[name] == pytest.approx((passes[0][name] + passes[1][name]).item() / 2, rel=1e-4)


def test_clipping_bounds_the_step(small_detector: Build, make_batch: Make) -> None:
    def distance(clip: float) -> float:
        learner = Learner(small_detector(batch_norm="frozen"), config(clip_norm=clip), CPU)
        before = [each.detach().clone() for each in learner.detector.parameters()]
        learner.update([make_batch(1)], 1.0, 0)
        moved = [a.detach() - b for a, b in zip(learner.detector.parameters(), before, strict=True)]
        return float(torch.stack([each.norm() for each in moved]).norm())

    free = distance(0.0)
    assert distance(1e6) == pytest.approx(free, rel=1e-5)
    assert distance(free / 0.01 / 10) == pytest.approx(free / 10, rel=1e-3)


@pytest.mark.parametrize("decay", [0.05, 0.3, 0.998])
def test_average_is_the_written_out_loop(decay: float, small_detector: Build, make_batch: Make) -> None:
    learner = Learner(small_detector(), config(lr=0.05, ema=decay), CPU)
    expected: dict[str, Tensor] = {}
    for step in range(4):
        learner.update([make_batch(step)], 1.0, step)
        state = learner.detector.state_dict()
        if step == 0:
            expected = copied(state)
            continue
        keep = min(decay, (1 + step) / (10 + step))
        for name, value in state.items():
            if value.is_floating_point():
                expected[name] = keep * expected[name] + (1 - keep) * value
            else:
                expected[name] = value.clone()
    averaged = learner.best_model.state_dict()
    assert averaged.keys() == expected.keys()
    for name, value in averaged.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5, msg=name)
    assert differing(averaged, learner.detector.state_dict())


def test_without_averaging_the_model_is_the_network(small_detector: Build) -> None:
    learner = Learner(small_detector(), config(ema=0.0), CPU)
    assert learner.average is None
    assert learner.best_model is learner.detector


@pytest.mark.parametrize("place", [0, 1], ids=["first batch", "second batch"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number(place: int, value: float, small_detector: Build, make_batch: Make) -> None:
    learner = Learner(small_detector(batch_norm="frozen"), config(name="adamw", ema=0.9), CPU)
    learner.update([make_batch(1)], 1.0, 0)
    before = learner.state_dict()
    weights, average = copied(before["model"]), copied(before["average"])
    moments = {k: copied(v) for k, v in before["optimizer"]["state"].items()}
    batches = [make_batch(5), make_batch(6)]
    bad = batches[place]
    batches[place] = replace(bad, images=torch.full_like(bad.images, value))
    with pytest.raises(NonFiniteLossError) as raised:
        learner.update(batches, 1.0, 1)
    assert all(str(image_id) in str(raised.value) for image_id in bad.image_ids)
    assert not any(str(image_id) in str(raised.value) for image_id in batches[1 - place].image_ids)
    assert raised.value.hint
    after = learner.state_dict()
    assert not differing(weights, after["model"])
    assert not differing(average, after["average"])
    for key, state in after["optimizer"]["state"].items():
        assert not differing(moments[key], state)


def test_an_update_is_a_function_of_state_seed_and_step(small_detector: Build, make_batch: Make) -> None:
    settings = config(name="adamw", ema=0.9)

    def run(noise: int) -> tuple[dict[str, float], Learner]:
        learner = Learner(small_detector(), settings, CPU)
        torch.manual_seed(noise)
        return learner.update([make_batch(1)], 1.0, 4), learner

    (first, one), (second, two) = run(0), run(99)
    assert first == second
    assert not differing(one.detector.state_dict(), two.detector.state_dict())


def test_a_loaded_state_goes_on_bit_for_bit(small_detector: Build, make_batch: Make, tmp_path: Any) -> None:
    settings = config(name="adamw", ema=0.9)
    learner = Learner(small_detector(), settings, CPU)
    for step in range(2):
        learner.update([make_batch(step)], 0.5, step)
    torch.save(learner.state_dict(), tmp_path / "state.pt")
    other = Learner(small_detector(fpn_channels=16), settings, CPU)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    losses = [each.update([make_batch(7)], 0.5, 2) for each in (learner, other)]
    assert losses[0] == losses[1]
    assert not differing(learner.detector.state_dict(), other.detector.state_dict())
    assert not differing(learner.best_model.state_dict(), other.best_model.state_dict())


def test_images_without_digits_train(small_detector: Build, make_batch: Make) -> None:
    batch = make_batch(1)
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    learner = Learner(small_detector(), config(), CPU)
    for targets in ([none, none], [none, batch.targets[1]]):
        assert learner.update([replace(batch, targets=targets)], 1.0, 0)["loss"] > 0


def test_bfloat16_updates_float32_weights(small_detector: Build, make_batch: Make) -> None:
    learner = Learner(small_detector(), config(precision="bf16"), CPU)
    full = Learner(small_detector(), config(), CPU)
    losses, exact = (each.update([make_batch(1)], 1.0, 0) for each in (learner, full))
    assert losses["loss"] == pytest.approx(exact["loss"], rel=0.1)
    assert {each.dtype for each in learner.detector.parameters()} == {torch.float32}


def test_fp16_needs_cuda(small_detector: Build) -> None:
    with pytest.raises(ConfigError, match="fp16 needs CUDA"):
        Learner(small_detector(), config(precision="fp16"), CPU)


def test_a_gradient_that_is_no_number(small_detector: Build, make_batch: Make) -> None:
    learner = Learner(small_detector(), config(name="adamw", ema=0.9), CPU)
    learner.update([make_batch(1)], 1.0, 0)
    weights = copied(dict(learner.detector.named_parameters()))
    head = learner.detector.roi_heads.box_predictor.cls_score.weight
    head.register_hook(lambda gradient: gradient * float("inf"))
    batch = make_batch(5)
    with pytest.raises(NonFiniteLossError, match="gradient is nan") as raised:
        learner.update([batch], 1.0, 1)
    assert all(str(image_id) in str(raised.value) for image_id in batch.image_ids)
    assert not differing(weights, dict(learner.detector.named_parameters()))
