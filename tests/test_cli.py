"""Bad input always has an answer: the message, the exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import command, digitspot, environment
from digitspot.cli import run
from digitspot.config import ModelConfig
from digitspot.detector.trained import save_model
from digitspot.labels.coco import read_labels, write_labels
from digitspot.labels.labels import CategoryMap, LabelSet
from digitspot.labels.results import read_numbers
from digitspot.reader import Reader
from digitspot.runtime.onnx_runtime import OnnxRuntime
from small_nano import make_model

CATEGORIES = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]

NOBODY = 65534
RECIPE = Path(__file__).parents[1] / "recipes" / "nano.yaml"


def make_split(folder: Path, name: str, images: int = 2) -> dict[str, Any]:
    """Write a split of noise, each image its own, with one digit each; return its labels."""
    (folder / name).mkdir(parents=True)
    random = np.random.default_rng(sum(name.encode()))
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": CATEGORIES}
    for number in range(1, images + 1):
        file_name = f"{number}.png"
        Image.fromarray(random.integers(0, 256, (40, 80, 3), np.uint8)).save(folder / name / file_name)
        document["images"].append({"id": number, "file_name": file_name, "width": 80, "height": 40})
        document["annotations"].append(
            {
                "id": number,
                "image_id": number,
                "category_id": 5,
                "bbox": [30, 8, 14, 24],
                "area": 336,
                "iscrowd": 0,
            }
        )
    (folder / f"{name}.json").write_text(json.dumps(document))
    return document


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    make_split(folder, "train", 4)
    make_split(folder, "valid", 2)
    return folder


def edit_labels(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Return a way to spoil a data set by changing its training labels."""

    def spoil(data: Path) -> None:
        document = json.loads((data / "train.json").read_text())
        change(document)
        (data / "train.json").write_text(json.dumps(document))

    return spoil


def overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda data: (data / name).write_bytes(content)


def half(name: str) -> Callable[[Path], object]:
    return lambda data: (data / name).write_bytes(
        (data / name).read_bytes()[: (data / name).stat().st_size // 2]
    )


def replace_image(data: Path, image: Image.Image, name: str = "1.png") -> None:
    """Put another image in the place of a training image, with labels to match its size."""
    image.save(data / "train" / name)


def truncated_jpeg(data: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)
    Image.fromarray(noise).save(data / "train" / "1.jpg")
    half("train/1.jpg")(data)
    edit_labels(lambda document: document["images"][0].update(file_name="1.jpg"))(data)


BAD_DATA = [
    ("broken PNG", half("train/1.png"), r"1\.png"),
    ("truncated JPEG", truncated_jpeg, r"1\.jpg"),
    ("empty file", overwrite("train/1.png", b""), r"1\.png.*empty"),
    ("file that is not an image", overwrite("train/1.png", b"hello there, no image"), r"1\.png"),
    ("missing image", lambda data: (data / "train" / "1.png").unlink(), r"1\.png"),
    ("another size than the label's", lambda data: replace_image(data, Image.new("RGB", (81, 40))), "81"),
    ("JSON cut off", half("train.json"), r"train\.json.*line"),
    ("JSON of the wrong shape", overwrite("train.json", b"[1, 2]"), r"train\.json"),
    ("negative width", edit_labels(lambda d: d["annotations"][0].update(bbox=[30, 8, -3, 24])), "width -3"),
    ("NaN in a box", edit_labels(lambda d: d["annotations"][0].update(bbox=[0, 8, np.nan, 9])), "NaN"),
    ("unknown category", edit_labels(lambda d: d["annotations"][0].update(category_id=77)), "77"),
    ("category that is no digit", edit_labels(lambda d: d["categories"][0].update(name="A")), "'A'"),
    ("annotation of no image", edit_labels(lambda d: d["annotations"][0].update(image_id=99)), "99"),
    ("image id twice", edit_labels(lambda d: d["images"][1].update(id=1)), "1"),
    ("split without any image", edit_labels(lambda d: d.update(images=[], annotations=[])), r"train\.json"),
    ("no valid split", lambda data: (data / "valid.json").unlink(), r"valid\.json"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "message"), [case[1:] for case in BAD_DATA], ids=[case[0] for case in BAD_DATA]
)
def test_training_on_bad_data_says_where_and_exits_3(
    spoil: Callable[[Path], object],
    message: str,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))
    spoil(data)
    assert run(["train", str(RECIPE), "--data", str(data), "--output", str(tmp_path / "run")]) == 3
    out, err = capfd.readouterr()
    assert_matches(message, err)
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "run").exists()
    packs = tmp_path / "cache" / "packs"
    assert not packs.exists() or not list(packs.rglob("train*.tmp"))
    assert run(["data", "check", str(data)]) == 3


def assert_matches(pattern: str, text: str) -> None:
    import re

    assert re.search(pattern, " ".join(text.split())), text


def test_good_data_checks_clean(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", str(data)]) == 0
    assert "no findings" in capfd.readouterr().out
    assert run(["data", "check", str(data), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["can_train"] is True


BAD_COMMANDS = [
    ("unknown command", ["evaluat"], 2, "Did you mean 'evaluate'"),
    ("unknown subcommand", ["data", "chek"], 2, "Did you mean 'check'"),
    ("no data", ["train"], 2, "--data is missing"),
    ("no such data", ["train", "--data", "nowhere", "--output", "out"], 3, "nowhere"),
    ("no such recipe", ["train", "nowhere.yaml", "--data", "x", "--output", "y"], 2, "nowhere.yaml"),
    ("nothing to resume", ["train", "--resume", "nowhere"], 4, "nowhere holds no training"),
    ("resume with settings", ["train", "--resume", "x", "--train.epochs", "3"], 2, "takes its settings"),
    ("resume with a default", ["train", "--resume", "x", "--train.epochs", "10"], 2, "takes its settings"),
    ("resume with a start", ["train", "--resume", "x", "--start", "svhn"], 2, "takes its settings"),
    ("a recipe with a start", ["train", "nano", "--data", "x", "--start", "svhn"], 2, "--model.weights svhn"),
    ("no such run", ["predict", "nowhere", ".", "--output", "out"], 4, "nowhere"),
    (
        "a setting out of range",
        ["train", "--data", "x", "--output", "y", "--data.workers", "-1"],
        2,
        "workers is -1",
    ),
    (
        "a setting of another section",
        ["train", "--data", "x", "--train.lr", "3"],
        2,
        "no setting --train.lr Did you mean --optimizer.lr?",
    ),
    ("a setting that is not", ["train", "--data", "x", "--foo.bar", "3"], 2, "--help-all"),
    ("a typo in a command", ["raed", "x.jpg"], 2, "Did you mean 'read'"),
    ("an image that is not there", ["read", "Zähler 1.jpg"], 3, "Zähler 1.jpg: no such file"),
    ("a port that is none", ["serve", "--port", "80000"], 2, "--port 80000"),
    ("a model that is not there", ["serve", "--model", "svnh", "--port", "8765"], 4, "general, svhn"),
    ("too many columns", ["data", "preview", ".", "--columns", "7"], 2, "1 to 6"),
    ("a folder without images", ["predict", "general", ".", "--output", "out"], 3, "Readable are JPEG"),
    ("no such answers", ["evaluate", "nowhere.json", "--labels", "labels.json"], 3, "labels.json"),
]


BAD_EXPORTS = [
    ("no such run", ["export", "nowhere", "--output", "out.onnx"], 4, "nowhere"),
    ("a run without a model", ["export", "empty", "--output", "out.onnx"], 4, "best.pt"),
    ("a preset that cannot be", ["export", "resnet", "--output", "out.onnx"], 5, "nano can"),
    ("another ending", ["export", "run", "--output", "out.pt"], 2, "does not end in .onnx"),
    ("a folder that cannot be", ["export", "run", "--output", "file/out.onnx"], 1, "cannot write"),
    (
        "8 bits without images",
        ["export", "run", "--output", "out.onnx", "--precision", "int8"],
        2,
        "int8 without --data",
    ),
    (
        "images without 8 bits",
        ["export", "run", "--output", "out.onnx", "--data", "."],
        2,
        "fp32 with --data",
    ),
    (
        "no images to calibrate on",
        ["export", "run", "--output", "out.onnx", "--precision", "int8", "--data", "."],
        3,
        "no train.json and no train/",
    ),
    ("read: no such file", ["read", "1.png", "--model", "gone.onnx"], 4, "no model gone.onnx"),
    ("read: not an ONNX file", ["read", "1.png", "--model", "file.onnx"], 4, "digitspot did not write it"),
    ("read: no image", ["read", "gone.png", "--model", "model.onnx"], 3, "gone.png: no such file"),
    ("read: wrong runtime", ["read", "1.png", "--model", "run", "--runtime", "onnx"], 2, "digitspot export"),
    ("predict: no such file", ["predict", "gone.onnx", ".", "--output", "out"], 4, "no model gone.onnx"),
    (
        "predict: a device it cannot use",
        ["predict", "model.onnx", ".", "--output", "out", "--device", "cuda"],
        2,
        "run on the CPU",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"), [c[1:] for c in BAD_EXPORTS], ids=[c[0] for c in BAD_EXPORTS]
)
def test_bad_exports(
    arguments: list[str], code: int, message: str, nano_run: Path, nano_onnx: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(nano_run)
    (tmp_path / "model.onnx").symlink_to(nano_onnx)
    (tmp_path / "empty").mkdir()
    for name in ("file", "file.onnx"):
        (tmp_path / name).write_text("in the way")
    Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
    if "resnet" in arguments:
        other = make_model(ModelConfig(preset="resnet18_fpn", fpn_channels=16, head_channels=32))
        save_model(other, tmp_path / "resnet" / "best.pt")
    before = set(tmp_path.rglob("*"))
    assert run(arguments) == code
    out, err = capfd.readouterr()
    assert message in " ".join(err.split())
    assert out == ""
    assert set(tmp_path.rglob("*")) == before


def test_unknown_format_names_what_there_is(nano_run: Path, tmp_path: Path) -> None:
    result = digitspot("export", nano_run, "--output", tmp_path / "m.onnx", "--format", "tflite", check=False)
    assert result.returncode == 2
    assert "onnx" in result.stderr
    assert not (tmp_path / "m.onnx").exists()


WITHOUT_TORCH = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from digitspot.cli import main
main()
"""


def test_export_then_read_where_there_is_no_torch(nano_run: Path, small_data: Path, tmp_path: Path) -> None:
    model = Path(digitspot("export", nano_run, "--output", tmp_path / "model.onnx").stdout.strip())
    assert model == tmp_path / "model.onnx"

    def without_torch(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=100)

    image = small_data / "test" / "1.png"
    for arguments in (("read", image, "--model", nano_run), ("export", nano_run)):
        refused = without_torch(*arguments)
        assert (refused.returncode, "pip install 'digitspot[train]'" in refused.stderr) == (2, True)
    read = without_torch("read", image, "--model", model, "--json")
    assert read.returncode == 0, read.stderr
    predicted = without_torch("predict", model, small_data / "test.json", "--output", tmp_path / "out")
    assert predicted.returncode == 0, predicted.stderr
    [reading] = json.loads(read.stdout)
    assert reading["text"] == read_alone(nano_run, image)
    assert set(read_numbers(tmp_path / "out" / "pred.csv")) == {str(number) for number in range(1, 9)}
    scored = without_torch(
        "evaluate", tmp_path / "out", "--labels", small_data / "test.json", "--resamples", 0
    )
    assert scored.returncode == 0, scored.stderr


def test_export_in_8_bits_then_read(nano_run: Path, small_data: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    done = digitspot("export", nano_run, "--output", model, "--precision", "int8", "--data", small_data)
    assert (done.stdout.strip(), list(tmp_path.iterdir())) == (str(model), [model])
    assert "pre-processing" not in done.stderr
    assert OnnxRuntime(model).info.precision == "int8"
    read = digitspot("read", small_data / "test" / "1.png", "--model", model, "--json")
    assert len(json.loads(read.stdout)) == 1


def read_alone(model: Path, image: Path) -> str | None:
    return Reader.load(model, device="cpu").read(image).text


@pytest.mark.parametrize(
    ("arguments", "code", "message"), [c[1:] for c in BAD_COMMANDS], ids=[c[0] for c in BAD_COMMANDS]
)
def test_bad_commands(
    arguments: list[str], code: int, message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == code
    out, err = capfd.readouterr()
    assert message in " ".join(err.split())
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_unknown_recipe_key_names_the_nearest(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("optimizer:\n  lrr: 0.1\n")
    assert run(["train", str(recipe), "--data", str(data), "--output", str(tmp_path / "run")]) == 2
    err = " ".join(capfd.readouterr().err.split())
    assert "mine.yaml: optimizer: unknown key 'lrr'" in err
    assert "Did you mean 'lr'?" in err


def test_unknown_flag_names_the_nearest(data: Path, tmp_path: Path) -> None:
    result = digitspot(
        "train", RECIPE, "--data", data, "--output", tmp_path / "run", "--train.epoch", 2, check=False
    )
    assert result.returncode == 2
    assert "--train.epochs" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "output", ["{tmp}/file/run", "/proc/digitspot/run"], ids=["below a file", "read-only"]
)
def test_output_that_cannot_be_made_exits_1_before_any_work(
    output: str,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if output.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("needs a folder that is read-only for everybody")
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").write_text("in the way")
    assert run(["train", str(RECIPE), "--data", str(data), "--output", output.format(tmp=tmp_path)]) == 1
    assert "cannot write" in capfd.readouterr().err
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("limit_kib", "written"), [(4, "pack"), (60, "checkpoint")])
def test_no_space_left_exits_1_and_leaves_nothing_half_written(
    limit_kib: int, written: str, small_recipe: Path, small_data: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for a full disk: the write fails midway."""
    output, cache = tmp_path / "run", tmp_path / "cache"
    result = subprocess.run(
        ["bash", "-c", f"ulimit -f {limit_kib}; exec \"$@\"", "-", *command(
            "train", small_recipe, "--data", small_data, "--output", output, "--train.epochs", 1,
            "--data.workers", 0, *(["--data.longest-side", 24] if written == "checkpoint" else []))],
        capture_output=True, text=True, env={**environment(), "DIGITSPOT_CACHE": str(cache)}, timeout=120,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert "cannot write" in result.stderr
    assert "Traceback" not in result.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".pt"))]
    if written == "pack":
        assert not list(cache.rglob("index.npz"))


def test_second_training_in_a_run_folder_is_refused(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    assert run(["train", str(RECIPE), "--data", str(data), "--output", str(tmp_path / "run")]) == 2
    assert "already holds a training" in capfd.readouterr().err


@pytest.fixture(scope="module")
def model(small_recipe: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two epochs, trained with an extreme image and one without boxes among the others."""
    data = tmp_path_factory.mktemp("hard") / "data"
    shutil.copytree(small_data, data)
    document = json.loads((data / "train.json").read_text())
    for number, (width, height) in enumerate([(1, 1), (20000, 10)], 9001):
        Image.new("RGB", (width, height), (90, 80, 70)).save(data / "train" / f"{number}.png")
        document["images"].append(
            {"id": number, "file_name": f"{number}.png", "width": width, "height": height}
        )
    (data / "train.json").write_text(json.dumps(document))
    output = data.parent / "run"
    digitspot("train", small_recipe, "--data", data, "--output", output, "--train.epochs", 2)
    return output


class TestTrainedModel:
    """The way from a trained model to scores, with images that are hard to take."""

    def test_labelled_split(self, model: Path, small_data: Path, tmp_path: Path) -> None:
        labels = small_data / "test.json"
        digitspot("predict", model, labels, "--output", tmp_path, "--zip", "--overlays", 3)
        names = {path.name for path in tmp_path.iterdir()}
        answers = {"pred.json", "pred.csv", "readings.csv", "trained-on.txt", "command.txt"}
        assert names == {*answers, "pred.zip", "overlays", "overlays.png"}
        assert len(list((tmp_path / "overlays").iterdir())) == 3
        ids = [str(image.image_id) for image in read_labels(labels).images]
        assert list(read_numbers(tmp_path / "pred.csv")) == ids
        scores = json.loads(digitspot("evaluate", tmp_path, "--labels", labels, "--json").stdout)
        assert scores["numbers"]["num_images"] == len(ids)
        assert 0 <= scores["intervals"]["AP"]["low"] <= scores["intervals"]["AP"]["high"] <= 1

    def test_images_that_were_trained_on_are_no_validation(
        self, model: Path, small_data: Path, tmp_path: Path
    ) -> None:
        """Six of train, marked where they are predicted, and two of test in one label file."""
        images, mixed = [], tmp_path / "mixed.json"
        mixed.with_suffix("").mkdir()
        for split, num in (("train", 6), ("test", 2)):
            for image in read_labels(small_data / f"{split}.json", clip=False).images[:num]:
                name = image.file_name if split == "train" else f"new-{image.file_name}"
                shutil.copy(small_data / split / image.file_name, mixed.with_suffix("") / name)
                images.append(replace(image, image_id=len(images), file_name=name))
        write_labels(LabelSet.of(images, categories=CategoryMap.homework(), path=mixed), mixed)
        evaluate = ["evaluate", tmp_path / "out", "--labels", mixed, "--resamples", 0, "--json"]
        done = digitspot("predict", model, mixed, "--output", tmp_path / "out")
        assert "trained on 6 of these 8 images" in " ".join(done.stderr.split())
        refused = digitspot(*evaluate, check=False)
        assert refused.returncode == 3
        assert "--only-unseen scores the other 2" in " ".join(refused.stderr.split())
        scores = json.loads(digitspot(*evaluate, "--only-unseen").stdout)
        assert scores["numbers"]["num_images"] == 2

    def test_folder_and_single_images_agree(self, model: Path, small_data: Path, tmp_path: Path) -> None:
        digitspot("predict", model, small_data / "test", "--output", tmp_path)
        numbers = read_numbers(tmp_path / "pred.csv")
        image_files = [small_data / "test" / f"{name}.png" for name in list(numbers)[:3]]
        result = digitspot("read", *image_files, "--model", model, "--json")
        assert [row["text"] for row in json.loads(result.stdout)] == list(numbers.values())[:3]

    def test_answers_use_the_ids_of_the_labels(self, model: Path, small_data: Path, tmp_path: Path) -> None:
        """The model was trained on "1 is 0"; labels with "10 is 0" get answers in their own ids."""
        labels = read_labels(small_data / "test.json", clip=False)
        write_labels(replace(labels, categories=CategoryMap((10, *range(1, 10)))), tmp_path / "test.json")
        (tmp_path / "test").symlink_to(small_data / "test")
        scores = []
        for path in (small_data / "test.json", tmp_path / "test.json"):
            digitspot("predict", model, path, "--output", tmp_path / "out")
            scores.append(
                json.loads(digitspot("evaluate", tmp_path / "out", "--labels", path, "--json").stdout)
            )
        assert scores[0] == scores[1]

    def test_names_that_are_no_numbers_get_a_list(
        self, model: Path, small_data: Path, tmp_path: Path
    ) -> None:
        image_files = tmp_path / "images"
        image_files.mkdir()
        for name, source in (("door.png", "1.png"), ("gate.png", "2.png")):
            shutil.copy(small_data / "test" / source, image_files / name)
        digitspot("predict", model, image_files, "--output", tmp_path / "out", "--zip", "--overlays", 1)
        listed = (tmp_path / "out" / "images.csv").read_text().split()
        assert listed == ["image_id,file_name", "1,door.png", "2,gate.png"]
        shutil.copy(small_data / "test" / "3.png", image_files / "3.png")
        result = digitspot("predict", model, image_files, "--output", tmp_path / "out", check=False)
        assert result.returncode == 3
        assert "door.png is not" in " ".join(result.stderr.split())

    def test_nothing_of_an_earlier_prediction_stays(
        self, model: Path, small_data: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        digitspot("predict", model, small_data / "test", "--output", out, "--zip", "--overlays", 2)
        digitspot("predict", model, small_data / "test", "--output", out)
        answers = {"pred.json", "pred.csv", "readings.csv", "trained-on.txt", "command.txt"}
        assert {path.name for path in out.iterdir()} == answers

    def test_hard_images_are_read(self, model: Path, tmp_path: Path) -> None:
        image_files = tmp_path / "images"
        image_files.mkdir()
        Image.new("RGB", (1, 1)).save(image_files / "one.png")
        Image.new("L", (20000, 10)).save(image_files / "long.png")
        Image.new("RGBA", (30, 40)).save(image_files / "clear.png")
        digitspot("predict", model, image_files, "--output", tmp_path / "out")
        assert list(read_numbers(tmp_path / "out" / "pred.csv")) == ["1", "2", "3"]

    @pytest.mark.parametrize("content", [b"", b"no image"], ids=["empty", "not an image"])
    def test_strict_leaves_no_answers(self, content: bytes, model: Path, tmp_path: Path) -> None:
        image_files = tmp_path / "images"
        image_files.mkdir()
        (image_files / "bad.png").write_bytes(content)
        result = digitspot(
            "predict", model, image_files, "--output", tmp_path / "out", "--strict", check=False
        )
        assert result.returncode == 3
        assert "bad.png" in result.stderr
        assert not (tmp_path / "out").exists()

    def test_folder_without_images(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        result = digitspot("predict", model, tmp_path / "empty", "--output", tmp_path / "out", check=False)
        assert result.returncode == 3
        assert "no image in it" in result.stderr

    def test_cut_checkpoint(self, model: Path, small_data: Path, tmp_path: Path) -> None:
        cut = tmp_path / "cut.pt"
        cut.write_bytes((model / "best.pt").read_bytes()[:5000])
        result = digitspot("predict", cut, small_data / "test", "--output", tmp_path / "out", check=False)
        assert result.returncode == 4
        assert "cut.pt" in result.stderr


def test_examples_in_help_have_lines_of_their_own() -> None:
    lines = [line.strip() for line in digitspot("read", "--help").stdout.splitlines()]
    assert "digitspot read door.jpg" in lines
    assert "digitspot read door.jpg --model runs/mine" in lines


def test_recipe_that_is_not_yaml_says_where(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("train: [\n")
    assert run(["train", str(recipe), "--data", "x", "--output", "y"]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.endswith("line 2, column 1")


def test_value_of_a_wrong_kind(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["read", "x.png", "--length", "abc"])
    assert end.value.code == 2
    err = capfd.readouterr().err
    assert "--length" in err
    assert "'abc'" in err
    assert "None}" not in err


@pytest.mark.parametrize(
    "arguments",
    [["data", "check", "closed"], ["evaluate", "closed", "--labels", "l.json"],
     ["predict", "general", "closed", "--output", "out"]],
)  # fmt: skip
def test_folder_without_permission(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = {"id": 1, "file_name": "1.png", "width": 20, "height": 20}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 5, 9], "area": 45, "iscrowd": 0}
    labels = {"images": [image], "annotations": [box], "categories": CATEGORIES}
    (tmp_path / "l.json").write_text(json.dumps(labels))
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o777)
    monkeypatch.setenv("DIGITSPOT_CACHE", "cache")
    user = os.geteuid()
    if user == 0:  # root reads everything: be somebody else, once all modules are imported
        run(arguments)
        capfd.readouterr()
        os.seteuid(NOBODY)
    try:
        code = run(arguments)
    finally:
        os.seteuid(user)
    assert code == 3
    assert "closed" in (err := capfd.readouterr().err)
    assert "Permission denied" in err


def test_a_package_that_is_missing_when_a_command_runs_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def needing(_: list[str]) -> None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr("digitspot.commands.data.run", needing)
    assert run(["data", "check", "DATA"]) == 2
    told = capsys.readouterr().err
    assert "`digitspot data` needs scipy" in told
    assert "digitspot[train]" in told
