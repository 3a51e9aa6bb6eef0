"""Several input sizes, several runs, several frames: by the commands that users have for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from digitspot.answers import read_readings
from digitspot.calibrate import calibrate_model, read_settings, store_settings, write_settings
from digitspot.cli import run
from digitspot.dataset.seen import Seen
from digitspot.fusion import fuse
from digitspot.labels.coco import read_labels, read_results
from digitspot.reader import Reader
from digitspot.reading import ReadingSettings, vote
from digitspot.runtime.several_sizes import SeveralSizes, at_sizes

IMAGES = [np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8) for size in ((40, 60), (90, 50))]


def test_sizes_are_fused_in_the_images_own_pixels(nano_onnx: Path) -> None:
    alone = Reader.load(nano_onnx).runtime
    both = SeveralSizes(alone, (32, 64)).detect(IMAGES)
    for image, found in zip(IMAGES, both, strict=True):
        sizes = [alone.detect_prepared([alone.prepare(image, side)])[0] for side in (32, 64)]
        expected = fuse(sizes)
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.scores == pytest.approx(expected.scores, abs=1e-4)
        assert found.size_hw == image.shape[:2]
    assert at_sizes(alone, ()) is alone


def test_sizes_travel_with_the_reader_that_was_fitted_at_them(
    nano_onnx: Path, small_data: Path, tmp_path: Path
) -> None:
    settings = calibrate_model(nano_onnx, small_data / "valid.json", short_sides=(32, 48))
    stored = store_settings(settings, nano_onnx, tmp_path / "two.onnx")
    reader = Reader.load(stored)
    assert isinstance(reader.runtime, SeveralSizes)
    assert reader.runtime.short_sides == (32, 48)
    again = calibrate_model(stored, small_data / "valid.json")
    assert again.short_sides == ()
    assert [each.text for each in reader.read_many(IMAGES)] == [reader.read(each).text for each in IMAGES]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["calibrate", "{model}", "--labels", "{labels}", "--short-sides", "8", "32"], "16 pixels"),
        (
            ["calibrate", "{answers}/pred.json", "--labels", "{labels}", "--short-sides", "32"],
            "needs a model",
        ),
        (["fuse", "{answers}", "--labels", "{labels}", "--output", "{tmp}"], "two answers"),
        (["fuse", "a", "b", "--labels", "c", "--output", "{tmp}", "--min-iou", "1"], "between 0 and 1"),
        (["read", "a.png", "b.png", "--model", "{model}", "--burst", "--show"], "--burst and --show"),
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
