"""Small data sets in the formats of others, as their tools write them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Box = tuple[int, float, float, float, float]
"""Digit, x1, y1, x2, y2."""


@dataclass(frozen=True)
class Photo:
    """An image to be written, with its digits."""

    name: str
    split: str
    width: int
    height: int
    boxes: tuple[Box, ...]


def make_photos() -> list[Photo]:
    """Nine images in three splits: no digits, one, many, zero, fractions of pixels, leaving the frame."""
    rng = np.random.default_rng(5)
    photos = [Photo("1.png", "train", 33, 21, ()), Photo("2.png", "train", 40, 30, ((0, -2, 3, 9, 20),))]
    for number in range(3, 10):
        split = "train" if number < 6 else "valid" if number < 8 else "test"
        width, height = (int(side) for side in rng.integers(30, 120, 2))
        boxes = []
        for digit in rng.integers(0, 10, rng.integers(1, 5)):
            x, y = rng.uniform(0, width - 12), rng.uniform(0, height - 14)
            boxes.append((int(digit), round(x, 1), round(y, 1), round(x + 9.5, 1), round(y + 13.25, 2)))
        photos.append(Photo(f"{number}.png", split, width, height, tuple(boxes)))
    return photos


def save_image(photo: Photo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(photo.name) * 1000 + photo.width + photo.height)
    Image.fromarray(rng.integers(0, 256, (photo.height, photo.width, 3), np.uint8)).save(path)


def write_coco(photos: list[Photo], folder: Path, *, roboflow: bool = False) -> None:
    """Our layout, with ids of its own; or Roboflow's, with a parent category that has no boxes."""
    for split in sorted({photo.split for photo in photos}):
        document: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        document["categories"] = [{"id": 30 - digit, "name": str(digit)} for digit in range(10)]
        if roboflow:
            document["categories"].insert(0, {"id": 0, "name": "digits", "supercategory": "none"})
        for number, photo in enumerate((each for each in photos if each.split == split), 100):
            record = {"id": number, "file_name": photo.name, "width": photo.width, "height": photo.height}
            document["images"].append(record)
            for digit, x1, y1, x2, y2 in photo.boxes:
                row = {"id": len(document["annotations"]), "image_id": number, "category_id": 30 - digit}
                document["annotations"].append(row | {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0})
            save_image(photo, folder / split / photo.name)
        path = folder / split / "_annotations.coco.json" if roboflow else folder / f"{split}.json"
        path.write_text(json.dumps(document))


def write_yolo(photos: list[Photo], folder: Path, names: list[str] | None = None) -> None:
    """As Roboflow exports: `train/images`, `train/labels`, and `../` in data.yaml."""
    names = names or [str(digit) for digit in range(10)]
    for photo in photos:
        save_image(photo, folder / photo.split / "images" / photo.name)
        lines = []
        for digit, x1, y1, x2, y2 in photo.boxes:
            x, y = (x1 + x2) / 2 / photo.width, (y1 + y2) / 2 / photo.height
            w, h = (x2 - x1) / photo.width, (y2 - y1) / photo.height
            lines.append(f"{names.index(str(digit))} {x} {y} {w} {h}\n")
        path = (folder / photo.split / "labels" / photo.name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))
    keys = {"train": "train", "valid": "val", "test": "test"}
    lines = [f"{keys[split]}: ../{split}/images\n" for split in ("train", "valid", "test")]
    (folder / "data.yaml").write_text("".join(lines) + f"nc: 10\nnames: {json.dumps(names)}\n")


def voc_xml(photo: Photo, database: str = "Unknown", first: int = 0) -> str:
    objects = "".join(
        f"<object><name>{digit}</name><pose>Unspecified</pose><difficult>0</difficult>"
        f"<bndbox><xmin>{x1 + first}</xmin><ymin>{y1 + first}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for digit, x1, y1, x2, y2 in photo.boxes
    )
    size = f"<size><width>{photo.width}</width><height>{photo.height}</height><depth>3</depth></size>"
    source = f"<source><database>{database}</database></source>"
    return f"<annotation><filename>{photo.name}</filename>{source}{size}{objects}</annotation>"


def write_voc(photos: list[Photo], folder: Path, **style: Any) -> None:
    """`Annotations`, `JPEGImages` and `ImageSets/Main`."""
    for name in ("Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for photo in photos:
        save_image(photo, folder / "JPEGImages" / photo.name)
        (folder / "Annotations" / photo.name).with_suffix(".xml").write_text(voc_xml(photo, **style))
    for split, listed in (("train", "train"), ("valid", "val"), ("test", "test")):
        stems = [Path(photo.name).stem for photo in photos if photo.split == split]
        (folder / "ImageSets" / "Main" / f"{listed}.txt").write_text("\n".join(stems))


def write_tianchi(photos: list[Photo], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "mchar_train"), ("valid", "mchar_val"), ("test", "mchar_test_a")):
        document = {}
        for photo in (each for each in photos if each.split == split):
            columns: dict[str, list[float]] = {"height": [], "label": [], "left": [], "top": [], "width": []}
            for digit, x1, y1, x2, y2 in photo.boxes:
                row = {"height": y2 - y1, "label": digit, "left": x1, "top": y1, "width": x2 - x1}
                for key, value in row.items():
                    columns[key].append(value)
            document[photo.name] = columns
            save_image(photo, folder / name / photo.name)
        (folder / f"{name}.json").write_text(json.dumps(document))


def write_csv(photos: list[Photo], folder: Path, *, corners: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sized = ["split", "file_name", "label", "left", "top", "width", "height"]
    cornered = ["split", "filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    with (folder / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(cornered if corners else sized)
        for photo in photos:
            save_image(photo, folder / "images" / photo.name)
            size = [photo.width, photo.height] if corners else []
            if not photo.boxes:
                writer.writerow([photo.split, photo.name, *size, "", "", "", "", ""])
            for digit, x1, y1, x2, y2 in photo.boxes:
                box = [x1, y1, x2, y2] if corners else [x1, y1, x2 - x1, y2 - y1]
                writer.writerow([photo.split, photo.name, *size, digit, *box])


def write_label_studio(photos: list[Photo], folder: Path) -> None:
    """As Label Studio exports JSON: uploads have a prefix, boxes are percentages, older annotations stay."""
    for split in sorted({photo.split for photo in photos}):
        tasks = []
        for number, photo in enumerate((each for each in photos if each.split == split), 1):
            save_image(photo, folder / split / photo.name)
            result = [
                {
                    "original_width": photo.width,
                    "original_height": photo.height,
                    "image_rotation": 0,
                    "value": {
                        "x": 100 * x1 / photo.width,
                        "y": 100 * y1 / photo.height,
                        "width": 100 * (x2 - x1) / photo.width,
                        "height": 100 * (y2 - y1) / photo.height,
                        "rotation": 0,
                        "rectanglelabels": [str(digit)],
                    },
                    "id": f"r{digit}",
                    "from_name": "label",
                    "to_name": "image",
                    "type": "rectanglelabels",
                    "origin": "manual",
                }
                for digit, x1, y1, x2, y2 in photo.boxes
            ]
            old = {"id": 1, "was_cancelled": False, "updated_at": "2025-01-01T00:00:00Z", "result": []}
            new = {"id": 2, "was_cancelled": False, "updated_at": "2025-02-01T00:00:00Z", "result": result}
            skipped = {"id": 3, "was_cancelled": True, "updated_at": "2025-03-01T00:00:00Z", "result": []}
            image = f"/data/upload/1/0a1b2c3d-{photo.name}"
            tasks.append(
                {
                    "id": number,
                    "annotations": [old, new, skipped],
                    "predictions": [],
                    "data": {"image": image},
                }
            )
        (folder / f"{split}.json").write_text(json.dumps(tasks))


def write_cvat(photos: list[Photo], folder: Path) -> None:
    """As CVAT for images 1.1 exports: one file for all, with subsets."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "  <version>1.1</version>",
        "  <meta/>",
    ]
    for number, photo in enumerate(photos):
        save_image(photo, folder / "images" / photo.split / photo.name)
        size = f'width="{photo.width}" height="{photo.height}"'
        lines.append(f'  <image id="{number}" name="{photo.name}" subset="{photo.split}" {size}>')
        for digit, x1, y1, x2, y2 in photo.boxes:
            corners = f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"'
            lines.append(
                f'    <box label="{digit}" source="manual" occluded="0" {corners} z_order="0"></box>'
            )
        lines.append("  </image>")
    (folder / "annotations.xml").write_text("\n".join([*lines, "</annotations>"]))
