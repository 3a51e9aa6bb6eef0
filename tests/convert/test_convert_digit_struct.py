"""SVHN's own file, in every layout that the HDF5 library writes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digit_struct_file import Box, write_digit_struct

from digitspot.cli import run
from digitspot.convert.digit_struct import read_mat
from digitspot.convert.files import SourceFiles
from digitspot.convert.source import Collection
from digitspot.labels.coco import read_labels


def random_entries(num: int, seed: int = 0) -> list[tuple[str, list[Box]]]:
    """SVHN's lengths: mostly two digits, labels 1 to 10."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 2, 3, 4, 5, 6], num, p=[0.1538, 0.5428, 0.2602, 0.0429, 0.0002, 0.0001])
    entries: list[tuple[str, list[Box]]] = []
    for row, length in enumerate(lengths):
        boxes = [
            (float(rng.integers(1, 11)), float(9 * i + rng.integers(-3, 4)), 3.0, 9.0, float(20 + i))
            for i in range(length)
        ]
        entries.append((f"{row + 1}.png", boxes))
    return entries


def read(path: Path) -> Collection:
    return read_mat([path], SourceFiles(path), (), lambda done, total: None)


def assert_holds(collection: Collection, entries: list[tuple[str, list[Box]]]) -> None:
    assert [image.names[0] for image in collection.images] == [name for name, _ in entries]
    for image, (_, boxes) in zip(collection.images, entries, strict=True):
        told = np.array(boxes).reshape(-1, 5)
        assert image.digits.tolist() == (told[:, 0] % 10).astype(int).tolist()
        assert np.array_equal(image.boxes[:, :2], told[:, 1:3])
        assert np.array_equal(image.boxes[:, 2:], told[:, 1:3] + told[:, 3:])


LAYOUTS: list[tuple[str, dict[str, Any]]] = [
    ("as MATLAB writes it", {}),
    ("with attributes and continued headers", {"attributes": True}),
    ("the references compressed", {"chunks": (64, 1), "compression": "gzip"}),
]


@pytest.mark.parametrize("options", [case[1] for case in LAYOUTS], ids=[case[0] for case in LAYOUTS])
def test_it_reads_what_was_written(options: dict[str, Any], tmp_path: Path) -> None:
    entries = random_entries(150)
    write_digit_struct(tmp_path / "digitStruct.mat", entries, **options)
    assert_holds(read(tmp_path / "digitStruct.mat"), entries)


@pytest.mark.parametrize(("folder", "split"), [("test", "test"), ("test_of_mine", "train")])
def test_the_folder_alone_names_the_split(folder: str, split: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "digitStruct.mat"
    write_digit_struct(path, random_entries(3))
    assert (
        run(
            ["data", "convert", str(path), str(tmp_path / "out"), "--valid-fraction", "0", "--images", "none"]
        )
        == 0
    )
    assert [each.name for each in (tmp_path / "out").glob("*.json") if each.stem != "conversion"] == [
        f"{split}.json"
    ]


def test_one_entry_and_none(tmp_path: Path) -> None:
    path = tmp_path / "digitStruct.mat"
    write_digit_struct(path, [("7.png", [(10.0, 1.0, 2.0, 3.0, 4.0)])])
    image = read(path).images[0]
    assert (image.boxes.tolist(), image.digits.tolist()) == ([[1, 2, 4, 6]], [0])
    write_digit_struct(path, [])
    assert read(path).images == []


@pytest.mark.slow
def test_a_tenth_of_svhn(tmp_path: Path) -> None:
    """3,340 entries in SVHN's structure take seconds; all of SVHN takes ten times as long."""
    entries = random_entries(3_340)
    path = tmp_path / "digitStruct.mat"
    write_digit_struct(path, entries)
    start = time.process_time()
    assert run(["data", "convert", str(path), str(tmp_path / "out"), "--images", "none"]) == 0
    assert time.process_time() - start < 30
    labels = [read_labels(tmp_path / "out" / f"{name}.json", clip=False) for name in ("train", "valid")]
    assert [len(each) for each in labels] == [3_006, 334]
    written = np.concatenate([each.labels for each in labels])
    told = [int(box[0]) % 10 + 1 for _, boxes in entries for box in boxes]
    assert np.array_equal(np.bincount(written), np.bincount(told))
