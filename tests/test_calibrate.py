"""Fitting the reader to models and to results, storing it, and what is answered with it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digitspot.answers import Answers, read_answers, read_readings, write_readings
from digitspot.calibrate import (
    calibrate_model,
    calibrate_results,
    read_settings,
    store_settings,
    write_settings,
)
from digitspot.cli import run
from digitspot.config import DataConfig
from digitspot.dataset.seen import Seen
from digitspot.dataset.splits import open_split
from digitspot.detector.trained import load_model
from digitspot.errors import CheckpointError, DataError
from digitspot.evaluation.answers import evaluate_answers
from digitspot.labels.coco import read_labels, write_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.labels.results import write_results
from digitspot.model_file import graph_of, read_onnx, write_onnx
from digitspot.reader import Reader
from digitspot.reading import ReadingSettings
from digitspot.types import Reading
from reading_layouts import found_in


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of a detector that finds one false box in each of 120 images, and the labels."""
    folder = tmp_path_factory.mktemp("results")
    random = np.random.default_rng(0)
    images, found = [], {}
    for image_id in range(1, 121):
        number, found[image_id] = found_in(random, "straight", num_false=1)
        boxes = np.array([[10 * i, 5, 10 * i + 8, 20] for i in range(len(number))], np.float32)
        images.append(
            LabelledImage(
                image_id=image_id,
                file_name=f"{image_id}.png",
                size_hw=(400, 4000),
                boxes=boxes,
                labels=np.array([int(digit) + 1 for digit in number]),
                areas=np.full(len(number), 120.0),
                crowd=np.zeros(len(number), bool),
            )
        )
    categories = CategoryMap.homework()
    write_labels(LabelSet.of(images, categories=categories, path=folder), folder / "labels.json")
    write_results(folder / "pred.json", found.items(), categories)
    return folder / "pred.json", folder / "labels.json"


def test_results_of_any_detector(results: tuple[Path, Path], tmp_path: Path) -> None:
    settings = calibrate_results(*results)
    assert settings.num_fitted == 120
    assert settings.accuracy is not None
    assert settings.accuracy > 0.9
    assert settings.style.equal_heights
    write_settings(settings, tmp_path / "reader.json")
    assert read_settings(tmp_path / "reader.json") == settings


def test_results_by_command(
    results: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, scores = tmp_path / "reader.json", tmp_path / "scores.json"
    assert run(["calibrate", str(results[0]), "--labels", str(results[1]), "--output", str(reader)]) == 0
    assert capsys.readouterr().out.strip() == str(reader)
    arguments = ["evaluate", str(results[0]), "--labels", str(results[1]), "--resamples", "10", "--json"]
    accuracies = []
    for more in ([], ["--reader", str(reader), "--save", str(scores), "--diagram", str(tmp_path / "a.svg")]):
        assert run([*arguments, *more]) == 0
        accuracies.append(json.loads(capsys.readouterr().out)["numbers"]["accuracy"])
    assert accuracies[0] + 0.03 < accuracies[1]
    assert set(json.loads(scores.read_text())["reliability"]["coverage"]) == {"0.95", "0.98", "0.99"}
    assert (tmp_path / "a.svg").read_text().startswith(("<svg", "<?xml"))
    assert run([*arguments[:-1], "--mistakes", "2"]) == 0
    assert "extra digit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["{results}", "--labels", "{labels}"], 2, "results hold no reader"),
        (["nowhere.json", "--labels", "{labels}", "--output", "{tmp}/a.json"], 3, "no such results"),
        (["nowhere.onnx", "--labels", "{labels}"], 4, "no such model"),
    ],
)
def test_what_cannot_be_calibrated(
    results: tuple[Path, Path], tmp_path: Path, arguments: list[str], code: int, reason: str
) -> None:
    words = {"results": results[0], "labels": results[1], "tmp": tmp_path}
    assert run(["calibrate", *(word.format(**words) for word in arguments)]) == code, reason


def test_a_model_is_fitted_on_both_views_and_keeps_it(
    nano_onnx: Path, nano_run: Path, small_data: Path, tmp_path: Path
) -> None:
    labels = small_data / "valid.json"
    seen: list[tuple[int, int]] = []
    settings = calibrate_model(nano_onnx, labels, lambda *each: seen.append(each))
    num = len(read_labels(labels).images)
    assert settings.num_fitted == num
    assert seen[-1] == (2 * num, 2 * num)
    exported = store_settings(settings, nano_onnx, tmp_path / "copy.onnx")
    assert Reader.load(exported).settings == settings
    assert Reader.load(nano_onnx).settings != settings
    shutil.copytree(nano_run, copied := tmp_path / "run")
    stored = store_settings(settings, copied)
    assert stored == copied / "best.pt"
    assert load_model(copied).reading == settings


def test_images_that_were_trained_on_are_left_out(
    nano_onnx: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, info = read_onnx(nano_onnx)
    for name in ("train", "valid"):
        shutil.copytree(small_data / name, tmp_path / name)
    labels = read_labels(small_data / "valid.json")
    half = labels.with_images(labels.images[::2])
    write_labels(half, tmp_path / "valid.json")
    seen = Seen.of(open_split(tmp_path, "valid", DataConfig(pack_root=str(tmp_path / "packs"))))
    write_onnx(graph_of(data, nano_onnx), replace(info, seen=seen), path := tmp_path / "seen.onnx")
    settings = calibrate_model(path, small_data / "valid.json")
    assert settings.num_fitted == len(labels) - len(half)
    assert f"{len(half)} images are left out" in capsys.readouterr().err
    with pytest.raises(DataError, match="trained on all"):
        calibrate_model(path, tmp_path / "valid.json")


def test_a_reader_of_another_version_is_refused(nano_onnx: Path, tmp_path: Path) -> None:
    data, info = read_onnx(nano_onnx)
    other = replace(info, reading=ReadingSettings(weights=(1.0, 2.0)))
    write_onnx(graph_of(data, nano_onnx), other, path := tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match="another version"):
        Reader.load(path)


@pytest.mark.parametrize("text", ["", "image_id,pred_label\n1,2\n", "image_id,pred_label,probability\n1,2\n",
                                  "image_id,pred_label,probability\n1,2,1.5\n"])  # fmt: skip
def test_files_that_are_no_readings(text: str, tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text(text)
    with pytest.raises(DataError, match=r"readings\.csv"):
        read_readings(tmp_path / "readings.csv")


def test_readings_survive_their_file(tmp_path: Path) -> None:
    readings = {7: Reading(text=None, probability=0.25), 3: Reading(text=None, probability=1.0)}
    write_readings(tmp_path / "readings.csv", readings.items())
    assert read_readings(tmp_path / "readings.csv") == {"7": (None, 0.25), "3": (None, 1.0)}


def test_what_is_not_answered_is_in_the_readings(nano_onnx: Path, small_data: Path, tmp_path: Path) -> None:
    arguments = ["predict", str(nano_onnx), str(small_data / "test"), "--output"]
    assert run([*arguments, str(tmp_path / "all")]) == 0
    assert run([*arguments, str(tmp_path / "none"), "--abstain-below", "0.9999999"]) == 0
    answered, abstained = (_rows(tmp_path / name / "pred.csv") for name in ("all", "none"))
    assert set(abstained.values()) == {"-1"} != set(answered.values())
    assert _rows(tmp_path / "none" / "readings.csv") == answered


def _rows(path: Path) -> dict[str, str]:
    with path.open() as file:
        return {row["image_id"]: row["pred_label"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--abstain-below", "2"], "between 0 and 1"),
        (["--abstain-below", "0.5", "--target-accuracy", "0.9"], "one of them"),
        (["--target-accuracy", "0.9"], "not reached"),
        (["--pattern", "["], "regular expression"),
        (["--known", "12", "x"], "neither a number nor a file"),
        (["--max-change", "5"], "need previous"),
    ],
)
def test_options_that_cannot_be(
    nano_onnx: Path, small_data: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(small_data / "test" / "1.png")
    assert run(["read", "--model", str(nano_onnx), *options, "--", image]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_length_that_is_known(
    nano_onnx: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(small_data / "test" / "1.png")
    options = ["--length", "2", "--decimals", "1"]
    assert run(["read", image, "--model", str(nano_onnx), *options]) == 0
    assert re.fullmatch(r"(\d\.\d)?", capsys.readouterr().out.strip()), "two digits or no number"


def test_known_numbers_from_a_file_correct_and_say_so(
    nano_onnx: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer is a known number or none, and JSON, `predict` and the message tell why."""
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("7\n42\n")
    options = ["--model", str(nano_onnx), "--known", str(numbers), "555"]
    images = sorted(map(str, (small_data / "test").glob("*.png")))
    assert run(["read", *images, "--json", *options]) == 0
    told, error = capsys.readouterr()
    documents = json.loads(told)
    assert {each["text"] for each in documents} <= {None, "7", "42", "555"}
    changed = [each for each in documents if each["decision"] != "accepted"]
    assert changed
    assert error.count("rules allow") + error.count("rules do not allow") >= len(changed)
    output = tmp_path / "answers"
    assert (
        run(["predict", str(nano_onnx), str(small_data / "test.json"), "--output", str(output), *options[2:]])
        == 0
    )
    with open(output / "readings.csv", encoding="utf-8", newline="") as file:
        decisions = [row["decision"] for row in csv.DictReader(file)]
    assert sorted(decisions) == sorted(each["decision"] for each in documents)


def test_evaluation_reads_boxes_where_nothing_else_is_given(
    results: tuple[Path, Path], tmp_path: Path
) -> None:
    labels = read_labels(results[1], clip=False)
    empty = tmp_path / "pred.json"
    empty.write_text("[]")
    answers = read_answers(empty, labels)
    assert answers.from_boxes
    scores = evaluate_answers(labels, answers, num_resamples=0)
    assert scores.numbers.num_overlooked == 120
    assert len(scores.mistakes["no number where there is one"]) == 120
    numbers = {str(image.image_id): image.number for image in labels.images}
    given = Answers(detections={}, numbers=numbers)
    assert evaluate_answers(labels, given, num_resamples=0).reliability is None
    assert evaluate_answers(labels, given, num_resamples=0).numbers.accuracy == 1
