"""The batched box operations against torchvision's, on the same inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, nms, roi_align

from digitspot.detector import batched
from digitspot.ranks import ALONE


def random_boxes(*shape: int, height: float = 96, width: float = 224) -> Tensor:
    corner = torch.rand(*shape, 2) * torch.tensor([width - 4, height - 4])
    sides = 2 + torch.rand(*shape, 2) * (torch.tensor([width, height]) - corner - 2)
    return torch.cat([corner, corner + sides], -1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_overlap() -> None:
    first, second = random_boxes(3, 20), random_boxes(3, 7)
    expected = torch.stack([box_iou(a, b) for a, b in zip(first, second, strict=True)])
    assert torch.allclose(batched.box_ious(first, second), expected, atol=1e-6)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_offsets_and_back(weights: tuple[float, float, float, float]) -> None:
    reference, target = random_boxes(50), random_boxes(50)
    coder = BoxCoder(weights)
    offsets = batched.encode(reference, target, weights)
    assert torch.allclose(offsets, coder.encode_single(target, reference), atol=1e-5)
    assert torch.allclose(batched.decode(reference, offsets, weights), target, atol=1e-3)
    wild = torch.randn(50, 4) * 20
    assert torch.allclose(
        batched.decode(reference, wild, weights), coder.decode_single(wild, reference), rtol=1e-4
    )


@pytest.mark.parametrize(("high", "low", "allow"), [(0.7, 0.3, True), (0.5, 0.5, False), (0.6, 0.2, False)])
def test_matching(high: float, low: float, allow: bool) -> None:
    ious = torch.rand(4, 60, 5)
    counts = torch.tensor([5, 3, 1, 2])
    present = torch.arange(5)[None] < counts[:, None]
    index, state = batched.match(ious, present, high, low, allow)
    for row, count in enumerate(counts.tolist()):
        expected = Matcher(high, low, allow)(ious[row, :, :count].T.clone())
        assert torch.equal(state[row], torch.where(expected >= 0, 1, expected + 1).where(expected != -2, -1))
        matched = expected >= 0
        assert torch.equal(index[row][matched], expected[matched])


def test_matching_without_any_true_box() -> None:
    index, state = batched.match(torch.rand(1, 6, 2), torch.zeros(1, 2, dtype=torch.bool), 0.5, 0.5, True)
    assert state.tolist() == [[0] * 6]
    assert index.shape == (1, 6)


@pytest.mark.parametrize(
    ("state", "size", "positives", "negatives"),
    [
        ([1] * 10 + [0] * 30, 16, 4, 12),
        ([1] * 2 + [0] * 30, 16, 2, 14),
        ([1] * 10 + [0] * 3 + [-1] * 20, 16, 4, 3),
        ([-1] * 30, 16, 0, 0),
        ([1] * 3, 16, 0, 0),
        ([0] * 40, 16, 0, 16),
    ],
    ids=["enough of both", "few matches", "little background", "neither", "fewer than the size", "none"],
)
def test_sampling(state: list[int], size: int, positives: int, negatives: int) -> None:
    states = torch.tensor([state])
    seen = set()
    for _ in range(30):
        index, used, positive = batched.sample(states, size, 0.25, ALONE.rand)
        picked = states.gather(1, index)
        assert ((picked == 1) & used).sum() == positive.sum() == positives
        assert ((picked == 0) & used).sum() == negatives
        assert used.sum() == positives + negatives
        assert len(set(index[used].tolist())) == positives + negatives
        seen.update(index[used].tolist())
    assert (torch.tensor(state)[list(seen)] >= 0).all()
    if positives + negatives == size:
        assert len(seen) > size  # not the same ones each time


@pytest.mark.parametrize("max_iou", [0.0, 0.3, 0.7])
def test_suppression(max_iou: float) -> None:
    boxes, scores = random_boxes(3, 60), torch.rand(3, 4, 60)
    scores[1, :, 5:] = -torch.inf
    scores[2] = (scores[2] * 8).round() / 8  # ties
    stands = torch.isfinite(batched.suppress(boxes, scores, max_iou))
    for image in range(3):
        for group in range(4):
            order = scores[image, group].sort(descending=True, stable=True).indices
            order = order[torch.isfinite(scores[image, group, order])]
            falling = torch.arange(len(order), 0, -1, dtype=torch.float32)  # the same order without ties
            kept = order[nms(boxes[image, order], falling, max_iou)]
            assert set(stands[image, group].nonzero().squeeze(1).tolist()) == set(kept.tolist())


def test_suppression_of_a_long_chain() -> None:
    left = torch.arange(50.0) * 4
    boxes = torch.stack([left, torch.zeros(50), left + 10, torch.full((50,), 10.0)], 1)[None]
    scores = torch.linspace(1, 0.1, 50)[None, None]
    stands = torch.isfinite(batched.suppress(boxes, scores, 0.3))[0, 0]
    assert stands.tolist() == [True, False] * 25  # each box overlaps the next by 0.43, none the one after


@pytest.mark.parametrize(("stride", "size", "samples"), [(4.0, 7, 2), (8.0, 7, 2), (8.0, 5, 1), (4.0, 6, 3)])
def test_pooling(stride: float, size: int, samples: int) -> None:
    features = torch.randn(2, 5, int(96 / stride), int(224 / stride), requires_grad=True)
    boxes = random_boxes(2, 9)
    ours = batched.pool_boxes(features, boxes, stride, size, samples)
    theirs = roi_align(features, list(boxes), size, 1 / stride, samples, aligned=False)
    theirs = theirs.view(2, 9, 5, size, size).permute(0, 1, 3, 4, 2)
    assert torch.allclose(ours, theirs, atol=2e-5)
    weight = torch.randn_like(ours)
    (mine,) = torch.autograd.grad((ours * weight).sum(), features, retain_graph=True)
    (other,) = torch.autograd.grad((theirs * weight).sum(), features)
    assert torch.allclose(mine, other, atol=1e-4)


def test_anchors() -> None:
    sizes, ratios = (12, 18, 25), (1.6, 2.8)
    theirs = AnchorGenerator((sizes,), (ratios,))
    image, features = torch.zeros(1, 3, 96, 224), torch.zeros(1, 8, 12, 28)
    (expected,) = theirs(ImageList(image, [(96, 224)]), [features])
    assert torch.equal(batched.place_anchors(batched.anchor_shapes(sizes, ratios), (12, 28), 8), expected)


def test_voting() -> None:
    boxes, weights = random_boxes(2, 20), torch.rand(2, 20)
    boxes[1, 3] = torch.tensor([5.0, 5, 5, 9])  # without an area
    voted = batched.vote(boxes, weights, 0.4)
    assert torch.equal(voted[1, 3], boxes[1, 3])
    for image in range(2):
        near = box_iou(boxes[image], boxes[image]) >= 0.4
        for place in range(20):
            if near[place].any():
                share = weights[image] * near[place]
                mean = (share[:, None] * boxes[image]).sum(0) / share.sum()
                assert torch.allclose(voted[image, place], mean, atol=1e-4)
    assert torch.allclose(batched.vote(boxes, weights, 1.0), boxes, atol=1e-4)


def test_voting_is_not_rounded_by_autocast() -> None:
    boxes = torch.tensor([[[300.3, 10.0, 330.7, 60.0], [301.4, 11.0, 331.4, 61.0]]])
    with torch.autocast("cpu", torch.bfloat16):
        voted = batched.vote(boxes, torch.ones(1, 2), 0.5)
    assert torch.allclose(voted, boxes.mean(1, keepdim=True).expand(-1, 2, -1), atol=1e-3)
