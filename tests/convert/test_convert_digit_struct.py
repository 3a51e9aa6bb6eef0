"""SVHN's own file: read at once, equal to what the HDF5 library reads object by object."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digit_struct_file import Box, write_digit_struct

from digitspot.cli import run
from digitspot.convert import digit_struct
from digitspot.convert.digit_struct import read_digit_struct
from digitspot.convert.hdf5_bulk import NotPlainError
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
    return read_digit_struct(path, "train", lambda done, total: None)


def assert_holds(collection: Collection, entries: list[tuple[str, list[Box]]]) -> None:
    assert [image.path.name for image in collection.images] == [name for name, _ in entries]
    for image, (_, boxes) in zip(collection.images, entries, strict=True):
        told = np.array(boxes).reshape(-1, 5)
        assert image.digits.tolist() == (told[:, 0] % 10).astype(int).tolist()
        assert np.array_equal(image.boxes[:, :2], told[:, 1:3])
        assert np.array_equal(image.boxes[:, 2:], told[:, 1:3] + told[:, 3:])


LAYOUTS: list[tuple[str, dict[str, Any], bool]] = [
    ("as MATLAB writes it", {}, True),
    ("with attributes and continued headers", {"attributes": True}, True),
    ("the references compressed", {"chunks": (64, 1), "compression": "gzip"}, True),
]


@pytest.mark.parametrize(
    ("options", "in_bulk"), [case[1:] for case in LAYOUTS], ids=[case[0] for case in LAYOUTS]
)
@pytest.mark.parametrize("each", [False, True], ids=["at once", "one by one"])
def test_it_reads_what_was_written(
    options: dict[str, Any], in_bulk: bool, each: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = random_entries(150)
    write_digit_struct(tmp_path / "digitStruct.mat", entries, **options)

    def never(*_: object) -> None:
        raise NotPlainError if each else AssertionError("read one by one")

    monkeypatch.setattr(digit_struct, "_read_bulk" if each else "_read_each", never)
    assert_holds(read(tmp_path / "digitStruct.mat"), entries)


@pytest.mark.parametrize(("folder", "split"), [("test", "test"), ("test_of_mine", "train")])
def test_the_folder_alone_names_the_split(folder: str, split: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "digitStruct.mat"
    write_digit_struct(path, random_entries(3))
    assert run(["data", "convert", str(path), str(tmp_path / "out"), "--valid-fraction", "0"]) == 0
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
def test_all_of_svhn_in_ten_seconds(tmp_path: Path) -> None:
    """33,402 entries in SVHN's structure; writing the file takes the library half a minute."""
    entries = random_entries(33_402)
    write_digit_struct(tmp_path / "digitStruct.mat", entries)
    start, cpu = time.monotonic(), time.process_time()
    assert run(["data", "convert", str(tmp_path / "digitStruct.mat"), str(tmp_path / "out")]) == 0
    print(f"{time.monotonic() - start:.1f} s, {time.process_time() - cpu:.1f} s of the processor")
    assert time.process_time() - cpu < 10
    labels = [read_labels(tmp_path / "out" / f"{name}.json", clip=False) for name in ("train", "valid")]
    assert [len(each) for each in labels] == [30_062, 3_340]
    written = [label for each in labels for image in each.images for label in image.labels]
    told = [int(box[0]) % 10 + 1 for _, boxes in entries for box in boxes]
    assert np.array_equal(np.bincount(written), np.bincount(told))
