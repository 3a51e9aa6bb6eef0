"""Detection with torch: original pixels, whatever the sizes and the batches."""

import time

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import normalize

from digitspot.config import InputConfig
from digitspot.detector import Detector
from digitspot.preprocess import prepare
from digitspot.runtime.torch_runtime import TorchRuntime, pick_precision
from digitspot.types import Detections, ImageArray

RULE = InputConfig(short_side=64, long_side=128, multiple=32)
CPU = torch.device("cpu")


def noise(*sizes: tuple[int, int]) -> list[ImageArray]:
    random = np.random.default_rng(8)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def same(first: Detections, second: Detections, atol: float = 1e-2) -> None:
    assert first.labels.tolist() == second.labels.tolist()
    np.testing.assert_allclose(first.boxes, second.boxes, atol=atol)
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-4)


def by_hand(detector: Detector, image: ImageArray) -> Detections:
    """Detect on one image: resized, normalised by torchvision, padded, boxes scaled back."""
    pixels = prepare(image, RULE).pixels
    h, w = pixels.shape[:2]
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    tensor = normalize(tensor, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    tensor = torch.nn.functional.pad(tensor, (0, -w % 32, 0, -h % 32))
    with torch.no_grad():
        output = detector.eval()(tensor[None], [(h, w)])[0][0]
    factors = np.array([image.shape[1] / w, image.shape[0] / h] * 2)
    return Detections(
        boxes=(output["boxes"].numpy() * factors).astype(np.float32),
        labels=output["labels"].numpy(),
        scores=output["scores"].numpy(),
    )


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((64, 96), "as the rule wants it"),
        ((32, 48), "up"),
        ((300, 420), "down"),
        ((200, 90), "upright"),
        ((30, 400), "the longer side limits"),
        ((1, 1), "one pixel"),
        ((2000, 3), "a line"),
    ],
)
def test_boxes_are_in_the_images_own_pixels(
    still_detector: Detector, size: tuple[int, int], reason: str
) -> None:
    [image] = noise(size)
    [found] = TorchRuntime(still_detector, RULE, CPU).detect([image])
    same(found, by_hand(still_detector, image), atol=1e-2 * max(1, max(size) / 128))
    assert (found.boxes.dtype, found.labels.dtype, found.scores.dtype) == (np.float32, np.int64, np.float32)
    slack = 1e-3 * max(size)
    assert (found.boxes >= 0).all(), reason
    assert (found.boxes <= np.tile(size[::-1], 2) + slack).all(), reason
    assert ((found.labels >= 1) & (found.labels <= 10)).all()


def test_there_is_something_to_compare(still_detector: Detector) -> None:
    [found] = TorchRuntime(still_detector, RULE, CPU).detect(noise((64, 96)))
    assert len(found) > 20
    assert found.boxes[:, 2].max() > 48
    assert found.scores.std() > 0.05


def test_order_is_kept_over_groups(still_detector: Detector) -> None:
    images = noise((64, 128), (64, 64), (100, 50), (64, 100), (64, 65), (20, 90))
    runtime = TorchRuntime(still_detector, RULE, CPU, batch_size=1)
    for image, found in zip(images, runtime.detect(images), strict=True):
        same(found, by_hand(still_detector, image), atol=2e-2)


def test_batch_size_changes_nothing_for_like_shapes(still_detector: Detector) -> None:
    images = noise(*[(64, 96)] * 5)
    results = [TorchRuntime(still_detector, RULE, CPU, batch_size=size).detect(images) for size in (1, 2, 32)]
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            same(first, second)


def test_company_changes_nothing(still_detector: Detector) -> None:
    images = noise((64, 96), (64, 128), (64, 64), (64, 70), (90, 64), (64, 100))
    alone = [TorchRuntime(still_detector, RULE, CPU).detect([image])[0] for image in images]
    together = TorchRuntime(still_detector, RULE, CPU).detect(images)
    for first, second in zip(alone, together, strict=True):
        same(first, second)


def test_no_images(still_detector: Detector) -> None:
    assert TorchRuntime(still_detector, RULE, CPU).detect([]) == []


def test_nothing_found_is_empty(still_detector: Detector) -> None:
    before = still_detector.roi_heads.score_thresh
    try:
        still_detector.roi_heads.score_thresh = 1.1
        found = TorchRuntime(still_detector, RULE, CPU).detect(noise((64, 64), (30, 200)))
    finally:
        still_detector.roi_heads.score_thresh = before
    assert [(each.boxes.shape, each.labels.shape, each.scores.shape) for each in found] == [
        ((0, 4), (0,), (0,))
    ] * 2


def test_detection_leaves_images_and_network_alone(still_detector: Detector) -> None:
    images = noise((64, 96), (40, 40))
    before = [image.copy() for image in images]
    state = {name: value.clone() for name, value in still_detector.state_dict().items()}
    torch.manual_seed(1)
    drawn = torch.random.get_rng_state()
    TorchRuntime(still_detector.train(), RULE, CPU).detect(images)
    assert not still_detector.training
    assert all((one == two).all() for one, two in zip(images, before, strict=True))
    assert all(torch.equal(value, state[name]) for name, value in still_detector.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_bfloat16_is_near(still_detector: Detector) -> None:
    images = noise((64, 96))
    [exact] = TorchRuntime(still_detector, RULE, CPU).detect(images)
    [near] = TorchRuntime(still_detector, RULE, CPU, precision="bf16").detect(images)
    assert (near.boxes.dtype, near.scores.dtype) == (np.float32, np.float32)
    assert near.scores.max() == pytest.approx(exact.scores.max(), abs=0.1)


def test_auto_takes_the_precision_that_is_faster_here() -> None:
    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.randn(768, 768).to(dtype)
        times = []
        for _ in range(7):
            start = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - start)
        return min(times)

    faster = "bf16" if seconds(torch.bfloat16) < seconds(torch.float32) else "fp32"
    assert pick_precision("auto", CPU) == faster
    assert pick_precision("bf16", CPU) == "bf16", "what is asked for is kept"
