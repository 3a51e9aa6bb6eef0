"""A tiny ablation, whole: trained, answered, compared, gone on with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from command_line import held_elsewhere
from digitspot.cli import run
from digitspot.dataset.seen import Seen
from digitspot.dataset.splits import open_split
from digitspot.detector.trained import load_model, save_model
from digitspot.evaluation.coco_metrics import evaluate_boxes
from digitspot.labels.coco import read_labels
from digitspot.labels.results import read_results
from small_nano import write_recipe

STUDY = {
    "question": "Is a higher rate better, and what does a cut cost?",
    "recipe": "small.yaml",
    "images": 24,
    "seeds": [0],
    "variants": {
        "as is": {},
        "high rate": {"optimizer.lr": 0.01},
        "cut": {"answer.model.min_score": 0.12},
    },
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_recipe(folder / "small.yaml")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def output(study: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("ablation") / "out"
    assert run(["ablate", str(study), "--data", str(small_data), "--output", str(output)]) == 0
    return output


def test_the_table_says_what_the_answers_score(output: Path, small_data: Path) -> None:
    document = json.loads((output / "ablation.json").read_text())
    labels = read_labels(small_data / "test.json", clip=False)
    assert [each["name"] for each in document["variants"]] == ["as is", "high rate", "cut"]
    for each in document["variants"]:
        answers = read_results(output / "answers" / f"{each['name']}-0" / "pred.json", labels)
        assert each["seeds"]["0"]["mean_ap"] == evaluate_boxes(labels, answers).mean_ap
        assert each["seeds"]["0"]["images_seen"] == 24
        if each["name"] == "cut":
            assert all((found.scores >= 0.12).all() for found in answers.values())
    assert all("one seed" in row["less_baseline"]["accuracy"]["verdict"] for row in document["variants"][1:])
    shown = (output / "table.md").read_text()
    assert STUDY["question"] in shown
    assert "| high rate | 0 |" in shown


def test_the_same_training_is_done_once(output: Path) -> None:
    folders = {path.name for path in (output / "trainings").iterdir() if path.is_dir()}
    assert folders == {"as is-0", "high rate-0"}


def test_what_is_done_is_not_done_again(output: Path, study: Path, small_data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.pt")}
    shutil.rmtree(output / "answers" / "cut-0")
    arguments = ["ablate", str(study), "--data", str(small_data), "--output", str(output)]
    assert run(arguments) == 0
    assert {
        path: path.stat().st_mtime_ns
        for path in output.rglob("*.pt")
        if path in before and "cut" not in str(path)
    } == {path: when for path, when in before.items() if "cut" not in str(path)}
    assert (output / "answers" / "cut-0" / "result.json").exists()


def test_other_settings_are_not_mixed_in(
    output: Path, study: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["ablate", str(study), "--data", str(small_data), "--output", str(output), "--images", "48"]
    assert run(arguments) == 2
    assert "train.epochs 1, and the file now says 2" in " ".join(capsys.readouterr().err.split())


def test_a_model_that_is_there_is_used_as_each_variant_says(
    study: Path, small_data: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = {"whole": {}, "all cut": {"answer.model.min_score": 1.0}}
    path = study.with_name("cut.yaml")
    path.write_text(yaml.safe_dump({**STUDY, "variants": cut}))
    model = str(output / "trainings" / "as is-0")
    common = ["--data", str(small_data), "--output", str(tmp_path / "cut"), "--models", model]
    assert run(["ablate", str(path), *common]) == 0
    answers = tmp_path / "cut" / "answers" / "all cut-as is-0"
    assert json.loads((answers / "pred.json").read_text()) == []
    with np.load(answers / "samples.npz") as samples:
        assert not samples["ap_samples"].any()
    assert run(["ablate", str(study), *common]) == 2
    assert "takes no --models" in capsys.readouterr().err


def test_a_start_that_was_exchanged_is_noticed(
    output: Path, study: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = output / "trainings" / "as is-0.json"
    before = record.read_text()
    assert json.loads(before)["peak_bytes"] > 2**26
    changed = json.loads(before)
    changed["inputs"]["train"] = "0" * 16
    record.write_text(json.dumps(changed))
    try:
        assert run(["ablate", str(study), "--data", str(small_data), "--output", str(output)]) == 2
        assert "as is-0 was trained with another train" in " ".join(capsys.readouterr().err.split())
    finally:
        record.write_text(before)


def test_one_that_fails_does_not_end_the_others(
    study: Path, small_data: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of two models was trained on the images to answer, which the scores refuse."""
    model = load_model(output / "trainings" / "as is-0")
    seen = Seen.of(open_split(small_data, "test", model.config.data))
    save_model(replace(model, seen=seen), tmp_path / "seen.pt")
    save_model(model, tmp_path / "fair.pt")
    path = study.with_name("uses.yaml")
    uses = {"whole": {}, "cut [b]": {"answer.model.min_score": 0.5}}
    path.write_text(yaml.safe_dump({**STUDY, "variants": uses}, sort_keys=False))
    models = [str(tmp_path / name) for name in ("seen.pt", "fair.pt")]
    common = ["--data", str(small_data), "--output", str(tmp_path / "out"), "--models", *models]
    assert run(["ablate", str(path), *common]) == 1
    document = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [list(each["seeds"]) for each in document["variants"]] == [["fair"], ["fair"]]
    assert [each.partition(":")[0] for each in document["failures"]] == ["seen"]
    assert "trained on" in capsys.readouterr().err


def test_what_is_needed_is_made_once(
    study: Path, small_data: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A data set that a variant trains on besides is generated first; a command that fails is said."""
    monkeypatch.chdir(tmp_path)
    path = study.with_name("needs.yaml")
    synth = "data synth made --images 10 --workers 1 --domain plates"
    unequal = "this tests what is made before"
    document = {**STUDY, "variants": {"alone": {}, "both": {"data.also": ["made"], "model.weights": "no.pt"}}}
    path.write_text(yaml.safe_dump({**document, "unequal": unequal, "needs": {"made/train.json": synth}}))
    common = ["ablate", str(path), "--data", str(small_data), "--output", str(tmp_path / "out")]
    for said in (True, False):
        assert run(common) == 4  # the weights, after what is needed
        assert (f"made/train.json is missing: digitspot {synth}" in capfd.readouterr().err) == said
        assert (tmp_path / "made" / "train.json").exists()
    path.write_text(yaml.safe_dump({**document, "needs": {"other.json": "data synth made --images -1"}}))
    assert run(common) == 1
    assert "`digitspot data synth made --images -1` ended with 2" in " ".join(capfd.readouterr().err.split())


def test_a_start_that_is_not_there_is_said_before_anything_is_trained(
    study: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study.with_name("start.yaml")
    path.write_text(yaml.safe_dump({**STUDY, "settings": {"model.weights": "nowhere.pt"}}, sort_keys=False))
    output = tmp_path / "out"
    assert run(["ablate", str(path), "--data", str(small_data), "--output", str(output)]) == 4
    assert "no weights file nowhere.pt" in capsys.readouterr().err
    assert not (output / "trainings").exists()


def test_what_another_process_is_at_is_left_to_it(
    output: Path, study: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (output / "answers" / "cut-0" / "result.json").unlink()
    arguments = ["ablate", str(study), "--data", str(small_data), "--output", str(output)]
    with held_elsewhere(output / "answers" / "as is-0.lock"):
        assert run(arguments) == 0
        assert "left to another process: as is-0" in " ".join(capsys.readouterr().err.split())
        assert not (output / "answers" / "cut-0" / "result.json").exists()
    assert run(arguments) == 0
    assert (output / "answers" / "cut-0" / "result.json").exists()
