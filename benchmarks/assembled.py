"""`nano`'s network put together from torchvision's classes: what its own heads are measured against.

`training_step.py` times both. This tells what the assembled one scores with a trained `nano`'s weights:

python benchmarks/assembled.py runs/nano --data data/svhn
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign

from digitspot.config import Config, DataConfig
from digitspot.dataset.splits import open_split
from digitspot.detector.model import Detector, TorchvisionDetector
from digitspot.detector.nano import ANCHOR_RATIOS, ANCHOR_SIZES, NUM_CLASSES, POOL_SIZE, Backbone, Nano
from digitspot.detector.presets import _counts
from digitspot.detector.trained import load_model
from digitspot.runtime.torch_runtime import TorchRuntime
from digitspot.training.validation import look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder of `nano`, or its checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    model = load_model(options.run)
    if not isinstance(model.detector, Nano):
        parser.error(f"{options.run} holds no nano")
    assembled, _ = assemble_nano(model.config)
    assembled.load_state_dict(torchvision_weights(model.detector))
    samples = open_split(options.data, options.split, DataConfig())
    print(f"| {len(samples)} images of {options.split} | mAP | accuracy |\n| --- | --- | --- |")
    for name, detector in (
        ("`nano`", model.detector),
        ("its weights in torchvision's `FasterRCNN`", assembled),
    ):
        runtime = TorchRuntime(detector, model.config.input, torch.device("cpu"))
        scores = look(runtime, samples, range(len(samples))).scores(model.reading)
        print(f"| {name} | {scores['map']:.4f} | {scores['accuracy']:.4f} |")


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


def torchvision_weights(nano: Nano) -> dict[str, Tensor]:
    """Return the weights of a `nano` under the names and in the order of the assembled network."""
    weights = {f"backbone.body.{name}": value for name, value in nano.backbone.state_dict().items()}
    for name, values in nano.propose.state_dict().items():
        outputs = values.unflatten(0, (-1, 5))  # of each anchor: objectness, then four offsets
        weights[f"rpn.head.objectness.{name}"] = outputs[:, 0]
        weights[f"rpn.head.offsets.{name}"] = outputs[:, 1:].flatten(0, 1)
    first, second = nano.box_head[0], nano.box_head[2]
    by_place = first.weight.unflatten(1, (POOL_SIZE, POOL_SIZE, -1))  # torchvision flattens channels first
    weights["roi_heads.box_head.fc6.weight"] = by_place.movedim(3, 1).flatten(1)
    weights["roi_heads.box_head.fc6.bias"] = first.bias
    for name, layer, repeats in (
        ("box_head.fc7", second, 1),
        ("box_predictor.cls_score", nano.classify, 1),
        ("box_predictor.bbox_pred", nano.regress, NUM_CLASSES),  # the same box for every class
    ):
        for key, values in layer.state_dict().items():
            weights[f"roi_heads.{name}.{key}"] = values.repeat(repeats, *[1] * (values.ndim - 1))
    return weights


if __name__ == "__main__":
    main()
