"""A small split on the disk, and what a pack of it has to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_plan import PackPlan
from digitspot.images import decode_image
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet


def labelled(image_id: int, file_name: str, size_hw: tuple[int, int], num_boxes: int) -> LabelledImage:
    rng = np.random.default_rng(image_id)
    corners = np.sort(rng.uniform(0, 1, (num_boxes, 2, 2)), axis=1) * size_hw[::-1]
    boxes = corners.reshape(-1, 4).astype(np.float32)
    return LabelledImage(
        image_id=image_id,
        file_name=file_name,
        size_hw=size_hw,
        boxes=boxes,
        labels=rng.integers(1, 11, num_boxes),
        areas=np.ones(num_boxes),
        crowd=rng.random(num_boxes) < 0.3,
    )


def write_split(folder: Path, num: int = 12, side: int = 20) -> LabelSet:
    """Write BMP images (equal size in pixels, equal size in bytes) with 0 to 3 boxes each."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(num)
    images = []
    for i in range(num):
        height, width = side + i % 7, side + i % 5
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(
            folder / "train" / f"{i}.bmp"
        )
        images.append(labelled(1000 + i, f"{i}.bmp", (height, width), i % 4))
    return LabelSet.of(images, categories=CategoryMap.homework(), path=folder / "train.json")


def assert_holds(pack: Pack, labels: LabelSet, images_dir: Path) -> None:
    assert sorted(pack.source_rows.tolist()) == list(range(len(labels)))
    for i, row in enumerate(pack.source_rows):
        image = labels.images[row]
        np.testing.assert_array_equal(pack.image(i), decode_image(images_dir / image.file_name))
        np.testing.assert_array_equal(pack.boxes(i), image.boxes)
        np.testing.assert_array_equal(pack.labels(i), image.labels)
        np.testing.assert_array_equal(pack.crowd(i), image.crowd)
        assert (pack.image_ids[i], pack.file_names[i]) == (image.image_id, image.file_name)
        assert tuple(pack.sizes_hw[i]) == tuple(pack.original_sizes_hw[i]) == image.size_hw


def leftovers(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.endswith(".tmp")]


def refuse(plan: PackPlan) -> None:
    raise AssertionError(f"built again: {plan.describe()}")
