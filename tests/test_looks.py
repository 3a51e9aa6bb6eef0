"""Several input sizes, several runs, several frames: by the commands that users have for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from digitspot.answers import read_readings
from digitspot.calibrate import calibrate_model, read_settings, store_settings, write_settings
from digitspot.cli import run
from digitspot.commands.calibrate import CROP_MARGINS
from digitspot.dataset.seen import Seen
from digitspot.fusion import fuse
from digitspot.labels.coco import read_labels
from digitspot.labels.results import read_results
from digitspot.preprocess import Prepared
from digitspot.reader import Reader
from digitspot.reading import ReadingSettings, SecondLook, read_number, vote
from digitspot.reading.candidates import NAMES
from digitspot.reading.certainty import LOOK_NAMES, NUMBER_NAMES
from digitspot.reading.settings import PRIOR_WEIGHTS
from digitspot.runtime.looks import Looks, join_looks, region_of_number, with_looks
from digitspot.types import Detections, ImageArray

IMAGES = [np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8) for size in ((40, 60), (90, 50))]


def test_sizes_are_fused_in_the_images_own_pixels(nano_onnx: Path) -> None:
    alone = Reader.load(nano_onnx).runtime
    both = Looks(alone, (32, 64)).detect(IMAGES)
    for image, found in zip(IMAGES, both, strict=True):
        sizes = [alone.detect_prepared([alone.prepare(image, side)])[0] for side in (32, 64)]
        expected = fuse(sizes)
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.scores == pytest.approx(expected.scores, abs=1e-4)
        assert found.size_hw == image.shape[:2]
    assert with_looks(alone, ReadingSettings()) is alone


def test_sizes_travel_with_the_reader_that_was_fitted_at_them(
    nano_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    settings = calibrate_model(nano_onnx, small_data / "valid.json", short_sides=(32, 48))
    stored = store_settings(settings, nano_onnx, tmp_path / "two.onnx")
    reader = Reader.load(stored)
    assert isinstance(reader.runtime, Looks)
    assert reader.runtime.short_sides == (32, 48)
    again = calibrate_model(stored, small_data / "valid.json")
    assert again.short_sides == ()
    assert [each.text for each in reader.read_many(IMAGES)] == [reader.read(each).text for each in IMAGES]


def found_at(*rows: tuple[float, float, float, float, int, float]) -> Detections:
    """Detections of rows x1, y1, x2, y2, digit, score."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    labels = table[:, 4].astype(np.int64) + 1
    return Detections(boxes=table[:, :4], labels=labels, scores=table[:, 5], size_hw=(100, 200))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (found_at(), None),  # nothing to look at
        (found_at((80, 40, 90, 60, 3, 0.1)), None),  # too weak to be a number
        (found_at((80, 40, 90, 60, 3, 0.9)), (60, 34, 110, 66)),
        (found_at((80, 40, 90, 60, 3, 0.9), (92, 40, 102, 60, 1, 0.9)), (60, 34, 122, 66)),
        (found_at((2, 2, 12, 22, 3, 0.9)), (0, 0, 32, 28)),  # cut at the image's border
        (found_at((10, 5, 100, 95, 3, 0.9), (105, 5, 190, 95, 1, 0.9)), None),  # the whole image
        (found_at((80, 40, 81, 40.5, 3, 0.9)), None),  # smaller than any crop
    ],
)
def test_the_region_of_a_second_look(found: Detections, expected: tuple[int, int, int, int] | None) -> None:
    number = read_number(found, ReadingSettings())
    assert region_of_number(number, (100, 200), SecondLook(margins=(1.0, 0.3))) == expected


def test_the_fitted_reader_of_the_first_look_chooses_the_region() -> None:
    weak = found_at((80, 40, 90, 60, 3, 0.3))
    eager = tuple(3 * (name == "one") + weight for name, weight in zip(NAMES, PRIOR_WEIGHTS, strict=True))
    second = SecondLook(margins=(1.0, 0.3))
    for weights, expected in ((PRIOR_WEIGHTS, None), (eager, (60, 34, 110, 66))):
        number = read_number(weak, ReadingSettings(weights=weights))
        assert region_of_number(number, (100, 200), second) == expected


class Sharp:
    """Finds the 1 and 2 of 12 at x 80 and 92; the 1 only where it shows them alone or with little around.

    It knows the place of a crop by the pixels, which count x and y.
    """

    def __init__(self) -> None:
        self.widths: list[int] = []

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        return Prepared(image, (image.shape[0], image.shape[1]))

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        return self.detect_prepared([self.prepare(image) for image in images])

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        found = []
        for each in inputs:
            left, top = each.pixels[0, 0, :2].tolist()
            self.widths.append(each.size_hw[1])
            rows = [(92 - left, 40 - top, 102 - left, 60 - top, 2, 0.9)]
            if each.size_hw[1] < 100:
                rows.append((80 - left, 40 - top, 90 - left, 60 - top, 1, 0.9))
            found.append(replace(found_at(*rows), size_hw=each.size_hw))
        return found


def test_a_crop_follows_the_number_that_the_one_before_showed() -> None:
    y, x = np.mgrid[:100, :200]
    image = np.stack([x, y, 0 * x], axis=2).astype(np.uint8)
    for most, widths in ((1, [200, 50]), (2, [200, 50, 62]), (5, [200, 50, 62])):
        runtime = Sharp()
        [found] = Looks(runtime, (), SecondLook(margins=(1.0, 0.3), most=most)).detect([image])
        assert runtime.widths == widths, "another crop only where the number is another"
        assert found.by_look == ("2", "12")
        scores = dict(zip((found.labels - 1).tolist(), found.scores.tolist(), strict=True))
        assert scores == pytest.approx({2: 0.9, 1: 0.45 if most == 1 else 0.675})


def test_looks_that_agree_make_a_number_more_probable() -> None:
    found = found_at((80, 40, 90, 60, 3, 0.9), (92, 40, 102, 60, 1, 0.9))
    number_weights = tuple(
        float(name == "second_agrees") - (name == "first_is_longer") for name in NUMBER_NAMES
    )
    settings = ReadingSettings(number_weights=number_weights)
    chances = {}
    for by_look in ((), ("31",), ("31", "31"), ("31", "3"), ("131", "31")):
        chances[by_look] = read_number(replace(found, by_look=by_look), settings).probability
    assert chances[()] == chances["31",] == chances["31", "3"] == chances["131", "31"] == 0.5
    assert chances["31", "31"] > 0.7


def test_a_second_look_says_what_each_look_shows(nano_onnx: Path) -> None:
    single = Reader.load(nano_onnx).single_look
    eager = tuple(9 * (name == "one") + weight for name, weight in zip(NAMES, PRIOR_WEIGHTS, strict=True))
    second = SecondLook(margins=(1.0, 0.3), weights=eager)
    for image, found in zip(IMAGES, Looks(single, (), second).detect(IMAGES), strict=True):
        [first] = single.detect([image])
        assert found.by_look[0] == (read_number(first, ReadingSettings(weights=eager)).text or "")
        assert len(found.by_look) == 2 or len(found) == len(first)
    assert single.detect(IMAGES)[0].by_look == ()


def test_settings_from_before_the_looks_were_compared_are_read() -> None:
    values = ReadingSettings(number_weights=tuple(map(float, range(len(NUMBER_NAMES))))).to_dict()
    values["number_weights"] = values["number_weights"][: -len(LOOK_NAMES)]
    read = ReadingSettings.from_dict(values).number_weights
    assert read == (*values["number_weights"], *[0.0] * len(LOOK_NAMES))


def test_joined_looks_are_fused_inside_the_region() -> None:
    first = found_at(
        (40, 20, 50, 40, 3, 0.6), (60, 20, 70, 40, 1, 0.9), (150, 20, 160, 40, 5, 0.8)
    )  # the last is outside
    second = found_at((42, 20, 52, 40, 3, 0.6), (75, 20, 85, 40, 7, 0.5))
    joined = join_looks(first, second, (30, 10, 110, 60))
    expected = fuse([found_at((40, 20, 50, 40, 3, 0.6), (60, 20, 70, 40, 1, 0.9)), second])
    assert joined.boxes[:3] == pytest.approx(expected.boxes)
    assert (joined.labels - 1).tolist() == [3, 1, 7, 5]
    assert joined.scores == pytest.approx([0.6, 0.45, 0.25, 0.8]), "one of two looks found the 1 and the 7"
    assert joined.boxes[3].tolist() == [150, 20, 160, 40], "outside, there is one look"
    assert joined.size_hw == (100, 200)
    for one, other in ((first, found_at()), (found_at(), second), (found_at(), found_at())):
        assert len(join_looks(one, other, (0, 0, 200, 100))) == len(one) + len(other)


def test_a_second_look_does_not_depend_on_the_other_images(nano_onnx: Path) -> None:
    looks = Looks(Reader.load(nano_onnx).single_look, (), SecondLook(margins=(1.0, 0.3)))
    together = looks.detect(IMAGES)
    for image, found in zip(IMAGES, together, strict=True):
        [alone] = looks.detect([image])
        assert alone.boxes == pytest.approx(found.boxes, abs=1e-3)
        assert alone.labels.tolist() == found.labels.tolist()


def test_a_second_look_travels_with_the_model(nano_onnx: Path, small_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "twice.onnx"
    labels = str(small_data / "valid.json")
    arguments = ["calibrate", str(nano_onnx), "--labels", labels, "--looks", "2", "--output", str(output)]
    assert run(arguments) == 0
    reader = Reader.load(output)
    assert isinstance(reader.runtime, Looks)
    second = reader.settings.second_look
    assert second is not None
    assert second.margins in CROP_MARGINS
    one_look = calibrate_model(nano_onnx, small_data / "valid.json")
    assert second.weights == one_look.weights, "the region is chosen by the reader of the first look"
    assert Reader.load(nano_onnx).settings.second_look is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["calibrate", "{model}", "--labels", "{labels}", "--short-sides", "8", "32"], "16 pixels"),
        (
            ["calibrate", "{answers}/pred.json", "--labels", "{labels}", "--short-sides", "32"],
            "needs a model",
        ),
        (
            ["calibrate", "{answers}/pred.json", "--labels", "{labels}", "--looks", "2"],
            "--looks needs a model",
        ),
        (["fuse", "{answers}", "--labels", "{labels}", "--output", "{tmp}"], "two answers"),
        (["fuse", "a", "b", "--labels", "c", "--output", "{tmp}", "--min-iou", "1"], "between 0 and 1"),
        (["read", "a.png", "b.png", "--model", "{model}", "--burst", "--show"], "--burst and --show"),
        (["read", "a.png", "--model", "{model}", "--all", "--show"], "--all and --show"),
        (["read", "a.png", "--model", "{model}", "--region", "1,2,3"], "'1,2,3' is no region"),
        (["read", "a.png", "--model", "{model}", "--region", "0,0,0,9"], "'0,0,0,9' is no region"),
        (["read", "a.png", "--model", "{model}", "--region", "0,0,nan,9"], "is no region"),
        (["read", "a.png", "--model", "{model}", "--max-looks", "0"], "need 1 or more"),
    ],
)
def test_what_cannot_be_asked_for(
    nano_onnx: Path,
    small_data: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {
        "model": nano_onnx,
        "labels": small_data / "valid.json",
        "answers": tmp_path,
        "tmp": tmp_path / "out",
    }
    assert run([each.format(**places) for each in arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_runs_are_fused_and_read(nano_onnx: Path, small_data: Path, tmp_path: Path) -> None:
    labels = small_data / "valid.json"
    predict = ["predict", str(nano_onnx), str(labels), "--output"]
    assert run([*predict, str(tmp_path / "a")]) == 0
    assert run([*predict, str(tmp_path / "b")]) == 0
    write_settings(ReadingSettings(), tmp_path / "reader.json")
    folders = [str(tmp_path / name) for name in "ab"]
    reader = ["--reader", str(tmp_path / "reader.json")]
    assert run(["fuse", *folders, "--labels", str(labels), "--output", str(tmp_path / "c"), *reader]) == 0
    truth = read_labels(labels)
    alone, fused = (read_results(tmp_path / name / "pred.json", truth) for name in "ac")
    assert sorted(fused) == sorted(alone)
    assert max(each.scores.max() for each in fused.values()) == pytest.approx(
        max(each.scores.max() for each in alone.values()), abs=1e-6
    )
    assert len(read_readings(tmp_path / "c" / "readings.csv")) == len(truth)
    assert (tmp_path / "c" / "pred.csv").exists()
    keys = [Seen.from_text((tmp_path / name / "trained-on.txt").read_text(), tmp_path).keys for name in "ac"]
    assert keys[0] == keys[1] != frozenset()
    assert read_settings(tmp_path / "reader.json") == ReadingSettings()


def test_all_numbers_of_an_image(
    nano_onnx: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sorted((small_data / "test").iterdir())[0]
    expected = [asdict(each.reading) for each in Reader.load(nano_onnx).read_all(path)]
    arguments = ["read", str(path), "--model", str(nano_onnx), "--all"]
    assert run(arguments) == 0
    assert capsys.readouterr().out == " ".join(each["text"] for each in expected if each["text"]) + "\n"
    assert run([*arguments, "--json"]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert [each["text"] for each in document["numbers"]] == [each["text"] for each in expected]
    assert run(["read", str(path), "missing.png", "--model", str(nano_onnx), "--all"]) == 3


def test_a_burst_has_one_answer(
    nano_onnx: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted((small_data / "test").iterdir())[:3]
    reader = Reader.load(nano_onnx)
    expected = vote(list(reader.read_many(paths)))
    burst = reader.read_burst(paths)
    assert (burst.text, burst.probability) == (expected.text, pytest.approx(expected.probability))
    arguments = ["read", *map(str, paths), "--model", str(nano_onnx), "--burst"]
    assert run(arguments) == 0
    assert capsys.readouterr().out == f"{expected.text or ''}\n"
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["images"] == [str(path) for path in paths]
