"""A folder of answers: written whole, read in one way by every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from digitspot.answers import read_answers
from digitspot.calibrate import write_settings
from digitspot.cli import run
from digitspot.config import Config
from digitspot.evaluation.answers import evaluate_answers
from digitspot.experiments.ablation import Variant
from digitspot.experiments.scoring import Answering
from digitspot.labels.coco import read_labels
from digitspot.labels.results import read_numbers
from digitspot.reading import ReadingSettings
from digitspot.report.subject import read_subject
from digitspot.sources import find_images


@pytest.mark.parametrize("options", [[], ["--abstain-below", "0.5"]], ids=["all answered", "abstaining"])
def test_predict_evaluate_report_and_ablate_agree(
    options: list[str], nano_run: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, labels_path = tmp_path / "answers", small_data / "test.json"
    assert run(["predict", str(nano_run), str(labels_path), "--output", str(folder), *options]) == 0
    check_all_agree(folder, nano_run, small_data, capsys)
    assert (None in read_numbers(folder / "pred.csv").values()) >= bool(options)


def test_evaluate_report_and_ablate_agree_on_fused_answers(
    nano_run: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, labels_path = tmp_path / "answers", small_data / "test.json"
    assert run(["predict", str(nano_run), str(labels_path), "--output", str(answers)]) == 0
    reader = tmp_path / "reader.json"
    write_settings(ReadingSettings(), reader)
    fuse = ["fuse", str(answers), str(answers), "--labels", str(labels_path), "--reader", str(reader)]
    assert run([*fuse, "--output", str(tmp_path / "fused")]) == 0
    check_all_agree(tmp_path / "fused", nano_run, small_data, capsys)


def check_all_agree(folder: Path, model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compare what each command says of one folder of answers, to the last digit."""
    labels_path = data / "test.json"
    capsys.readouterr()
    assert run(["evaluate", str(folder), "--labels", str(labels_path), "--resamples", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    labels = read_labels(labels_path, clip=False)
    truth = {str(image.image_id): image.number for image in labels.images}
    numbers = read_numbers(folder / "pred.csv")
    figures = {(said["boxes"]["AP"], said["numbers"]["accuracy"])}
    scores = evaluate_answers(labels, read_answers(folder, labels), num_resamples=0)
    figures.add((scores.boxes.mean_ap, scores.numbers.accuracy))
    [source] = read_subject([folder], [], labels_path, 100).sources
    assert source.answers is not None
    figures.add((source.answers.scores.boxes.mean_ap, source.answers.scores.numbers.accuracy))
    figures.add((source.answers.scores.boxes.mean_ap, float(source.answers.right.mean())))
    variant = Variant(name="as it is", config=Config(), answering={}, trained_as="as it is")
    answering = Answering(model=model, variant=variant, folder=folder, data=data, split="test")
    answering.score(None)
    result = answering.result()
    assert result is not None
    figures.add((result.mean_ap, result.accuracy))
    assert len(figures) == 1
    assert figures.pop()[1] == sum(numbers[key] == truth[key] for key in truth) / len(truth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "ray", "--zip"], "--zip has no effect with --engine ray"),
        (["--engine", "ray", "--strict"], "--strict has no effect with --engine ray"),
        (["--engine", "ray", "--overlays", "3"], "--overlays has no effect with --engine ray"),
        (["--engine", "ray", "--propose", "cvat"], "--propose has no effect with --engine ray"),
        (["--engine", "ray", "--threads", "2"], "--threads has no effect with --engine ray"),
        (["--workers", "2"], "--workers has no effect with --engine plain"),
        (["--output", "s3://bucket/answers"], "s3://bucket/answers is an URL"),
    ],
)
def test_options_of_another_engine(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "svhn", str(tmp_path), "--output", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err


def test_one_broken_image_among_many(
    nano_onnx: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in (1, 2):
        shutil.copy(small_data / "test" / f"{number}.png", images)
    (images / "3.png").write_bytes(b"no image")
    (images / "notes.md").write_text("skipped")
    assert run(["predict", str(nano_onnx), str(images), "--output", str(tmp_path / "out")]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 3 images could not be read" in said
    assert "3.png" in said
    assert "skipped, since they are no images: 1 (notes.md)" in said
    numbers = read_numbers(tmp_path / "out" / "pred.csv")
    assert list(numbers) == ["1", "2", "3"]
    assert numbers["3"] is None
    assert "3.png" in (tmp_path / "out" / "errors.csv").read_text().splitlines()[1]


def test_a_full_disk_leaves_the_earlier_answers(nano_onnx: Path, small_data: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the images' sheet does not fit."""
    out = tmp_path / "out"
    arguments = [str(nano_onnx), str(small_data / "test.json"), "--output", str(out)]
    assert run(["predict", *arguments]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    program = (
        "import resource, signal; from digitspot.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY));"
        f"main({['predict', *arguments, '--overlays', '8']!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"\xe9t\xe9.png", id="not UTF-8"),
        pytest.param(b"\x1b[31mred\n.png", id="an escape code and a newline"),
    ],
)
def test_odd_file_names(
    name: bytes, nano_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    with open(os.path.join(os.fsencode(images), name), "wb") as file:
        Image.new("RGB", (40, 30)).save(file, "PNG")
    with open(os.path.join(os.fsencode(images), b"broken" + name), "wb") as file:
        file.write(b"no image")
    assert run(["predict", str(nano_onnx), str(images), "--output", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "\x1b[31mred" not in said
    assert len((tmp_path / "out" / "images.csv").read_text().splitlines()) == 3


def _same_name_in_two_folders(folder: Path) -> Path:
    for parent in ("a", "b"):
        (folder / parent).mkdir()
        Image.new("RGB", (4, 4)).save(folder / parent / "7.png")
    return folder


@pytest.mark.parametrize(
    ("make", "names"),
    [
        pytest.param(_same_name_in_two_folders, {1: "a/7.png", 2: "b/7.png"}, id="a folder in two folders"),
    ],
)
def test_names_tell_images_apart(make: Callable[[Path], Path], names: dict[int, str], tmp_path: Path) -> None:
    images = find_images(make(tmp_path))
    assert images.names == names
    assert images.numbered


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_as_notepad_writes_them(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("door.png\r\nförste.png\r\n".encode(encoding))
    assert list(find_images(path).names.values()) == ["door.png", "förste.png"]
