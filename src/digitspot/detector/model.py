"""Detectors that take batches as `digitspot.preprocess.collate` makes them; torchvision's, adapted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

from digitspot.detector.joint import JointSampler
from digitspot.errors import ConfigError
from digitspot.ranks import ALONE, Ranks

BatchNormPolicy = Literal["live", "frozen"]


class Detector(nn.Module):
    """What training and runtimes take: batches in, detections and losses out."""

    batch_norm: BatchNormPolicy = "live"

    def set_batch_norm(self, policy: BatchNormPolicy) -> None:
        """Choose the batch statistics, once and before the first update.

        Args:
            policy: "live" normalises by each batch while training, "frozen" by the statistics as
                loaded and leaves their scales and offsets alone.
        """
        self.batch_norm = policy
        if policy == "frozen":
            for module in self._batch_norms():
                module.requires_grad_(False)

    def train(self, mode: bool = True) -> Detector:
        """Switch to training or evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.batch_norm == "frozen":
            for module in self._batch_norms():
                module.eval()
        return self

    def loss_switches(self) -> tuple[nn.Module, ...]:
        """Return the modules whose own `training` flag, not their children's, turns losses on."""
        return (self,)

    def _batch_norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def forward(
        self,
        batch: Tensor,
        sizes_hw: Sequence[tuple[int, int]],
        targets: Sequence[dict[str, Tensor]] | None = None,
        ranks: Ranks = ALONE,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Find digits, or measure how far off the network is.

        Args:
            batch: float32 `[B, 3, H, W]`, normalised and padded.
            sizes_hw: Each image's (height, width) without the padding.
            targets: While training, for each image `boxes` float32 `[N, 4]` in input pixels and
                `labels` int64 `[N]`, digit + 1; N may be 0.
            ranks: Who holds a share of the batch, all of one shape. The losses are weighted so that their
                mean over the ranks is that of the whole batch, and sampling and dropout are the same.

        Returns:
            Detections (empty while training): for each image `boxes` `[N, 4]` in input pixels,
            `labels` `[N]`, `scores` `[N]`; and the named losses (empty in evaluation).
        """
        raise NotImplementedError


class TorchvisionDetector(Detector):
    """Backbone, proposals and box head of a `FasterRCNN`, without its own resize and normalisation.

    The parts keep torchvision's names, so its state dicts load as they are. Under autocast, box
    arithmetic stays in float32: bfloat16 would round a corner at 200 pixels to whole ones.

    Args:
        network: The built torchvision model; its parts are taken over.
    """

    def __init__(self, network: FasterRCNN) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.rpn = network.rpn
        self.roi_heads = network.roi_heads
        for part in (self.rpn, self.roi_heads):
            drawn = part.fg_bg_sampler
            part.fg_bg_sampler = JointSampler(drawn.batch_size_per_image, drawn.positive_fraction)
        self.rpn.anchor_generator.register_forward_pre_hook(_inputs_in_float32)
        self.rpn.head.register_forward_hook(_outputs_in_float32)
        self.roi_heads.box_predictor.register_forward_hook(_outputs_in_float32)
        self.roi_heads.box_roi_pool.register_forward_pre_hook(self._pool_by_padded_size)
        if hasattr(self.roi_heads.box_predictor, "dropout"):
            self.roi_heads.box_predictor.register_forward_pre_hook(self._drop_features)

    def forward(
        self,
        batch: Tensor,
        sizes_hw: Sequence[tuple[int, int]],
        targets: Sequence[dict[str, Tensor]] | None = None,
        ranks: Ranks = ALONE,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Find digits, or measure how far off the network is; see `Detector.forward`."""
        sizes = list(sizes_hw)
        self._padded_hw = (batch.shape[2], batch.shape[3])
        features = self.backbone(batch)
        anchors, boxes = self.rpn.fg_bg_sampler, self.roi_heads.fg_bg_sampler
        anchors.ranks = boxes.ranks = ranks
        proposals, proposal_losses = self.rpn(ImageList(batch, sizes), features, targets)
        detections, box_losses = self.roi_heads(features, proposals, sizes, targets)
        return detections, {
            **ranks.weighted(proposal_losses, anchors.num),
            **ranks.weighted(box_losses, boxes.num),
        }

    def loss_switches(self) -> tuple[nn.Module, ...]:
        """Return the modules whose own `training` flag, not their children's, turns losses on."""
        return self, self.rpn, self.roi_heads

    # The dropout is that of the module called: an averaged copy has one of its own, in a mode of its own.
    def _drop_features(self, predictor: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        drawn = self.roi_heads.fg_bg_sampler
        return (drawn.ranks.dropped(predictor.dropout, inputs[0], drawn.rank_of),)

    def _pool_by_padded_size(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Let the pooling infer its strides from the size that the features have.

        torchvision infers them once, from the first batch and without the padding: where that batch is
        padded to more than 1.4 times its height, every later box is pooled at half or twice its place.
        """
        features, boxes, sizes_hw = inputs
        return features, boxes, [self._padded_hw] * len(sizes_hw)


def _inputs_in_float32(_: nn.Module, inputs: tuple[Any, ...]) -> Any:
    return _in_float32(inputs)


def _outputs_in_float32(_: nn.Module, __: tuple[Any, ...], outputs: Any) -> Any:
    return _in_float32(outputs)


def _in_float32(value: Any) -> Any:
    """Return nested lists and tuples with their tensors in float32, everything else as it is."""
    if isinstance(value, list | tuple):
        return type(value)(_in_float32(item) for item in value)
    return value.float() if isinstance(value, Tensor) else value


def pick_device(name: str) -> torch.device:
    """Return the device that a configuration names; "auto" is CUDA where there is one.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device {name!r} cannot be used: {reason}", hint='Known are "auto", "cpu", "cuda", "cuda:1".'
        ) from error
    return device
