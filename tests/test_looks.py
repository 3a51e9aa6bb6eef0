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
from digitspot.config import InputConfig
from digitspot.dataset.seen import Seen
from digitspot.fusion import fuse
from digitspot.labels.coco import read_labels
from digitspot.labels.results import read_results
from digitspot.preprocess import Prepared
from digitspot.reader import Reader
from digitspot.reading import LookSettings, ReadingSettings, read_number, vote
from digitspot.reading.candidates import NAMES
from digitspot.reading.certainty import LOOK_NAMES, NUMBER_NAMES
from digitspot.reading.settings import PRIOR_WEIGHTS
from digitspot.runtime.look_fit import CROP_MARGINS, ENOUGH
from digitspot.runtime.looks import Looks, region_of_number, with_looks
from digitspot.types import Detections, ImageArray

IMAGES = [np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8) for size in ((40, 60), (90, 50))]


def test_sizes_are_fused_in_the_images_own_pixels(nano_onnx: Path) -> None:
    alone = Reader.load(nano_onnx).runtime
    both = Looks(alone, LookSettings(short_sides=(32, 64))).detect(IMAGES)
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
    assert reader.runtime.settings.short_sides == (32, 48)
    again = calibrate_model(stored, small_data / "valid.json")
    assert again.looks is None
    assert [each.text for each in reader.read_many(IMAGES)] == [reader.read(each).text for each in IMAGES]


def found_at(*rows: tuple[float, float, float, float, int, float]) -> Detections:
    """Detections of rows x1, y1, x2, y2, digit, score."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    labels = table[:, 4].astype(np.int64) + 1
    return Detections(boxes=table[:, :4], labels=labels, scores=table[:, 5], size_hw=(100, 200))


WHOLE = (0, 0, 200, 100)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (found_at(), WHOLE),  # nothing to look at
        (found_at((80, 40, 90, 60, 3, 0.1)), WHOLE),  # too weak to be a number
        (found_at((80, 40, 90, 60, 3, 0.9)), (60, 34, 110, 66)),
        (found_at((80, 40, 90, 60, 3, 0.9), (92, 40, 102, 60, 1, 0.9)), (60, 34, 122, 66)),
        (found_at((2, 2, 12, 22, 3, 0.9)), (0, 0, 32, 28)),  # cut at the image's border
        (found_at((10, 5, 100, 95, 3, 0.9), (105, 5, 190, 95, 1, 0.9)), WHOLE),
        (found_at((80, 40, 81, 40.5, 3, 0.9)), WHOLE),  # smaller than any crop
    ],
)
def test_the_region_of_a_further_look(found: Detections, expected: tuple[int, int, int, int]) -> None:
    number = read_number(found, ReadingSettings())
    assert region_of_number(number, (100, 200), (1.0, 0.3)) == expected


def test_the_fitted_reader_of_the_first_look_chooses_the_region() -> None:
    weak = found_at((80, 40, 90, 60, 3, 0.3))
    for weights, expected in ((PRIOR_WEIGHTS, WHOLE), (eager(3), (60, 34, 110, 66))):
        number = read_number(weak, ReadingSettings(weights=weights))
        assert region_of_number(number, (100, 200), (1.0, 0.3)) == expected


def eager(more: float) -> tuple[float, ...]:
    """Weights for which a number of one digit is more probable."""
    return tuple(more * (name == "one") + weight for name, weight in zip(NAMES, PRIOR_WEIGHTS, strict=True))


class Sharp:
    """Finds the 1 and 2 of 12 at x 80 and 92; the 1 only where it shows them alone or with little around.

    It knows the place of a crop by the pixels, which count x and y.
    """

    rule = InputConfig()

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


def counting_image() -> ImageArray:
    y, x = np.mgrid[:100, :200]
    return np.stack([x, y, 0 * x], axis=2).astype(np.uint8)


def test_a_crop_follows_the_number_that_the_one_before_showed() -> None:
    for num, widths in ((2, [200, 50]), (3, [200, 50, 62]), (6, [200, 50, 62])):
        runtime = Sharp()
        settings = LookSettings(short_sides=num * (64,), margins=(1.0, 0.3))
        [found] = Looks(runtime, settings).detect([counting_image()])
        assert runtime.widths == widths, "another crop only where the number is another"
        assert found.by_look == ("2", "12")
        scores = dict(zip((found.labels - 1).tolist(), found.scores.tolist(), strict=True))
        assert scores == pytest.approx({2: 0.9, 1: 0.45 if num == 2 else 0.6})


def test_another_size_shows_the_same_in_another_way() -> None:
    runtime = Sharp()
    settings = LookSettings(short_sides=(64, 64, 80, 48, 80), margins=(1.0, 0.3))
    Looks(runtime, settings).detect([counting_image()])
    assert runtime.widths == [200, 50, 62, 62], "the last shows what the one in its size did"
    runtime = Sharp()
    Looks(runtime, replace(settings, margins=None)).detect([counting_image()])
    assert runtime.widths == [200, 200, 200], "one look in each size"


def test_a_crop_that_is_most_of_its_image_is_looked_at() -> None:
    """It shows the digits half as large again."""
    runtime = Sharp()
    image = counting_image()[:100, 40:140]
    [found] = Looks(runtime, LookSettings(short_sides=(64, 64), margins=(1.9, 1.4))).detect([image])
    assert runtime.widths == [100, 86]
    assert len(found.by_look) == 2


def test_images_of_a_batch_are_looked_at_as_each_needs() -> None:
    blank = np.zeros((60, 90, 3), np.uint8)  # Sharp sees 12 in it, beyond its right border
    images = [counting_image(), blank, counting_image()[:, 60:], counting_image()[:, 20:]]
    looks = Looks(Sharp(), LookSettings(short_sides=(64, 64, 80), margins=(1.0, 0.3), enough=0.85))
    alone = [looks.detect([image])[0] for image in images]
    sharp = Sharp()
    together = Looks(sharp, looks.settings).detect(images)
    assert len(sharp.widths) > len(images)
    for one, other in zip(alone, together, strict=True):
        assert one.boxes.tolist() == other.boxes.tolist()
        assert one.scores.tolist() == other.scores.tolist()
        assert one.by_look == other.by_look
    mixed = looks.detect_prepared([looks.prepare(images[0]), looks.prepare(images[0], 32)])
    assert [each.by_look for each in mixed] == [alone[0].by_look, ()]


def test_where_nothing_is_found_the_whole_image_is_looked_at_again(nano_onnx: Path) -> None:
    settings = LookSettings(short_sides=(64, 64, 96), margins=(1.0, 0.3), weights=eager(-99))
    seen: list[tuple[int, int]] = []
    single = Reader.load(nano_onnx).single_look

    class Watched(Sharp):
        def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
            seen.append((image.shape[1], short_side or 0))
            return single.prepare(image, short_side)

        def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
            return [Detections.empty() for _ in inputs]

    [found] = Looks(Watched(), settings).detect([counting_image()])
    assert seen == [(200, 64), (200, 96)], "not twice in one size"
    assert (len(found), found.by_look) == (0, ("", ""))


def test_once_the_number_is_sure_no_further_look_is_taken() -> None:
    settings = LookSettings(short_sides=(64, 64, 80), margins=(1.0, 0.3))
    for enough, num_looks in ((0.0, 1), (0.85, 1), (0.95, 3), (1.0, 3)):
        runtime = Sharp()
        [found] = Looks(runtime, replace(settings, enough=enough)).detect([counting_image()])
        assert len(runtime.widths) == num_looks
        assert found.by_look == (("2",) if num_looks == 1 else ("2", "12"))


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


def test_looks_say_what_they_show(nano_onnx: Path) -> None:
    single = Reader.load(nano_onnx).single_look
    settings = LookSettings(short_sides=(96, 96), margins=(1.0, 0.3), weights=eager(9))
    for image, found in zip(IMAGES, Looks(single, settings).detect(IMAGES), strict=True):
        [first] = single.detect_prepared([single.prepare(image, 96)])
        assert found.by_look[0] == (read_number(first, ReadingSettings(weights=settings.weights)).text or "")
        assert len(found.by_look) == 2 or len(found) == len(first)
    assert single.detect(IMAGES)[0].by_look == ()


def test_settings_from_before_the_looks_were_compared_are_read() -> None:
    values = ReadingSettings(number_weights=tuple(map(float, range(len(NUMBER_NAMES))))).to_dict()
    values["number_weights"] = values["number_weights"][: -len(LOOK_NAMES)]
    read = ReadingSettings.from_dict(values).number_weights
    assert read == (*values["number_weights"], *[0.0] * len(LOOK_NAMES))


def test_settings_from_before_there_were_more_than_two_looks_are_read() -> None:
    values = ReadingSettings().to_dict()
    del values["looks"]
    second = {"margins": [1.0, 0.3], "short_sides": [64], "weights": list(PRIOR_WEIGHTS), "most": 2}
    read = ReadingSettings.from_dict({**values, "short_sides": [64], "second_look": second})
    assert read.looks == LookSettings(short_sides=(64, 64, 64), margins=(1.0, 0.3))
    read = ReadingSettings.from_dict({**values, "short_sides": [136, 208], "second_look": None})
    assert read.looks == LookSettings(short_sides=(136, 208))
    assert ReadingSettings.from_dict({**values, "short_sides": []}).looks is None
    with pytest.raises(ValueError, match="an earlier version"):
        ReadingSettings.from_dict({**values, "short_sides": [], "second_look": second})


def test_a_box_is_missed_by_the_runs_that_could_see_it() -> None:
    first = found_at(
        (40, 20, 50, 40, 3, 0.6), (60, 20, 70, 40, 1, 0.9), (150, 20, 160, 40, 5, 0.8)
    )  # the last is outside
    second = found_at((42, 20, 52, 40, 3, 0.6), (75, 20, 85, 40, 7, 0.5))
    regions = [WHOLE, (30, 10, 110, 60)]
    joined = fuse([first, second], regions=regions)
    everywhere = fuse([first, second])
    assert joined.boxes[np.argsort(joined.labels)] == pytest.approx(
        everywhere.boxes[np.argsort(everywhere.labels)]
    )
    scores = dict(zip((joined.labels - 1).tolist(), joined.scores.tolist(), strict=True))
    assert scores == pytest.approx({5: 0.8, 3: 0.6, 1: 0.45, 7: 0.25}), "only the first look shows the 5"
    assert joined.size_hw == (100, 200)
    for one, other in ((first, found_at()), (found_at(), second), (found_at(), found_at())):
        assert len(fuse([one, other], regions=[WHOLE, WHOLE])) == len(one) + len(other)


def test_looks_do_not_depend_on_the_other_images(nano_onnx: Path) -> None:
    settings = LookSettings(short_sides=(96, 96, 64), margins=(1.0, 0.3), weights=eager(2))
    looks = Looks(Reader.load(nano_onnx).single_look, settings)
    together = looks.detect(IMAGES)
    for image, found in zip(IMAGES, together, strict=True):
        [alone] = looks.detect([image])
        assert alone.boxes == pytest.approx(found.boxes, abs=1e-3)
        assert alone.labels.tolist() == found.labels.tolist()


@pytest.mark.parametrize(
    ("sizes", "looks", "expected"),
    [
        ([], 2, (1.0, 1.0)),
        ([64], 4, (64, 64, 48, 80)),
        ([64, 32], 2, (64, 32)),
    ],
)
def test_looks_travel_with_the_model(
    nano_onnx: Path,
    small_data: Path,
    tmp_path: Path,
    sizes: list[int],
    looks: int,
    expected: tuple[float, ...],
) -> None:
    output = tmp_path / "twice.onnx"
    labels = small_data / "valid.json"
    arguments = ["calibrate", str(nano_onnx), "--labels", str(labels), "--looks", str(looks)]
    arguments += ["--short-sides", *map(str, sizes)] if sizes else []
    assert run([*arguments, "--output", str(output)]) == 0
    reader = Reader.load(output)
    assert isinstance(reader.runtime, Looks)
    own = reader.single_look.rule.short_side
    settings = reader.settings.looks
    assert settings is not None
    assert settings.short_sides == tuple(side if sizes else own * side for side in expected)
    assert settings.margins in CROP_MARGINS
    assert settings.enough == ENOUGH
    one_look = calibrate_model(nano_onnx, labels, short_sides=settings.short_sides[:1])
    assert settings.weights == one_look.weights, "the region is chosen by the reader of the first look"
    assert Reader.load(nano_onnx).settings.looks is None


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
        (
            ["calibrate", "{model}", "--labels", "{labels}", "--looks", "3", "--short-sides", "32", "48"],
            "2 input sizes for 3 looks",
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
