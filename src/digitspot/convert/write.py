"""Writing a data set in our layout, or in YOLO's."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from digitspot.convert.source import Notes, SourceImage
from digitspot.files import writing_whole
from digitspot.labels.coco import write_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.progress import tracking
from digitspot.types import NUM_DIGITS

Target = Literal["coco", "yolo"]
ImageMode = Literal["link", "copy", "move", "none"]
"""How images come along; "move" is for those that were only unpacked to be converted."""

RECORD = "conversion.json"
"""Says what was converted; a folder with it may be replaced by another conversion."""

_YOLO_SPLITS = {"train": "train", "valid": "val", "test": "test"}


def write_data_set(
    splits: Mapping[str, Sequence[SourceImage]],
    folder: Path,
    to: Target,
    image_mode: ImageMode,
    record: Mapping[str, str],
) -> tuple[dict[str, tuple[int, int]], Notes]:
    """Write labels and images into a new folder.

    Args:
        splits: Images, all with a size, of "train", "valid" and "test".
        folder: Made here.
        to: Which layout.
        image_mode: How images come along.
        record: What to note in `conversion.json`.

    Returns:
        Images and digits of each split, and what was changed, counted.
    """
    notes = Notes()
    counts = {}
    total, done = sum(map(len, splits.values())), 0
    folder.mkdir()
    with tracking("writing") as show:
        for name, images in splits.items():
            file_names = unique_names([image.path for image in images])
            images_dir = folder / name if to == "coco" else folder / "images" / name
            if image_mode != "none":
                images_dir.mkdir(parents=True)
            for image, file_name in zip(images, file_names, strict=True):
                bring_image(image.path, images_dir / file_name, image_mode)
                done += 1
                show(done, total)
            if to == "coco":
                _write_coco(images, file_names, folder / f"{name}.json")
            else:
                _write_yolo(images, file_names, folder / "labels" / name, notes)
            counts[name] = (len(images), sum(len(image.digits) for image in images))
    if to == "yolo":
        _write_yaml(folder, list(splits))
    with writing_whole(folder / RECORD) as file:
        json.dump({**record, "to": to, "counts": counts}, file, indent=1)
    return counts, notes


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return a file name for each image of a split, no two of them equal but for their ending or case.

    >>> unique_names([Path("a/1.png"), Path("b/1.png"), Path("b/1.jpg")])
    ['1.png', 'b-1.png', 'b-1-2.jpg']
    """
    taken: set[str] = set()
    names = []
    for path in paths:
        stem, number = path.stem, 1
        while stem.lower() in taken:
            stem = f"{path.parent.name}-{path.stem}" + (f"-{number}" if number > 1 else "")
            number += 1
        taken.add(stem.lower())
        names.append(stem + path.suffix)
    return names


def bring_image(source: Path, target: Path, how: ImageMode) -> None:
    """Link, copy or move an image; where the system does not link, it is copied."""
    if how == "none":
        return
    try:
        if how == "link":
            os.symlink(source.resolve(), target)
            return
        if how == "move":
            os.link(source.resolve(), target)  # the folder it was unpacked to goes afterwards
            return
    except (OSError, NotImplementedError):
        target.unlink(missing_ok=True)
    shutil.copyfile(source, target)


def _write_coco(images: Sequence[SourceImage], file_names: Sequence[str], path: Path) -> None:
    labelled = tuple(
        _labelled(image, file_name, image_id)
        for image, file_name, image_id in zip(images, file_names, _ids(images, file_names), strict=True)
    )
    write_labels(LabelSet.of(labelled, categories=CategoryMap.homework(), path=path), path)


def _labelled(image: SourceImage, file_name: str, image_id: int) -> LabelledImage:
    assert image.size_hw is not None, f"{image.path} has no size"
    return LabelledImage(
        image_id=image_id,
        file_name=file_name,
        size_hw=image.size_hw,
        boxes=image.boxes.astype(np.float32),
        labels=image.digits + 1,
        areas=(image.boxes[:, 2:] - image.boxes[:, :2]).prod(axis=1),
        crowd=image.crowd,
    )


def _ids(images: Sequence[SourceImage], file_names: Sequence[str]) -> list[int]:
    """Return ids: the source's where it has them, else the file's number, else their index from 1."""
    own = [image.image_id for image in images if image.image_id is not None]
    if len(set(own)) == len(images):
        return own
    stems = [Path(name).stem for name in file_names]
    if all(stem.isascii() and stem.isdigit() and len(stem) <= 15 for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(images) + 1))


def _write_yolo(images: Sequence[SourceImage], file_names: Sequence[str], folder: Path, notes: Notes) -> None:
    """Write a label file for each image; its boxes are cut to the frame, which YOLO demands."""
    folder.mkdir(parents=True)
    for image, file_name in zip(images, file_names, strict=True):
        assert image.size_hw is not None, f"{image.path} has no size"
        height, width = image.size_hw
        limits = np.array([width, height, width, height])
        boxes = np.clip(image.boxes, 0, limits)
        good = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & ~image.crowd
        cut = good & (boxes != image.boxes).any(axis=1)
        notes.add("boxes were cut to the frame", image.where, int(cut.sum()))
        notes.add("boxes are crowds or outside the frame and were left out", image.where, int((~good).sum()))
        x1, y1, x2, y2 = (boxes[good] / limits).T
        rows = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=1)
        lines = [
            f"{digit} " + " ".join(f"{value:.8f}" for value in row) + "\n"
            for digit, row in zip(image.digits[good].tolist(), rows.tolist(), strict=True)
        ]
        (folder / file_name).with_suffix(".txt").write_text("".join(lines), encoding="utf-8")


def _write_yaml(folder: Path, splits: Sequence[str]) -> None:
    """Write `data.yaml`. Without `path`, folders are relative to the file itself."""
    lines = [f"{_YOLO_SPLITS[name]}: images/{name}\n" for name in splits]
    names = "".join(f'  {digit}: "{digit}"\n' for digit in range(NUM_DIGITS))
    with writing_whole(folder / "data.yaml") as file:
        file.write("".join(lines) + "names:\n" + names)
