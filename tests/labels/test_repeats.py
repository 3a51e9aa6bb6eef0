"""Repeated images are found; similar ones are not called repeats."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from digitspot.images import decode_image
from digitspot.labels.check import check_data
from digitspot.labels.coco import read_labels
from digitspot.labels.grouping import divide, group_images
from digitspot.labels.repeats import find_repeats, fingerprint

SIZE = (120, 60)


def scene(seed: int) -> Image.Image:
    """A number on a wall of bricks, different for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", SIZE, tuple(int(value) for value in rng.integers(60, 200, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = (int(value) for value in rng.integers(0, 110, 2))
        colour = tuple(int(value) for value in rng.integers(30, 230, 3))
        draw.rectangle((x, y, x + int(rng.integers(8, 50)), y + int(rng.integers(4, 20))), colour)
    draw.text((int(rng.integers(15, 60)), 12), str(rng.integers(10, 99)), "white", ImageFont.load_default(36))
    return image


def coded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


CHANGES = [
    ("the same pixels", lambda image: image, True),
    ("coded as JPEG", lambda image: coded(image, 50), False),
    ("half the size", lambda image: image.resize((60, 30), Image.Resampling.LANCZOS), False),
    ("another shape", lambda image: image.resize((100, 80), Image.Resampling.BICUBIC), False),
    ("cut by 3 to 5 %", lambda image: image.crop((6, 2, 116, 58)), False),
    ("cut, reduced and coded", lambda image: coded(image.crop((4, 2, 118, 58)).resize((90, 45)), 60), False),
    ("darker", lambda image: image.point(lambda value: int(value * 0.6)), False),
]


@pytest.mark.parametrize(
    ("change", "exact"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_copy_is_found_among_others(change, exact: bool) -> None:  # type: ignore[no-untyped-def]
    images = [scene(seed) for seed in range(60)]
    prints = [fingerprint(np.asarray(image)) for image in [*images, *(change(images[i]) for i in range(20))]]
    found = find_repeats(prints)
    assert [(repeat.first, repeat.second) for repeat in found] == [(i, 60 + i) for i in range(20)]
    assert all(repeat.exact == exact for repeat in found)


def test_flat_few_and_no_images() -> None:
    assert find_repeats([]) == []
    grey = [fingerprint(np.full((20, 30, 3), value, np.uint8)) for value in (10, 90, 90, 91)]
    assert find_repeats(grey[:1]) == []
    assert [(repeat.first, repeat.second, repeat.exact) for repeat in find_repeats(grey)] == [(1, 2, True)]


def test_equal_bytes_of_another_shape_are_no_repeat() -> None:
    wide, high = np.zeros((2, 8, 3), np.uint8), np.zeros((8, 2, 3), np.uint8)
    assert find_repeats([fingerprint(wide), fingerprint(high)]) == []


def test_check_names_leaks_and_labels_that_differ(tmp_path: Path) -> None:
    for split, seeds in (("train", (1, 2, 3)), ("valid", (4, 2))):
        (tmp_path / split).mkdir()
        images = [{"id": i, "file_name": f"{i}.png", "width": 120, "height": 60} for i in range(len(seeds))]
        boxes = [
            {"id": i, "image_id": i, "category_id": 1 + i, "bbox": [9, 9, 9, 9]} for i in range(len(seeds))
        ]
        (tmp_path / f"{split}.json").write_text(json.dumps({"images": images, "annotations": boxes}))
        for i, seed in enumerate(seeds):
            scene(seed).save(tmp_path / split / f"{i}.png")
    report = check_data(tmp_path)
    assert [(row.split, row.kind) for row in report.rows()] == [("valid", "repeated images across splits")]
    assert report.can_train
    coded(scene(2), 60).save(tmp_path / "valid" / "1.png")
    shown = str(check_data(tmp_path).findings[0])
    assert "valid/1.png: shows the same as train/1.png (similarity 0.9" in shown
    document = json.loads((tmp_path / "valid.json").read_text())
    document["annotations"][1]["category_id"] = 8
    (tmp_path / "valid.json").write_text(json.dumps(document))
    assert str(check_data(tmp_path).findings[0]).endswith("labelled 7 here and 1 there")


@pytest.mark.svhn
def test_planted_in_svhn(tmp_path: Path) -> None:
    """100 images of `train` planted in `valid` and `test`: all found, as they are and coded anew."""
    data = Path(os.environ["DIGITSPOT_SVHN"])
    rng = np.random.default_rng(0)
    names = [image.file_name for image in read_labels(data / "train.json").images]
    planted = {}
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        shutil.copy(data / f"{split}.json", tmp_path)
        for path in (data / split).iterdir():
            (tmp_path / split / path.name).symlink_to(path)
    for number, name in enumerate(rng.permutation(names)[:100]):
        split = ("valid", "test")[number % 2]
        target = tmp_path / split / f"planted{number}.png"
        Image.fromarray(decode_image(data / "train" / name)).save(target)
        planted[target] = f"train/{name}"
        document = json.loads((tmp_path / f"{split}.json").read_text())
        height, width = decode_image(target).shape[:2]
        record = {"id": 10**6 + number, "file_name": target.name, "width": width, "height": height}
        document["images"].append(record)
        (tmp_path / f"{split}.json").write_text(json.dumps(document))
    findings = [f for f in check_data(tmp_path).findings if f.kind == "repeated images across splits"]
    found = {Path(finding.where): finding.message for finding in findings}
    assert sum(planted[path] in found.get(path, "") for path in planted) >= 80
    print(len(findings), "exact repeats found of 100 planted")


def test_many_frames_of_one_camera_are_one_group_of_few_pairs() -> None:
    rng, still = np.random.default_rng(0), np.asarray(scene(0), np.int16)
    frames = [np.clip(still + rng.normal(0, 4, still.shape), 0, 255).astype(np.uint8) for _ in range(100)]
    prints = [fingerprint(frame) for frame in frames]
    assert len(find_repeats(prints)) <= 10 * 100
    assert not group_images([Path(f"{index}.png") for index in range(100)], prints).any()


@pytest.mark.parametrize("sizes", [(50, 10, 10, 10, 10, 10), (40, 30, 30)])
def test_a_large_group_stays_in_train_where_it_can(sizes: tuple[int, ...]) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(50):
        assert divide(groups, {"valid": 0.1}, seed).count("valid") == min(sizes)
