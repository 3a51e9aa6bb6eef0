"""`nano` against torchvision's own proposal network and box head, on the same numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork

from digitspot.config import ModelConfig
from digitspot.detector import batched, build_detector
from digitspot.detector.nano import BOX_WEIGHTS, RPN_NMS, Nano

CONFIG = ModelConfig(
    preset="nano",
    nano_widths=(8, 16, 24, 32),
    fpn_channels=16,
    head_channels=32,
    rpn_pre_nms_train=60,
    rpn_post_nms_train=30,
    rpn_pre_nms_test=60,
    rpn_post_nms_test=25,
    rpn_batch_size_per_image=32,
    box_batch_size_per_image=16,
    min_score=0.05,
    max_detections=20,
)
SIZES = [(96, 160), (64, 224), (90, 90)]


@pytest.fixture(scope="module")
def nano() -> Nano:
    torch.manual_seed(0)
    detector = build_detector(CONFIG).eval()
    assert isinstance(detector, Nano)
    for layer in (detector.propose, detector.classify, detector.regress):
        nn.init.normal_(layer.weight, std=0.3)
    return detector


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return torch.tensor([(w, h, w, h) for h, w in SIZES])[:, None]


def test_proposals_are_torchvisions(nano: Nano, frames: Tensor) -> None:
    torch.manual_seed(1)
    anchors = batched.place_anchors(nano.anchors, (12, 28), 8)
    objectness, offsets = torch.randn(3, len(anchors)), torch.randn(3, len(anchors), 4) * 0.3
    boxes, exists = nano._proposals(anchors, objectness, offsets, frames)
    keep = {"training": CONFIG.rpn_post_nms_train, "testing": CONFIG.rpn_post_nms_test}
    before = {"training": CONFIG.rpn_pre_nms_train, "testing": CONFIG.rpn_pre_nms_test}
    theirs = RegionProposalNetwork(
        AnchorGenerator(), nn.Identity(), 0.7, 0.3, 256, 0.5, before, keep, RPN_NMS
    ).eval()
    theirs.min_size = 1.0
    decoded = theirs.box_coder.decode(offsets.reshape(-1, 4), [anchors] * 3).view(3, -1, 4)
    expected, _ = theirs.filter_proposals(decoded, objectness.reshape(-1, 1), SIZES, [len(anchors)])
    for row in range(3):
        assert torch.allclose(boxes[row][exists[row]], expected[row], atol=1e-3)


def test_detections_are_torchvisions(nano: Nano, frames: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    proposals = torch.rand(3, 25, 4) * 40
    proposals[..., 2:] += proposals[..., :2] + 8
    logits, offsets = torch.randn(3, 25, 11) * 2, torch.randn(3, 25, 4)
    monkeypatch.setattr(nano, "_box_outputs", lambda *_: (logits, offsets))
    monkeypatch.setattr(batched, "vote", lambda boxes, *_: boxes)  # which torchvision has not
    found = nano._detect(torch.zeros(3), proposals, torch.ones(3, 25, dtype=torch.bool), frames)
    heads = RoIHeads(None, None, None, 0.5, 0.5, 16, 0.25, BOX_WEIGHTS, 0.05, CONFIG.max_iou, 20)
    boxes, scores, labels = heads.postprocess_detections(
        logits.flatten(0, 1), offsets.flatten(0, 1).repeat(1, 11), list(proposals), SIZES
    )
    for row in range(3):
        assert torch.allclose(found[row]["scores"], scores[row], atol=1e-6)
        assert torch.equal(found[row]["labels"], labels[row])
        assert torch.allclose(found[row]["boxes"], boxes[row], atol=1e-3)


def test_an_image_is_read_the_same_in_any_company(nano: Nano) -> None:
    torch.manual_seed(3)
    batch = torch.randn(4, 3, 96, 160)
    with torch.inference_mode():
        together, _ = nano(batch, [(96, 160)] * 4)
        for row in range(4):
            (alone,), _ = nano(batch[row : row + 1], [(96, 160)])
            assert torch.allclose(alone["boxes"], together[row]["boxes"], atol=1e-2)
            assert torch.allclose(alone["scores"], together[row]["scores"], atol=1e-4)


def test_every_parameter_learns_and_images_without_digits_train() -> None:
    torch.manual_seed(4)
    detector = build_detector(CONFIG).train()
    targets = [
        {"boxes": torch.tensor([[20.0, 20, 40, 60], [44, 20, 64, 60]]), "labels": torch.tensor([3, 10])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)},
    ]
    _, losses = detector(torch.randn(2, 3, 96, 160), [(96, 160)] * 2, targets)
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    idle = [n for n, p in detector.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []
    empty = [targets[1]] * 2
    _, losses = detector(torch.randn(2, 3, 96, 160), [(96, 160)] * 2, empty)
    assert losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_frozen_stages_do_not_learn() -> None:
    detector = build_detector(replace(CONFIG, trainable_stages=2))
    frozen = {name for name, parameter in detector.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"stem", "stage4", "stage8"}
    prefixes = ("backbone.stem.", "backbone.stage4.", "backbone.stage8.")
    assert frozen == {name for name, _ in detector.named_parameters() if name.startswith(prefixes)}


def test_at_most_six_million_parameters() -> None:
    detector = build_detector(replace(ModelConfig(), preset="nano"))
    assert sum(parameter.numel() for parameter in detector.parameters()) <= 6e6
