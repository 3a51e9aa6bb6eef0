"""Detectors by name, from torchvision's builders, and the weights they start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision.models import resnet18
from torchvision.models.detection import (
    FasterRCNN,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from digitspot.config import ModelConfig
from digitspot.detector.model import Detector, TorchvisionDetector
from digitspot.detector.nano import Nano
from digitspot.detector.weights import load_start
from digitspot.errors import ConfigError
from digitspot.types import NUM_DIGITS

NUM_CLASSES = NUM_DIGITS + 1

RESNET18_ANCHOR_SIZES = ((12, 18), (25, 35), (50, 70), (100, 140), (200, 280))
"""SVHN's digits at short side 96 have a square root of area of 9 to 67 px (1 to 99 %); the rest is for
larger inputs and costs nothing."""
RESNET18_ANCHOR_RATIOS = (1.6, 2.8)
"""Height over width: SVHN's 5, 50 and 95 % are 1.4, 2.0 and 3.5. With the sizes above, 97 % of the
training digits overlap an anchor's shape by 0.7 or more."""


def build_detector(config: ModelConfig, *, load_weights: bool = True) -> Detector:
    """Build a detector of the ten digits.

    Args:
        config: Preset, anchors, proposals, samples, weights.
        load_weights: False leaves the random initialisation, for a checkpoint that comes next.

    Raises:
        ConfigError: The anchors do not fit the preset, or it has no such weights.
        CheckpointError: The weights cannot be had, or do not fit.
    """
    detector: Detector
    if config.preset == "nano":
        detector = Nano(config)
    else:
        network = _BUILDERS[config.preset](config)
        _set_dropout(network, config)
        detector = TorchvisionDetector(network)
    if load_weights:
        load_start(detector, config.preset, config.weights)
    detector.set_batch_norm(config.batch_norm)
    if config.trainable_stages is not None:
        _freeze_stages(detector, config)
    return detector


def _set_dropout(network: FasterRCNN, config: ModelConfig) -> None:
    """Let the box predictor drop some of its inputs; parameters keep their names."""
    if config.dropout:
        network.roi_heads.box_predictor.dropout = nn.Dropout(config.dropout)


STAGES = {
    "nano": ("stage32", "stage16", "stage8", "stage4", "stem"),
    "resnet": ("layer4", "layer3", "layer2", "layer1", "conv1"),
}
"""Stages of the backbone, from the last; what comes after them learns always."""


def _freeze_stages(detector: Detector, config: ModelConfig) -> None:
    """Keep all but the last stages of a backbone as loaded, as torchvision's builders do."""
    family = "resnet" if config.preset.startswith("resnet") else config.preset
    if family not in STAGES:
        raise ConfigError(f"model.trainable_stages is not for {config.preset}", hint="Choose another preset.")
    frozen = STAGES[family][config.trainable_stages :]
    if frozen and family == "resnet":
        frozen += ("bn1",)
    for name, parameter in detector.get_submodule("backbone").named_parameters():
        if name.removeprefix("body.").startswith(frozen):
            parameter.requires_grad_(False)


def _resnet50_fpn_v2(config: ModelConfig) -> FasterRCNN:
    network = fasterrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None, num_classes=NUM_CLASSES, **_counts(config)
    )
    return _set_anchors(network, config, conv_depth=2)


def _mobilenet_v3_large_fpn(config: ModelConfig) -> FasterRCNN:
    network = fasterrcnn_mobilenet_v3_large_fpn(
        weights=None, weights_backbone=None, num_classes=NUM_CLASSES, **_counts(config)
    )
    return _set_anchors(network, config, conv_depth=1)


def _resnet18_fpn(config: ModelConfig) -> FasterRCNN:
    """ResNet-18 with a narrow pyramid of strides 4 to 32, a pooled level, and a narrow box head."""
    stages = {"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
    backbone = BackboneWithFPN(
        resnet18(weights=None),
        return_layers=stages,
        in_channels_list=[64, 128, 256, 512],
        out_channels=config.fpn_channels,
        norm_layer=nn.BatchNorm2d,
    )
    anchors = AnchorGenerator(RESNET18_ANCHOR_SIZES, (RESNET18_ANCHOR_RATIOS,) * len(RESNET18_ANCHOR_SIZES))
    network = FasterRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        box_roi_pool=MultiScaleRoIAlign(list(stages.values()), output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(config.fpn_channels * 7 * 7, config.head_channels),
        box_predictor=FastRCNNPredictor(config.head_channels, NUM_CLASSES),
        **_counts(config),
    )
    return _set_anchors(network, config, conv_depth=1)


_BUILDERS: dict[str, Callable[[ModelConfig], FasterRCNN]] = {
    "resnet50_fpn_v2": _resnet50_fpn_v2,
    "mobilenet_v3_large_fpn": _mobilenet_v3_large_fpn,
    "resnet18_fpn": _resnet18_fpn,
}


def _counts(config: ModelConfig) -> dict[str, Any]:
    """Return the keyword arguments of `FasterRCNN` that say how many boxes go where."""
    return {
        "rpn_pre_nms_top_n_train": config.rpn_pre_nms_train,
        "rpn_pre_nms_top_n_test": config.rpn_pre_nms_test,
        "rpn_post_nms_top_n_train": config.rpn_post_nms_train,
        "rpn_post_nms_top_n_test": config.rpn_post_nms_test,
        "rpn_batch_size_per_image": config.rpn_batch_size_per_image,
        "box_batch_size_per_image": config.box_batch_size_per_image,
        "box_positive_fraction": config.box_positive_fraction,
        "box_score_thresh": config.min_score,
        "box_nms_thresh": config.max_iou,
        "box_detections_per_img": config.max_detections,
    }


def _set_anchors(network: FasterRCNN, config: ModelConfig, conv_depth: int) -> FasterRCNN:
    """Put the configured anchors in the place of the preset's, with a proposal head for their number."""
    if config.anchor_sizes is None and config.anchor_ratios is None:
        return network
    default = network.rpn.anchor_generator
    sizes = config.anchor_sizes or default.sizes
    ratios = config.anchor_ratios or default.aspect_ratios[0]
    if len(sizes) != len(default.sizes):
        raise ConfigError(
            f"anchor_sizes has {len(sizes)} levels, {config.preset} has {len(default.sizes)}",
            hint=f"The preset's are {default.sizes}.",
        )
    if len({len(level) for level in sizes}) != 1:
        raise ConfigError(f"anchor_sizes needs as many sizes on every level, not {sizes}")
    network.rpn.anchor_generator = AnchorGenerator(sizes, (tuple(ratios),) * len(sizes))
    num_anchors = len(sizes[0]) * len(ratios)
    if num_anchors != default.num_anchors_per_location()[0]:
        network.rpn.head = RPNHead(network.backbone.out_channels, num_anchors, conv_depth)
    return network
