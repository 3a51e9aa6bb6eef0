"""Out-of-fold predictions: each image by a model that has not seen it, kept and gone on with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from digitspot.cli import run
from digitspot.config import Config, ScheduleConfig, TrainConfig, config_to_dict
from digitspot.errors import ConfigError, DataError
from digitspot.folds import predict_out_of_fold
from digitspot.labels.coco import read_labels
from digitspot.reader import Reader
from digitspot.training.loop import Trainer
from small_nano import NANO, RULE

CONFIG = Config(
    input=RULE,
    model=replace(NANO, min_score=0.001),
    schedule=ScheduleConfig(kind="wsd", warmup_steps=1, branch_epochs=(1,)),
    train=TrainConfig(epochs=1, batch_size=8, device="cpu", precision="fp32"),
)


@pytest.fixture(scope="module")
def data(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small data set; the last four images of `train` show what the first four show."""
    folder = tmp_path_factory.mktemp("folds") / "data"
    shutil.copytree(small_data, folder)
    names = [image.file_name for image in read_labels(folder / "train.json").images]
    for name, copied in zip(names[:4], names[-4:], strict=True):
        shutil.copyfile(folder / "train" / name, folder / "train" / copied)
    document = json.loads((folder / "train.json").read_text())
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in document["images"]}
    for image in document["images"]:
        if image["file_name"] in names[-4:]:
            image["width"], image["height"] = sizes[names[names[-4:].index(image["file_name"])]]
    (folder / "train.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def output(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds") / "out"
    predict_out_of_fold(data, CONFIG, 2, folder)
    return folder


def test_no_model_predicts_what_it_was_trained_on(data: Path, output: Path) -> None:
    labels = read_labels(data / "train.json")
    fold_of = {
        int(key): fold for key, fold in json.loads((output / "folds.json").read_text())["fold_of"].items()
    }
    assert fold_of.keys() == {image.image_id for image in labels.images}
    assert sorted(fold_of.values()).count(1) == len(labels) // 2
    for first, copy in zip(labels.images[:4], labels.images[-4:], strict=True):
        assert fold_of[first.image_id] == fold_of[copy.image_id]
    for fold in (1, 2):
        answers = json.loads((output / f"fold-{fold}" / "pred.json").read_text())
        predicted = {row["image_id"] for row in answers}
        assert predicted <= {key for key, value in fold_of.items() if value == fold}
        seen = Reader.load(output / f"fold-{fold}" / "run").seen.among(labels)
        assert seen == {key for key, value in fold_of.items() if value != fold}
    assert not (output / "fold-1" / "run" / "epochs-1").exists(), "branches are not trained"


def test_what_is_finished_is_kept(data: Path, output: Path) -> None:
    first, second = (output / f"fold-{fold}" / "pred.json" for fold in (1, 2))
    before, content = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    weights = (output / "fold-2" / "run" / "best.pt").read_bytes()
    again = predict_out_of_fold(data, CONFIG, 2, output)
    assert first.stat().st_mtime_ns == before
    assert second.read_bytes() == content
    assert (output / "fold-2" / "run" / "best.pt").read_bytes() == weights
    assert sum(map(len, again.values())) == len(json.loads(first.read_text())) + len(json.loads(content))


def test_other_settings_are_refused(data: Path, output: Path) -> None:
    other = replace(CONFIG, train=replace(CONFIG.train, seed=1))
    for config, folds in ((other, 2), (CONFIG, 3)):
        with pytest.raises(ConfigError, match="other settings or folds"):
            predict_out_of_fold(data, config, folds, output)
    with pytest.raises(ConfigError, match="1 folds"):
        predict_out_of_fold(data, CONFIG, 1, output)


def test_too_few_images(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few for 25 folds"):
        predict_out_of_fold(data, CONFIG, 25, tmp_path / "out")


def test_the_command(data: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(config_to_dict(CONFIG)))
    arguments = ["data", "check", str(data), "--recipe", str(recipe), "--output", str(output), "--sheet", "5"]
    assert run(arguments) == 0
    assert "images to look at first" in capsys.readouterr().out
    assert (output / "suspects.csv").read_text().startswith("rank,image_id,file_name")
    with Image.open(output / "suspects.png") as sheet:
        assert sheet.width > 1000


def test_the_command_with_predictions(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = small_data / "test.json"
    document = json.loads(labels.read_text())
    rows = [{**row, "score": 0.9} for row in document["annotations"]]
    rows[0]["category_id"] = rows[0]["category_id"] % 10 + 1
    (tmp_path / "pred.json").write_text(json.dumps(rows))
    ranked = ["--predictions", str(tmp_path / "pred.json"), "--output", str(tmp_path / "out")]
    assert run(["data", "check", str(labels), *ranked, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["suspicions"][0]
    assert (first["image_id"], first["kind"]) == (rows[0]["image_id"], "other digit")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--recipe", "r.yaml"], 2),
        (["--output", "out"], 2),
        (["--recipe", "r.yaml", "--predictions", "p.json", "--output", "out"], 2),
        (["--epochs", "3"], 2),
        (["--recipe", "gone.yaml", "--output", "out", "--sheet", "0"], 2),
        (["--predictions", "gone.json", "--output", "out"], 3),
    ],
)
def test_refused(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["data", "check", str(small_data), *arguments]) == code


def test_a_fold_that_ended_before_its_first_checkpoint_is_gone_on_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Trainer, show: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_train_epochs", killed)
        with pytest.raises(MemoryError):
            predict_out_of_fold(data, CONFIG, 2, tmp_path / "out")
    assert not (tmp_path / "out" / "fold-1" / "run" / "last.pt").exists()
    predict_out_of_fold(data, CONFIG, 2, tmp_path / "out")
