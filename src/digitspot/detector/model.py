"""A torchvision Faster R-CNN that takes batches as `digitspot.preprocess.stack` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

BatchNormPolicy = Literal["live", "frozen", "synchronised"]


class Detector(nn.Module):
    """Backbone, proposals and box head of a `FasterRCNN`, without its own resize and normalisation.

    The parts keep torchvision's names, so its state dicts load as they are.

    Args:
        network: The built torchvision model; its parts are taken over.
        batch_norm: "live" normalises by each batch while training, "frozen" by the statistics as
            loaded and leaves their scales and offsets alone, "synchronised" by all processes' batches.
    """

    def __init__(self, network: FasterRCNN, batch_norm: BatchNormPolicy = "live") -> None:
        super().__init__()
        if batch_norm == "synchronised":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        self.backbone = network.backbone
        self.rpn = network.rpn
        self.roi_heads = network.roi_heads
        self.batch_norm = batch_norm
        if batch_norm == "frozen":
            for module in self._batch_norms():
                module.requires_grad_(False)

    def train(self, mode: bool = True) -> Detector:
        """Switch to training or evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.batch_norm == "frozen":
            for module in self._batch_norms():
                module.eval()
        return self

    def forward(
        self,
        batch: Tensor,
        sizes_hw: Sequence[tuple[int, int]],
        targets: Sequence[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Find digits, or measure how far off the network is.

        Args:
            batch: float32 `[B, 3, H, W]`, normalised and padded.
            sizes_hw: Each picture's (height, width) without the padding.
            targets: While training, for each picture `boxes` float32 `[N, 4]` in input pixels and
                `labels` int64 `[N]`, digit + 1; N may be 0.

        Returns:
            Detections (empty while training): for each picture `boxes` `[N, 4]` in input pixels,
            `labels` `[N]`, `scores` `[N]`; and the named losses (empty in evaluation).
        """
        sizes = list(sizes_hw)
        features = self.backbone(batch)
        proposals, proposal_losses = self.rpn(ImageList(batch, sizes), features, targets)
        detections, box_losses = self.roi_heads(features, proposals, sizes, targets)
        return detections, {**proposal_losses, **box_losses}

    def _batch_norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def pick_device(name: str) -> torch.device:
    """Return the device that a configuration names; "auto" is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
