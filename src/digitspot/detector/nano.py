"""`nano`: a Faster R-CNN for numbers on two CPU cores, its heads batched over images.

What it leaves out, and why it may: digits are few, upright and of one scale within an image. So one level
proposes (stride 8) instead of five, one level is pooled (stride 4), a box is regressed whatever its
class, and a few dozen proposals are enough. What it keeps is the two-stage detector's strength: a second
look at each place, with features of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import Conv2dNormActivation

from digitspot.config import ModelConfig
from digitspot.detector import batched
from digitspot.detector.model import Detector
from digitspot.ranks import ALONE, Ranks
from digitspot.types import NUM_DIGITS

NUM_CLASSES = NUM_DIGITS + 1
ANCHOR_SIZES = (12, 18, 25, 35, 50, 70)
ANCHOR_RATIOS = (1.6, 2.8)
"""As `resnet18_fpn`: with these, 97 % of SVHN's training digits overlap an anchor by 0.7 or more."""
POOL_STRIDE, ANCHOR_STRIDE = 4, 8
POOL_SIZE = 7
RPN_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""As torchvision's `RegionProposalNetwork` and `RoIHeads`; so are the overlaps of a match below."""
RPN_HIGH, RPN_LOW, RPN_NMS = 0.7, 0.3, 0.7
BOX_HIGH = BOX_LOW = 0.5
VOTE_IOU = 0.6
"""Of 0.5, 0.6 and 0.7 the best on `valid`, by little; voting itself is worth 0.012 mAP there, plain and
zoomed out (benchmarks/results/tried.md)."""
RPN_BETA = BOX_BETA = 1 / 9
"""Where smooth L1 turns linear, as torchvision's."""

Pool = Callable[[Tensor, Tensor, float, int], Tensor]
"""`batched.pool_boxes`, or an equal of it."""


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016), which is projected where shapes change.

    The shortcut shrinks by averaging, so that no value is left out (He et al. 2019, ResNet-D).
    """

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = Conv2dNormActivation(channels_in, channels, 3, stride)
        self.second = Conv2dNormActivation(channels, channels, 3, activation_layer=None)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride))
        if channels_in != channels:
            self.shortcut.append(Conv2dNormActivation(channels_in, channels, 1, activation_layer=None))

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, channels, H / stride, W / stride]`."""
        return functional.relu_(self.second(self.first(x)) + self.shortcut(x))


class Backbone(nn.Module):
    """Strides 4, 8, 16 and 32, then merged downwards to 8 and 4.

    Args:
        widths: Channels at the four strides.
        channels: Channels of both outputs.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        w4, w8, w16, w32 = widths
        self.stem = Conv2dNormActivation(3, w4 // 2, 3, 2)
        self.stage4 = nn.Sequential(Residual(w4 // 2, w4, 2))
        self.stage8 = nn.Sequential(Residual(w4, w8, 2), Residual(w8, w8))
        self.stage16 = nn.Sequential(Residual(w8, w16, 2), Residual(w16, w16))
        self.stage32 = nn.Sequential(Residual(w16, w32, 2), Residual(w32, w32))
        self.laterals = nn.ModuleList(
            Conv2dNormActivation(width, channels, 1, activation_layer=None) for width in widths
        )
        self.smooth8 = Conv2dNormActivation(channels, channels, 3)
        self.smooth4 = Conv2dNormActivation(channels, channels, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features at stride 4, to pool from, and at stride 8, to propose on."""
        x4 = self.stage4(self.stem(x))
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x32 = self.stage32(x16)
        lateral4, lateral8, lateral16, lateral32 = self.laterals
        merged16 = lateral16(x16) + _twice(lateral32(x32))
        merged8 = lateral8(x8) + _twice(merged16)
        merged4 = lateral4(x4) + _twice(merged8)
        return self.smooth4(functional.relu_(merged4)), self.smooth8(functional.relu_(merged8))


class Nano(Detector):
    """The network.

    Args:
        config: Widths, anchors, proposals, samples, thresholds.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels, hidden = config.fpn_channels, config.head_channels
        sizes = config.anchor_sizes[0] if config.anchor_sizes else ANCHOR_SIZES
        anchors = batched.anchor_shapes(sizes, config.anchor_ratios or ANCHOR_RATIOS)
        self.anchors: Tensor  # [A, 4] around (0, 0)
        self.register_buffer("anchors", anchors, persistent=False)
        self.backbone = Backbone(config.nano_widths, channels)
        self.propose = nn.Conv2d(channels, 5 * len(anchors), 1)
        self.box_head = nn.Sequential(
            nn.Linear(channels * POOL_SIZE * POOL_SIZE, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(hidden, NUM_CLASSES)
        self.regress = nn.Linear(hidden, 4)
        for layer in (self.propose, self.classify, self.regress):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        batch: Tensor,
        sizes_hw: Sequence[tuple[int, int]],
        targets: Sequence[dict[str, Tensor]] | None = None,
        ranks: Ranks = ALONE,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Find digits, or measure how far off the network is; see `Detector.forward`."""
        frames = torch.tensor([(w, h, w, h) for h, w in sizes_hw], device=batch.device)[:, None]  # [B, 1, 4]
        fine, coarse = self.backbone(batch.contiguous(memory_format=torch.channels_last))
        anchors = batched.place_anchors(self.anchors, coarse.shape[-2:], ANCHOR_STRIDE)  # [N, 4]
        objectness, offsets = self.proposal_outputs(coarse)
        proposals, exists = self._proposals(anchors, objectness.detach(), offsets.detach(), frames)
        if targets is None:
            return self._detect(fine, proposals, exists, frames), {}
        truth = _pad_targets(targets, batch.device, ranks)
        losses = self._proposal_losses(anchors, objectness, offsets, truth, ranks)
        return [], {**losses, **self._box_losses(fine, proposals, exists, truth, ranks)}

    def proposal_outputs(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return objectness `[B, N]` and offsets `[B, N, 4]` of every anchor, in float32."""
        outputs = self.propose(features).permute(0, 2, 3, 1).float()  # [B, H, W, 5 * A]
        outputs = outputs.reshape(outputs.shape[0], -1, 5)
        return outputs[..., 0], outputs[..., 1:]

    def _proposals(
        self, anchors: Tensor, objectness: Tensor, offsets: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the best places `[B, K, 4]` after suppression, and which of them exist `[B, K]`."""
        after = self.config.rpn_post_nms_train if self.training else self.config.rpn_post_nms_test
        boxes, scores = self.candidates(anchors, objectness, offsets, frames)
        scores, best = batched.best_of(batched.suppress(boxes, scores[:, None], RPN_NMS)[:, 0], after)
        return _take(boxes, best), torch.isfinite(scores)

    def candidates(
        self, anchors: Tensor, objectness: Tensor, offsets: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the best places before suppression `[B, K, 4]`, and their scores `[B, K]`.

        Those under a pixel score minus infinity.
        """
        before = self.config.rpn_pre_nms_train if self.training else self.config.rpn_pre_nms_test
        scores, index = batched.best_of(objectness, before)
        boxes = batched.decode(anchors[index], _take(offsets, index), RPN_WEIGHTS)
        boxes = torch.minimum(boxes.clamp(min=0), frames)
        small = (boxes[..., 2:] - boxes[..., :2]).amin(-1) < 1
        return boxes, scores.masked_fill(small, -torch.inf)

    def _proposal_losses(
        self, anchors: Tensor, objectness: Tensor, offsets: Tensor, truth: _Truth, ranks: Ranks
    ) -> dict[str, Tensor]:
        boxes = anchors.expand(len(objectness), -1, -1)
        ious = batched.box_ious(boxes, truth.boxes)
        index, state = batched.match(ious, truth.present, RPN_HIGH, RPN_LOW, allow_low_quality=True)
        size = self.config.rpn_batch_size_per_image
        chosen, used, positive = batched.sample(state, size, 0.5, ranks.rand)
        num = used.sum().clamp(min=1)
        scores = objectness.gather(1, chosen)
        loss = functional.binary_cross_entropy_with_logits(scores[used], positive[used].float())
        wanted = batched.encode(anchors[chosen], _take(truth.boxes, index.gather(1, chosen)), RPN_WEIGHTS)
        moves = _take(offsets, chosen)[positive] - wanted[positive]
        losses = {"loss_objectness": loss, "loss_rpn_box_reg": _smooth_l1(moves, RPN_BETA) / num}
        return ranks.weighted(losses, num)

    def _box_losses(
        self, features: Tensor, proposals: Tensor, exists: Tensor, truth: _Truth, ranks: Ranks
    ) -> dict[str, Tensor]:
        boxes = torch.cat([proposals, truth.boxes], 1)  # the truth is proposed, too
        exists = torch.cat([exists, truth.present], 1)
        ious = batched.box_ious(boxes, truth.boxes)
        index, state = batched.match(ious, truth.present, BOX_HIGH, BOX_LOW, allow_low_quality=False)
        state = state.masked_fill(~exists, -1)
        size, fraction = self.config.box_batch_size_per_image, self.config.box_positive_fraction
        chosen, used, positive = batched.sample(state, size, fraction, ranks.rand)
        num = used.sum().clamp(min=1)
        index = index.gather(1, chosen)
        boxes = _take(boxes, chosen)
        logits, offsets = self._box_outputs(features, boxes, ranks=ranks)
        labels = truth.labels.gather(1, index).masked_fill(~positive, 0)
        wanted = batched.encode(boxes, _take(truth.boxes, index), BOX_WEIGHTS)
        moves = offsets[positive] - wanted[positive]
        losses = {
            "loss_classifier": functional.cross_entropy(logits[used], labels[used]),
            "loss_box_reg": _smooth_l1(moves, BOX_BETA) / num,
        }
        return ranks.weighted(losses, num)

    def _box_outputs(
        self, features: Tensor, boxes: Tensor, pool: Pool = batched.pool_boxes, ranks: Ranks = ALONE
    ) -> tuple[Tensor, Tensor]:
        """Look at places `[B, K, 4]` again: class logits `[B, K, 11]` and offsets `[B, K, 4]`, in float32."""
        pooled = pool(features, boxes, POOL_STRIDE, POOL_SIZE)
        hidden = self.box_head(pooled.flatten(2))
        hidden = ranks.dropped(self.dropout, hidden)
        return self.classify(hidden).float(), self.regress(hidden).float()

    def score_digits(
        self,
        features: Tensor,
        proposals: Tensor,
        exists: Tensor,
        frames: Tensor,
        pool: Pool = batched.pool_boxes,
    ) -> tuple[Tensor, Tensor]:
        """Return moved places `[B, K, 4]`, voted on, and each digit's score `[B, K, 10]`; not suppressed.

        Scores below the smallest are minus infinity, and so are those of places that do not exist.
        """
        logits, offsets = self._box_outputs(features, proposals, pool)
        boxes = torch.minimum(batched.decode(proposals, offsets, BOX_WEIGHTS).clamp(min=0), frames)
        probabilities = logits.softmax(-1)
        boxes = batched.vote(boxes, (1 - probabilities[..., 0]) * exists, VOTE_IOU)
        scores = probabilities[..., 1:]
        valid = (scores >= self.config.min_score) & exists[..., None]
        return boxes, scores.masked_fill(~valid, -torch.inf)

    def _detect(
        self, features: Tensor, proposals: Tensor, exists: Tensor, frames: Tensor
    ) -> list[dict[str, Tensor]]:
        boxes, scores = self.score_digits(features, proposals, exists, frames)
        scores = batched.suppress(boxes, scores.transpose(1, 2), self.config.max_iou)  # [B, 10, K]
        scores, best = batched.best_of(scores.flatten(1), self.config.max_detections)
        digits, places = best // boxes.shape[1], best % boxes.shape[1]
        rows = zip(_take(boxes, places), digits + 1, scores, torch.isfinite(scores), strict=True)
        return [
            {"boxes": box[keep], "labels": label[keep], "scores": score[keep]}
            for box, label, score, keep in rows
        ]


@dataclass(frozen=True)
class _Truth:
    """True boxes, padded to the most of any image: `[B, G, 4]`, labels and presence `[B, G]`."""

    boxes: Tensor
    labels: Tensor
    present: Tensor


def _pad_targets(targets: Sequence[dict[str, Tensor]], device: torch.device, ranks: Ranks) -> _Truth:
    labels = pad_sequence([target["labels"] for target in targets], batch_first=True)
    boxes = pad_sequence([target["boxes"] for target in targets], batch_first=True)
    missing = max(1, ranks.most(labels.shape[1])) - labels.shape[1]
    if missing:
        labels, boxes = functional.pad(labels, (0, missing)), functional.pad(boxes, (0, 0, 0, missing))
    present = labels > 0
    # Padding is a box of one pixel, so that no logarithm of zero is taken.
    boxes = torch.where(present[..., None], boxes, boxes.new_tensor([0, 0, 1, 1]))
    return _Truth(boxes.to(device), labels.to(device), present.to(device))


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Return `values[b, index[b, k]]`, `[B, K, 4]`."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def _smooth_l1(difference: Tensor, beta: float) -> Tensor:
    return functional.smooth_l1_loss(difference, torch.zeros_like(difference), beta=beta, reduction="sum")


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
