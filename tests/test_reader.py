"""The public reader: what it loads, and that reading ahead changes nothing."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitspot.errors import CheckpointError, ConfigError, DataError
from digitspot.images import ImageSource
from digitspot.reader import Reader
from digitspot.reads import Read, turn
from digitspot.regions import turn_box
from digitspot.runtime.onnx_runtime import OnnxRuntime
from digitspot.synth.generate import make_image, subject_of
from digitspot.types import Detections, Digit, ImageArray, Reading


@pytest.fixture(scope="module")
def reader(nano_onnx: Path) -> Reader:
    return Reader.load(nano_onnx)


@pytest.fixture(scope="module")
def images() -> list[ImageArray]:
    random = np.random.default_rng(4)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in random.integers(20, 200, (30, 2))]


def test_a_run_and_what_is_exported_of_it_read_the_same(
    reader: Reader, nano_run: Path, images: list[ImageArray]
) -> None:
    trained = Reader.load(nano_run)
    assert (reader.settings, reader.categories) == (trained.settings, trained.categories)
    assert reader.seen == trained.seen
    assert len(reader.seen.keys) == 2
    texts = [reader.read(image).text for image in images]
    same = sum(trained.read(image).text == text for image, text in zip(images, texts, strict=True))
    assert same >= len(images) - 2  # with random weights an answer may hang on a score's last digit
    assert len(set(texts)) > 3


def test_every_kind_of_image_reads_the_same(reader: Reader, images: list[ImageArray], tmp_path: Path) -> None:
    image = Image.fromarray(images[0])
    image.save(path := tmp_path / "1.png")
    image.save(buffer := io.BytesIO(), "PNG")
    sources: list[ImageSource] = [images[0], image, path, str(path), buffer.getvalue()]
    assert len({reading.text for reading in reader.read_many(sources)}) == 1


@pytest.mark.parametrize("num", [0, 1, 7, 8, 9, 30])
def test_order_is_kept_whatever_the_batches(nano_onnx: Path, images: list[ImageArray], num: int) -> None:
    alone = OnnxRuntime(nano_onnx, batch_size=1, num_threads=2)  # unpadded, hence the same in any company
    reader = Reader(alone, alone.info.reading, alone.info.categories)
    sizes = [(30, 40 + place) for place in range(num)]
    sources = [image[:height, :width] for image, (height, width) in zip(images[:num], sizes, strict=True)]
    expected = [reader.read(source) for source in sources]
    found = list(reader.read_many(iter(sources), batch_size=8))
    assert [each.text for each in found] == [each.text for each in expected]


def test_it_reads_no_further_ahead_than_told(reader: Reader, images: list[ImageArray]) -> None:
    taken = 0

    def endless() -> Iterator[ImageArray]:
        nonlocal taken
        while True:
            taken += 1
            yield images[0]

    readings = reader.read_many(endless(), batch_size=4)
    for _ in range(9):
        next(readings)
    assert 9 <= taken <= 12 + 4 + 1
    readings.close()  # type: ignore[attr-defined]


def test_nothing_goes_on_after_the_last_one_asked_for(reader: Reader, images: list[ImageArray]) -> None:
    list(reader.read_many(images))  # the runtime's own threads wait for more from here on
    before = threading.active_count()
    readings = reader.read_many(images * 3, batch_size=2)
    next(readings)
    readings.close()  # type: ignore[attr-defined]
    time.sleep(0.05)
    assert threading.active_count() <= before


def test_a_broken_image_is_named(reader: Reader, images: list[ImageArray], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png"):
        list(reader.read_many([*images[:3], tmp_path / "bad.png"]))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("model.onnx", {"runtime": "torch"}, "cannot run in torch"),
        ("runs/mine", {"runtime": "onnx"}, "cannot run in onnx"),
        ("runs/mine", {"runtime": "openvino"}, "cannot run in openvino"),
        ("model.onnx", {"device": "cuda"}, "cannot run on 'cuda'"),
        ("model.onnx", {"precision": "bf16"}, "does not compute in bf16"),
    ],
)
def test_combinations_that_cannot_be(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Reader.load(name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["run", "best.pt", "model.onnx"])
def test_no_such_model(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=name):
        Reader.load(tmp_path / name)


@pytest.fixture(scope="module")
def turning() -> Reader:
    reader = Reader.load("svhn", threads=1)
    reader.turned = True
    return reader


@pytest.mark.parametrize("quarters", range(4))
def test_turned_numbers_are_read_and_say_how(turning: Reader, quarters: int) -> None:
    """Boxes are where the digits are in the image as it is given; `read_all` finds the same."""
    plates = [make_image(0, "train", index, subject_of("train", "plates")) for index in range(12)]
    right = 0
    for plate in plates:
        image = np.ascontiguousarray(np.rot90(plate.image, -quarters))
        text = "".join(str(label - 1) for label in plate.labels)
        [read] = turning.read_whole([image])
        upright_read = turning.read(plate.image)
        assert read.reading.text == upright_read.text
        assert read.reading.turned == (upright_read.turned + 90 * quarters) % 360 or not read.reading.text
        if read.reading.text != text or read.reading.turned != 90 * quarters:
            continue
        right += 1
        upright = np.zeros((*plate.image.shape[:2], len(text)), np.float32)
        for index, (x1, y1, x2, y2) in enumerate(plate.boxes.round().astype(int)):
            upright[y1:y2, x1:x2, index] = 1
        covered = np.rot90(upright, -quarters)
        for index, digit in enumerate(read.reading.digits):
            x1, y1, x2, y2 = (round(value) for value in digit.box)
            assert covered[y1:y2, x1:x2, index].mean() > 0.4
        assert turning.read_all(image)[0].reading.text == text
    assert right >= 4


def test_the_first_of_all_turned_numbers_is_the_answer(
    turning: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each turn the number that is meant is compared, not a surer one beside it."""
    meant, beside = (
        Read(Detections.empty(), Reading(text=text, probability=sure, digits=(digit,)))
        for text, sure, digit in (
            ("12345", 0.7, Digit(text="1", box=(0, 0, 4, 8), score=0.9, probability=0.9)),
            ("5", 0.9, Digit(text="5", box=(20, 0, 24, 8), score=0.9, probability=0.9)),
        )
    )
    reads = iter([[meant, beside], [], [], []])
    monkeypatch.setattr(turning, "_read_numbers", lambda image, inner: next(reads))
    found = turning.read_all(np.zeros((40, 60, 3), np.uint8))
    assert [each.reading.text for each in found] == ["12345", "5"]


@pytest.mark.parametrize("quarters", range(4))
def test_a_part_of_a_turned_image(quarters: int) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:12, 20:50] = 255
    left, top, right, bottom = turn_box((20, 5, 50, 12), image, quarters)
    turned = turn(image, quarters)
    assert turned[top:bottom, left:right].min() == 255
    assert (turned == 255).sum() == 3 * (right - left) * (bottom - top)


def test_digits_around_a_region_do_not_count(nano_onnx: Path, small_data: Path) -> None:
    """More than the region is looked at, so that what is cut tight is read as in the whole image."""
    reader = Reader.load(nano_onnx)
    for path in sorted((small_data / "test").iterdir())[:4]:
        whole = reader.read(path)
        if len(whole.digits) < 2:
            continue
        boxes = np.array([digit.box for digit in whole.digits])
        top = max(float(boxes[0, 1]), 0.0)
        right, bottom = boxes[-1, 2:]
        half = (boxes[0, 2] + boxes[1, 0]) / 2
        region = (float(half), top, float(right - half), float(bottom - top))
        inside = reader.with_options(region=region).read(path)
        assert all(digit.box[0] + digit.box[2] >= 2 * half - 1 for digit in inside.digits)
