"""The network, its averaged copy and its optimiser: one update at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from digitspot.config import Config, OptimizerConfig
from digitspot.dataset.augment import random_seed
from digitspot.detector import Detector
from digitspot.detector.joint import join_norms
from digitspot.errors import ConfigError, DigitspotError
from digitspot.ranks import ALONE, Ranks
from digitspot.runtime.torch_runtime import autocast
from digitspot.training.loader import TensorBatch

Tensors = tuple[Tensor, ...] | list[Tensor]


class NonFiniteLossError(DigitspotError):
    """The loss became infinite or not a number; the message names the images of the batch."""


def non_finite(what: str, value: float, image_ids: Sequence[int]) -> NonFiniteLossError:
    """Say what is not finite, and on which images."""
    return NonFiniteLossError(
        f"the {what} is {value} on the images {', '.join(map(str, image_ids))}",
        hint="Look at their boxes (`digitspot data check`), or lower --optimizer.lr.",
    )


class Learner:
    """Everything that an update changes.

    Args:
        detector: Moved to `device`.
        config: Optimiser, precision, averaging, seed.
        device: Where to train.
        ranks: Who trains on a share of every batch.
    """

    def __init__(
        self, detector: Detector, config: Config, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        if config.train.precision == "fp16" and device.type != "cuda":
            raise ConfigError(f"precision fp16 needs CUDA, the device is {device}", hint="Use bf16 or fp32.")
        self.config = config
        self.device = device
        self.ranks = ranks
        self.detector = detector.to(device)
        if ranks.size > 1:
            self.detector = join_norms(self.detector, device)
        self.average = _average(self.detector, config.train.ema_decay)
        self.optimizer = build_optimizer(self.detector, config.optimizer)
        self.network = ranks.parallel(self.detector)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16")

    @property
    def best_model(self) -> Detector:
        """The network to validate and keep: the averaged one where there is one."""
        return self.detector if self.average is None else cast(Detector, self.average.module)

    def update(self, batches: Sequence[TensorBatch], factor: float, step: int) -> dict[str, float]:
        """Do one update from the mean gradient of the batches.

        Args:
            batches: `optimizer.accumulate` of them, fewer at the end of an epoch; this rank's share of each.
            factor: Multiplies every learning rate.
            step: The update's number; with the seed it decides all sampling.

        Returns:
            The named losses and their sum, `loss`, mean over the batches, before the update.

        Raises:
            NonFiniteLossError: No weight was changed; the batch norms' statistics have seen the batch.
        """
        torch.manual_seed(random_seed(self.config.train.seed, step))
        self.detector.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, float] = {}
        for piece, divisor, is_last in self._pieces(batches):
            with nullcontext() if is_last else self.ranks.apart(self.network):
                for name, value in self._backward(piece, divisor).items():
                    losses[name] = losses.get(name, 0.0) + value / divisor
        self._apply([image_id for batch in batches for image_id in batch.image_ids])
        return losses

    def _pieces(self, batches: Sequence[TensorBatch]) -> Iterator[tuple[TensorBatch, float, bool]]:
        """Cut the batches; yield pieces, what their losses are divided by, and whether it is the last."""
        limit, multiple = self.config.train.max_batch_pixels, self.config.input.multiple
        own_limit = None if limit is None else limit // self.ranks.size
        for number, batch in enumerate(batches, 1):
            pieces = batch.joint(self.ranks, multiple).pieces(own_limit, multiple)
            for place, piece in enumerate(pieces, 1):
                divisor = len(batches) * len(batch.image_ids) / len(piece.image_ids)
                yield piece, divisor, (number, place) == (len(batches), len(pieces))

    def _backward(self, batch: TensorBatch, divisor: float) -> dict[str, float]:
        batch = batch.to(self.device)
        with autocast(self.device, self.config.train.precision):
            _, losses = self.network(batch.images, batch.sizes_hw, batch.targets, self.ranks)
        total = torch.stack(list(losses.values())).sum()
        values = self.ranks.gathered(torch.stack([*losses.values(), total])).mean(0).tolist()
        if not math.isfinite(values[-1]):
            raise non_finite("loss", values[-1], self.ranks.collected(batch.image_ids))
        self.scaler.scale(total / divisor).backward()  # type: ignore[no-untyped-call]
        return dict(zip([*losses, "loss"], values, strict=True))

    def _apply(self, image_ids: Sequence[int]) -> None:
        self.scaler.unscale_(self.optimizer)
        limit = self.config.optimizer.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(self.detector.parameters(), limit)
        if not (self.scaler.is_enabled() or torch.isfinite(norm)):  # the scaler leaves such updates out
            raise non_finite("gradient", float(norm), self.ranks.collected(image_ids))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.detector)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that an update changes, for `load_state_dict`."""
        return {
            "model": self.detector.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state; the next update is then the one that followed it, bit for bit on a CPU."""
        self.detector.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])


def build_optimizer(detector: Detector, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Group the parameters: the backbone has its own rate, norms and biases have no decay.

    Each group carries `peak_lr`, which the schedule multiplies.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in detector.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = config.lr * (config.backbone_lr_factor if name.startswith("backbone.body.") else 1.0)
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    options = [
        {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    if config.name == "sgd":
        return torch.optim.SGD(options, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(options, lr=config.lr, betas=(config.momentum, 0.999), fused=True)


def _average(detector: Detector, decay: float) -> AveragedModel | None:
    """Return the exponential moving average of weights and buffers, or None without one.

    The decay is warmed up as in TensorFlow's ExponentialMovingAverage: min(decay, (1 + n) / (10 + n)).
    """
    if decay == 0:
        return None

    def blend(averaged: Tensors, current: Tensors, num_averaged: Tensor | int) -> None:
        num = int(num_averaged)
        weight = 1 - min(decay, (1 + num) / (10 + num))
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, weight)
        else:
            for mean, value in zip(averaged, current, strict=True):
                mean.copy_(value)

    return AveragedModel(detector, multi_avg_fn=blend, use_buffers=True)
