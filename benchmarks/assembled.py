"""`nano`'s network put together from torchvision's classes: what its own heads are measured against."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign

from digitspot.config import Config
from digitspot.detector.model import Detector, TorchvisionDetector
from digitspot.detector.nano import ANCHOR_RATIOS, ANCHOR_SIZES, NUM_CLASSES, POOL_SIZE, Backbone
from digitspot.detector.presets import _counts


class TwoLevels(nn.Module):
    """`nano`'s backbone, its outputs named as torchvision wants them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.body = Backbone(config.model.nano_widths, config.model.fpn_channels)
        self.out_channels = config.model.fpn_channels

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Return the features to pool from and those to propose on."""
        fine, coarse = self.body(x)
        return OrderedDict(fine=fine, coarse=coarse)


class ProposalHead(nn.Module):
    """`nano`'s proposal layer with torchvision's two outputs."""

    def __init__(self, channels: int, num_anchors: int) -> None:
        super().__init__()
        self.objectness = nn.Conv2d(channels, num_anchors, 1)
        self.offsets = nn.Conv2d(channels, 4 * num_anchors, 1)
        for layer in (self.objectness, self.offsets):
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return objectness and offsets of each level."""
        return [self.objectness(x) for x in features], [self.offsets(x) for x in features]


class CoarseProposals(RegionProposalNetwork):
    """torchvision's proposals, made on the coarse level alone as `nano`'s are."""

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: Any = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Propose on the coarse level."""
        return super().forward(images, {"coarse": features["coarse"]}, targets)


def assemble_nano(config: Config) -> tuple[Detector, Config]:
    """Return `nano`'s network in torchvision's `FasterRCNN`, with the same counts.

    One difference stays: torchvision regresses a box for every class.
    """
    model = config.model
    anchors = AnchorGenerator((ANCHOR_SIZES,), (ANCHOR_RATIOS,))
    network = FasterRCNN(
        TwoLevels(config),
        rpn_anchor_generator=anchors,
        rpn_head=ProposalHead(model.fpn_channels, anchors.num_anchors_per_location()[0]),
        box_roi_pool=MultiScaleRoIAlign(["fine"], POOL_SIZE, 2),
        box_head=TwoMLPHead(model.fpn_channels * POOL_SIZE**2, model.head_channels),
        box_predictor=FastRCNNPredictor(model.head_channels, NUM_CLASSES),
        **_counts(model),
    )
    network.rpn.__class__ = CoarseProposals
    return TorchvisionDetector(network), config
