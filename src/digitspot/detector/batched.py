"""What a two-stage detector does with boxes, for a whole batch at once and without a loop over images.

The mathematics is torchvision's (`tests/detector/test_batched.py` compares on the same inputs); only the
shapes differ: `[B, K, 4]` with a mask instead of a list of `[K_i, 4]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Rand = Callable[[Sequence[int], torch.device], Tensor]

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""Largest predicted logarithm of a scale, as torchvision's `BoxCoder` clips it."""


def anchor_shapes(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Return the anchors of one place around (0, 0), `[len(ratios) * len(sizes), 4]`, at whole pixels.

    Args:
        sizes: Square roots of the areas.
        ratios: Height over width.
    """
    heights = torch.tensor(ratios).sqrt()
    widths = 1 / heights
    size = torch.tensor(sizes, dtype=torch.float32)
    w, h = (widths[:, None] * size).flatten(), (heights[:, None] * size).flatten()
    return (torch.stack([-w, -h, w, h], 1) / 2).round()


def place_anchors(shapes: Tensor, size_hw: Sequence[int], stride: int) -> Tensor:
    """Return the anchors of every place of a feature map, `[H * W * A, 4]`: rows, columns, shapes."""
    height, width = size_hw
    y = torch.arange(height, device=shapes.device) * stride
    x = torch.arange(width, device=shapes.device) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    corners = torch.stack([x, y, x, y], -1)  # [H, W, 4]
    return (corners[:, :, None] + shapes).reshape(-1, 4)


def box_ious(first: Tensor, second: Tensor) -> Tensor:
    """Return intersection over union, `[B, N, M]`, of boxes `[B, N, 4]` and `[B, M, 4]`."""
    x1, y1, x2, y2 = first.permute(2, 0, 1)[:, :, None].contiguous()  # [B, 1, N] each
    u1, v1, u2, v2 = second.permute(2, 0, 1)[..., None]  # [B, M, 1] each
    width = torch.minimum(x2, u2).sub_(torch.maximum(x1, u1)).clamp_(min=0)
    height = torch.minimum(y2, v2).sub_(torch.maximum(y1, v1)).clamp_(min=0)
    inter = width.mul_(height)  # [B, M, N]: the long side last, so that operations run along it
    areas = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1)
    return inter.div_(areas.sub_(inter).clamp_(min=1e-9)).transpose(1, 2)


def encode(reference: Tensor, target: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Return the offsets `[..., 4]` that turn reference boxes into target boxes (Ren et al. 2015, eq. 2)."""
    centres, sides = _centres_and_sides(reference)
    target_centres, target_sides = _centres_and_sides(target)
    moves = (target_centres - centres) / sides
    scales = torch.log(target_sides / sides)
    return torch.cat([moves, scales], -1) * reference.new_tensor(weights)


def decode(reference: Tensor, offsets: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Return the boxes `[..., 4]` that offsets make of reference boxes; the inverse of `encode`."""
    centres, sides = _centres_and_sides(reference)
    offsets = offsets / reference.new_tensor(weights)
    centres = centres + offsets[..., :2] * sides
    sides = sides * offsets[..., 2:].clamp(max=MAX_LOG_SCALE).exp()
    return torch.cat([centres - sides / 2, centres + sides / 2], -1)


def match(
    ious: Tensor, present: Tensor, high: float, low: float, allow_low_quality: bool
) -> tuple[Tensor, Tensor]:
    """Assign a true box to every anchor or proposal, as torchvision's `Matcher`.

    Args:
        ious: `[B, N, G]`, of anchors or proposals with true boxes.
        present: bool `[B, G]`; padding is False.
        high: From this overlap on, one is a match.
        low: Below this, it is background; between the two it is neither.
        allow_low_quality: Whether each true box also takes the anchors that overlap it most.

    Returns:
        The index of the best true box `[B, N]` (any where there is none), and `[B, N]`: 1 match, 0
        background, -1 neither.
    """
    ious = ious.masked_fill(~present[:, None, :], -1.0)
    best, index = ious.max(-1)
    state = (best >= high).to(torch.int8)
    state.masked_fill_((best >= low) & (best < high), -1)
    if allow_low_quality:
        most = ious.amax(1, keepdim=True).masked_fill(~present[:, None, :], torch.inf)  # [B, 1, G]
        state.masked_fill_((ious == most).any(-1), 1)
    return index, state


def sample(state: Tensor, size: int, positive_fraction: float, rand: Rand) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a fixed number of matches and background at random, as torchvision's sampler draws them.

    Args:
        state: `[B, N]`: 1 match, 0 background, -1 neither.
        size: How many are drawn for each image.
        positive_fraction: Largest share of matches among them.
        rand: Draws uniform numbers of a shape, on a device.

    Returns:
        Indices `[B, size]`, whether each is used (an image may have too few), and whether it is a match.
    """
    size = min(size, state.shape[1])
    positive, negative = state == 1, state == 0
    limit = int(size * positive_fraction)
    order = rand(state.shape, state.device)
    first = torch.where(positive, order, order.new_tensor(2.0)).topk(limit, dim=1, largest=False).indices
    chosen = positive & torch.zeros_like(positive).scatter_(1, first, True)
    # Chosen matches first, background in random order behind them, the rest last.
    key = torch.where(chosen, order, torch.where(negative, 1 + order, order.new_tensor(3.0)))
    values, index = key.topk(size, dim=1, largest=False)
    return index, values < 2, values < 1


def best_of(scores: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Return the `num` best of `[B, K]` in each row, or all where there are fewer, and their indices."""
    available = scores.shape[1]
    if torch.onnx.is_in_onnx_export():  # an exported graph learns only when it runs how many there are
        return scores.topk(torch.minimum(torch.as_tensor(available), torch.tensor(num)), dim=1)  # type: ignore[arg-type]
    return scores.topk(min(num, available), dim=1)


def vote(boxes: Tensor, weights: Tensor, min_iou: float) -> Tensor:
    """Replace each box by the weighted mean of those that overlap it (Gidaris and Komodakis 2015, 3.3).

    Args:
        boxes: `[B, K, 4]`.
        weights: `[B, K]`, how much each box says.
        min_iou: Overlap from which on a box has a say.

    Returns:
        `[B, K, 4]`; a box without an area stays as it is.
    """
    shares = (box_ious(boxes, boxes) >= min_iou) * weights[:, None, :]  # [B, K, K]
    total = shares.sum(-1, keepdim=True)
    # Not a matrix product, which autocast would round to bfloat16.
    mean = (shares[..., None] * boxes[:, None]).sum(2) / total.clamp(min=1e-6)
    return torch.where(total > 0, mean, boxes)


def suppress(boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
    """Suppress overlapping boxes greedily, within each image and class, as torchvision's `nms`.

    Greedy suppression by repetition: a box stands if no better box that stands overlaps it. Boxes settle
    from the best downwards, so repeating until nothing changes ends, after as many rounds as the longest
    chain of overlaps: a handful, for all images and classes at once.

    Args:
        boxes: `[B, K, 4]`.
        scores: `[B, C, K]`; minus infinity leaves a box out of a class. The first of equals wins.
        max_iou: Overlap above which the lower score goes.

    Returns:
        The scores, minus infinity where a box is suppressed.
    """
    place = torch.arange(boxes.shape[1], device=boxes.device)
    mine, other = scores[..., None, :], scores[..., :, None]  # [B, C, K, K] below: row against column
    better = torch.where(place[:, None] < place, other >= mine, other > mine)
    beats = (better & (box_ious(boxes, boxes) > max_iou)[:, None]).float()
    valid = torch.isfinite(scores)
    stands, before = valid, torch.zeros_like(valid)
    with torch.autocast(boxes.device.type, enabled=False):  # it would cast `beats` anew in each round
        while not torch.equal(stands, before):
            before = stands
            stands = valid & ((stands.float()[..., None, :] @ beats)[..., 0, :] == 0)
    return scores.masked_fill(~stands, -math.inf)


def pool_boxes(features: Tensor, boxes: Tensor, stride: float, size: int, samples: int = 2) -> Tensor:
    """RoIAlign as two small matrix products: bilinear sampling on a grid is separable.

    Equals `torchvision.ops.roi_align(..., sampling_ratio=samples, aligned=False)`; uses every core
    backward, and exports as plain products.

    Args:
        features: `[B, C, H, W]`; channels last in memory is fastest.
        boxes: `[B, K, 4]` in input pixels.
        stride: Input pixels for one of the features.
        size: Bins along each side.
        samples: Points along each side of a bin, averaged.

    Returns:
        `[B, K, size, size, C]`.
    """
    num_images, channels, height, width = features.shape
    num_boxes = boxes.shape[1]
    scaled = boxes.float() / stride
    rows = _weights(scaled[..., 1], scaled[..., 3], height, size, samples).to(features.dtype)  # [B, K, s, H]
    columns = _weights(scaled[..., 0], scaled[..., 2], width, size, samples).to(features.dtype)
    lines = features.permute(0, 3, 2, 1).reshape(num_images, width, height * channels)
    across = columns.reshape(num_images, num_boxes * size, width) @ lines  # [B, K * s, H * C]
    across = across.view(num_images * num_boxes, size, height, channels)
    down = rows.reshape(num_images * num_boxes, 1, size, height) @ across  # [B * K, s, s, C], columns first
    return down.view(num_images, num_boxes, size, size, channels).transpose(2, 3)


def _weights(start: Tensor, end: Tensor, length: int, size: int, samples: int) -> Tensor:
    """Return the share `[..., size, length]` that each cell has in each bin of intervals `[...]`."""
    extent = (end - start).clamp(min=1.0)
    grid = (torch.arange(size * samples, device=start.device, dtype=start.dtype) + 0.5) / (size * samples)
    points = start[..., None] + extent[..., None] * grid  # [..., size * samples]
    inside = (points >= -1) & (points <= length)
    cells = torch.arange(length, device=start.device, dtype=start.dtype)
    weights = (1 - (points.clamp(0, length - 1)[..., None] - cells).abs()).clamp(min=0) * inside[..., None]
    return weights.view(*start.shape, size, samples, length).mean(-2)


def _centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides
