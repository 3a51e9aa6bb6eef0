"""The detectors are torchvision's Faster R-CNN: same results, same losses, and our settings reach it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.detection import (
    FasterRCNN,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor, resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList

from digitspot.config import InputConfig, ModelConfig
from digitspot.detector import Detector, build_detector
from digitspot.detector.model import pick_device
from digitspot.detector.presets import RESNET18_ANCHOR_RATIOS, RESNET18_ANCHOR_SIZES
from digitspot.errors import ConfigError
from digitspot.preprocess import Prepared, collate

Build = Callable[..., Detector]

COUNTS = {
    "rpn_pre_nms_top_n_train": 60,
    "rpn_pre_nms_top_n_test": 50,
    "rpn_post_nms_top_n_train": 40,
    "rpn_post_nms_top_n_test": 30,
    "rpn_batch_size_per_image": 24,
    "box_batch_size_per_image": 20,
    "box_positive_fraction": 0.4,
    "box_score_thresh": 0.02,
    "box_nms_thresh": 0.45,
    "box_detections_per_img": 25,
}
OURS = ModelConfig(
    rpn_pre_nms_train=60,
    rpn_pre_nms_test=50,
    rpn_post_nms_train=40,
    rpn_post_nms_test=30,
    rpn_batch_size_per_image=24,
    box_batch_size_per_image=20,
    box_positive_fraction=0.4,
    min_score=0.02,
    max_iou=0.45,
    max_detections=25,
    fpn_channels=256,
    head_channels=1024,
)
SIZES = [(64, 96), (64, 70), (64, 64)]
"""All have a shorter side of 64 and none is longer than 96: torchvision's transform resizes none."""


def torchvisions(preset: str) -> FasterRCNN:
    """Build the preset with torchvision alone."""
    transform = {"min_size": 64, "max_size": 96}
    if preset == "resnet50_fpn_v2":
        return fasterrcnn_resnet50_fpn_v2(
            weights=None, weights_backbone=None, num_classes=11, **transform, **COUNTS
        )
    if preset == "mobilenet_v3_large_fpn":
        return fasterrcnn_mobilenet_v3_large_fpn(
            weights=None, weights_backbone=None, num_classes=11, **transform, **COUNTS
        )
    backbone = _resnet_fpn_extractor(resnet18(weights=None), 5, norm_layer=nn.BatchNorm2d)
    anchors = AnchorGenerator(RESNET18_ANCHOR_SIZES, (RESNET18_ANCHOR_RATIOS,) * 5)
    return FasterRCNN(backbone, 11, rpn_anchor_generator=anchors, **transform, **COUNTS)


def images() -> list[Prepared]:
    random = np.random.default_rng(5)
    return [Prepared(random.integers(0, 256, (*size, 3), np.uint8), size) for size in SIZES]


def targets() -> list[dict[str, Tensor]]:
    return [
        {"boxes": torch.tensor([[10.3, 8, 31, 50], [40, 9.5, 58, 52]]), "labels": torch.tensor([3, 10])},
        {"boxes": torch.tensor([[20.0, 5, 45, 60]]), "labels": torch.tensor([1])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]


@pytest.mark.parametrize("preset", ["resnet18_fpn", "mobilenet_v3_large_fpn", "resnet50_fpn_v2"])
def test_equals_torchvision(preset: str) -> None:
    torch.manual_seed(1)
    theirs = torchvisions(preset)
    ours = build_detector(ModelConfig(**{**vars(OURS), "preset": preset}))
    batch = torch.from_numpy(collate(images(), InputConfig(multiple=32)))
    raw = [torch.from_numpy(image.pixels).permute(2, 0, 1).float() / 255 for image in images()]
    with torch.no_grad():  # statistics and scores that tell boxes apart
        theirs.train()
        for _ in range(4):
            theirs.backbone(batch)
        theirs.roi_heads.box_predictor.cls_score.weight.mul_(30)
        theirs.rpn.head.cls_logits.weight.mul_(30)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert not any(ours.load_state_dict(theirs.state_dict()))

    with torch.no_grad():
        expected = theirs.eval()(raw)
        found, losses = ours.eval()(batch, SIZES)
    assert losses == {}
    assert sum(len(each["boxes"]) for each in expected) > 10
    for mine, reference in zip(found, expected, strict=True):
        assert mine["labels"].tolist() == reference["labels"].tolist()
        torch.testing.assert_close(mine["boxes"], reference["boxes"], atol=5e-3, rtol=1e-4)
        torch.testing.assert_close(mine["scores"], reference["scores"], atol=1e-4, rtol=1e-3)

    theirs.train().transform.eval()  # which, training, draws a size from the same generator
    torch.manual_seed(7)
    reference = theirs(raw, targets())
    torch.manual_seed(7)
    found, losses = ours.train()(batch, SIZES, targets())
    assert found == []
    assert losses.keys() == reference.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, reference[name], atol=1e-4, rtol=2e-3, msg=name)
    buffers = dict(theirs.named_buffers())
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], atol=1e-4, rtol=1e-3, msg=name)


def test_counts_arrive_in_torchvisions_objects() -> None:
    detector = build_detector(ModelConfig(**{**vars(OURS), "fpn_channels": 16, "head_channels": 8}))
    rpn, heads = detector.rpn, detector.roi_heads
    assert rpn._pre_nms_top_n == {"training": 60, "testing": 50}
    assert rpn._post_nms_top_n == {"training": 40, "testing": 30}
    assert rpn.fg_bg_sampler.batch_size_per_image == 24
    sampler = heads.fg_bg_sampler
    assert (sampler.batch_size_per_image, sampler.positive_fraction) == (20, 0.4)
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.02, 0.45, 25)
    assert detector.backbone.out_channels == 16
    assert heads.box_predictor.cls_score.in_features == 8


@pytest.mark.parametrize(
    ("sizes", "ratios", "words", "reason"),
    [
        (((8,),), None, "1 levels, resnet18_fpn has 5", "too few levels"),
        (((8,),) * 6, None, "6 levels", "too many levels"),
        (
            ((8,), (8, 9), (9,), (9,), (9,)),
            None,
            "as many sizes on every level",
            "torchvision's head has one width",
        ),
    ],
)
def test_anchors_that_do_not_fit(
    small_detector: Build, sizes: object, ratios: object, words: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        small_detector(anchor_sizes=sizes, anchor_ratios=ratios)


@pytest.mark.parametrize(
    ("sizes", "ratios", "num_anchors", "reason"),
    [
        (None, None, 4, "the preset's two sizes and two ratios"),
        (((8, 9),) * 5, None, 4, "other sizes, as many: the preset's head"),
        (None, (1.0, 2.0, 3.0), 6, "another number of ratios"),
        (((8,), (16,), (32,), (64,), (128,)), (2.0,), 1, "one anchor on each level"),
    ],
)
def test_anchors(small_detector: Build, sizes: object, ratios: object, num_anchors: int, reason: str) -> None:
    detector = small_detector(anchor_sizes=sizes, anchor_ratios=ratios)
    rpn = detector.rpn
    assert rpn.head.cls_logits.out_channels == num_anchors, reason
    assert rpn.head.bbox_pred.out_channels == 4 * num_anchors, reason
    assert rpn.anchor_generator.num_anchors_per_location() == [num_anchors] * 5
    assert rpn.anchor_generator.sizes == (sizes or RESNET18_ANCHOR_SIZES)
    assert set(rpn.anchor_generator.aspect_ratios) == {ratios or RESNET18_ANCHOR_RATIOS}
    found, _ = detector.eval()(torch.zeros(1, 3, 64, 64), [(64, 64)])
    assert len(found) == 1


def test_another_ratio_rebuilds_the_deep_head_of_resnet50() -> None:
    detector = build_detector(ModelConfig(preset="resnet50_fpn_v2", anchor_ratios=(2.0,)))
    assert detector.rpn.head.cls_logits.out_channels == 1
    assert len(detector.rpn.head.conv) == 2, "v2 has two convolutions before the anchors"


def test_ratio_is_height_over_width(small_detector: Build) -> None:
    detector = small_detector(anchor_sizes=((16,),) * 5, anchor_ratios=(4.0,))
    _, top, right, bottom = detector.rpn.anchor_generator.cell_anchors[0][0].tolist()
    assert (2 * right, bottom - top) == (8, 32)


def test_frozen_batch_norms_stay_in_evaluation(small_detector: Build) -> None:
    detector = small_detector(batch_norm="frozen").train()
    norms = [module for module in detector.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert detector.rpn.training
    assert not any(parameter.requires_grad for norm in norms for parameter in norm.parameters())
    live = small_detector(batch_norm="live").train()
    assert all(module.training for module in live.modules())


@pytest.mark.parametrize("num", range(6))
def test_frozen_stages_are_torchvisions(num: int) -> None:
    expected = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=num
    )
    detector = build_detector(ModelConfig(preset="resnet18_fpn", trainable_stages=num))
    own = detector.get_submodule("backbone.body")
    assert learning(own) == learning(expected.body)
    num_others = sum(not name.startswith("backbone.body.") for name, _ in detector.named_parameters())
    assert len(learning(detector)) == len(learning(own)) + num_others


def learning(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def test_boxes_under_bfloat16_are_float32(small_detector: Build) -> None:
    """With regression at zero every box is an anchor; bfloat16 would move those beyond 128 pixels."""
    detector = small_detector(min_score=0.0).eval()
    for layer in (detector.rpn.head.bbox_pred, detector.roi_heads.box_predictor.bbox_pred):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    batch = torch.randn(1, 3, 96, 512, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, _ = detector(batch, [(96, 512)])
    generator = AnchorGenerator(RESNET18_ANCHOR_SIZES, (RESNET18_ANCHOR_RATIOS,) * 5)
    maps = [torch.zeros(1, 1, -(-96 // stride), 512 // stride) for stride in (4, 8, 16, 32, 64)]
    anchors = generator(ImageList(batch, [(96, 512)]), maps)[0]
    anchors[:, 0::2].clamp_(0, 512)
    anchors[:, 1::2].clamp_(0, 96)
    boxes = found[0]["boxes"]
    assert boxes.dtype == found[0]["scores"].dtype == torch.float32
    assert boxes.max() > 256
    nearest = (boxes[:, None] - anchors[None]).abs().amax(2).amin(1)
    assert nearest.max() < 0.01


def test_targets_under_bfloat16_are_not_rounded(small_detector: Build) -> None:
    detector = small_detector().train()
    coder, seen = detector.roi_heads.box_coder, []
    encode = coder.encode

    def watched(reference: list[Tensor], proposals: list[Tensor]) -> tuple[Tensor, ...]:
        seen.append((reference, proposals))
        return encode(reference, proposals)

    coder.encode = watched
    box = torch.tensor([[250.3, 20.2, 265.7, 50.4]])
    with torch.autocast("cpu", torch.bfloat16):
        detector(torch.randn(1, 3, 96, 288), [(96, 288)], [{"boxes": box, "labels": torch.tensor([3])}])
    (reference, proposals), *_ = seen
    assert proposals[0].dtype == torch.float32
    assert (reference[0] == box).all()


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "cpu:x"])
def test_unknown_device_is_the_users_mistake(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        pick_device(name)


def test_known_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
