"""What a detector does with a whole batch, where each of several processes holds a share of it."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from digitspot.ranks import ALONE, Ranks, total

Network = TypeVar("Network", bound=nn.Module)


class _Normalise(torch.autograd.Function):
    """Batch normalisation over all ranks, with its gradient (Ioffe and Szegedy 2015, section 3)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, num: Tensor
    ) -> Tensor:
        """Return `x` normalised, `[B, C, H, W]`, by statistics of all ranks.

        Args:
            ctx: For the gradient.
            x: `[B, C, H, W]`.
            weight: `[C]`.
            bias: `[C]`.
            mean: `[C, 1, 1]`.
            scale: One over the standard deviation, `[C, 1, 1]`.
            num: Values of each channel on all ranks.
        """
        ctx.save_for_backward(x, weight, mean, scale, num)
        return torch.addcmul(_column(bias), (x - mean) * scale, _column(weight)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Return the gradients of `x`, and this rank's part of those of weight and bias."""
        x, weight, mean, scale, num = ctx.saved_tensors
        gradient = gradients[0].to(weight.dtype)
        normal = (x - mean) * scale
        own = torch.stack([(gradient * normal).sum((0, 2, 3)), gradient.sum((0, 2, 3))])
        along, flat = total(own) / num
        of_x = (gradient - _column(flat) - normal * _column(along)) * scale * _column(weight)
        return of_x.to(x.dtype), own[0], own[1], None, None, None


class JointBatchNorm(nn.BatchNorm2d):
    """Normalises by the whole batch: as `nn.SyncBatchNorm`, which takes no CPU (PyTorch 2.14)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` normalised, `[B, C, H, W]`; in training by the mean and variance over all ranks."""
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            var, mean = torch.var_mean(x.to(self.weight.dtype), dim=(0, 2, 3), correction=0)
            own = mean.new_full((1, len(mean)), x.numel() / len(mean), dtype=torch.float64)
            num, first, second = total(torch.cat([own, torch.stack([mean, var + mean.square()]) * own]))
            mean, var = first / num, second / num - (first / num).square()
            self._count(mean, var * num / (num - 1))
            statistics = (_column(mean), _column(torch.rsqrt(var + self.eps)), num[0])
        arguments = (each.to(self.weight.dtype) for each in statistics)
        y: Tensor = _Normalise.apply(x, self.weight, self.bias, *arguments)  # type: ignore[no-untyped-call]
        return y

    def _count(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics, as `nn.BatchNorm2d` does."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        for running, value in ((self.running_mean, mean), (self.running_var, var)):
            assert running is not None
            assert self.momentum is not None
            running.lerp_(value.to(running.dtype), self.momentum)


def _column(values: Tensor) -> Tensor:
    return values[:, None, None]


def join_norms(detector: Network, device: torch.device) -> Network:
    """Let the batch norms of a detector normalise by the whole batch; parameters keep their names."""
    if device.type == "cuda":
        converted: Network = nn.SyncBatchNorm.convert_sync_batchnorm(detector)  # type: ignore[no-untyped-call]
        return converted
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = JointBatchNorm
    return detector


class JointSampler(BalancedPositiveNegativeSampler):  # type: ignore[misc]
    """torchvision's sampler; each rank draws for the whole batch, as one process would, and keeps its own.

    Attributes:
        ranks: Who holds a share of the batch.
        num: int64 `[]`, samples drawn last, of this rank.
        rank_of: int64 `[samples of all ranks]`, the rank of each in the order of one process.
    """

    ranks: Ranks = ALONE
    num = torch.zeros(())
    rank_of = torch.zeros(0)

    def __call__(self, states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return masks of the positive and the negative samples of each image; see the base class."""
        if self.ranks.size == 1:
            masks: tuple[list[Tensor], list[Tensor]] = super().__call__(states)
            return masks
        counts = torch.stack([torch.stack([(each >= 1).sum(), (each == 0).sum()]) for each in states])
        joint = self.ranks.gathered(counts).transpose(0, 1).flatten(0, 1)  # image i is of rank i % size
        stand_ins = [(torch.arange(sum(row), device=joint.device) < row[0]).int() for row in joint.tolist()]
        stand_ins[self.ranks.rank :: self.ranks.size] = states
        positive, negative = super().__call__(stand_ins)
        nums = torch.stack([each.sum() + other.sum() for each, other in zip(positive, negative, strict=True)])
        self.num = nums[self.ranks.rank :: self.ranks.size].sum()
        turns = torch.arange(len(nums), device=nums.device) % self.ranks.size
        self.rank_of = turns.repeat_interleave(nums)
        return list(self.ranks.own(positive)), list(self.ranks.own(negative))
