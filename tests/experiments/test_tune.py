"""A tiny search, whole: interrupted, gone on with, ended by its budget; trials ended early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from command_line import command, environment, held_elsewhere
from digitspot.cli import run
from digitspot.config import load_recipe
from digitspot.errors import CheckpointError, ConfigError, DigitspotError
from digitspot.experiments.ablation import read_study
from digitspot.experiments.outcome import Outcome
from digitspot.experiments.overrides import differences
from digitspot.experiments.search import Choices, Tuning, read_tuning
from digitspot.experiments.study import begun_trial, best_trial, next_trial, open_study, suggest, values_of
from digitspot.experiments.trainings import Training
from digitspot.experiments.trial import Follower, images_seen
from digitspot.experiments.tune import Trials, open_data_set
from digitspot.training.runlog import Run
from small_nano import write_recipe

TUNING = {
    "recipe": "small.yaml",
    "search": {
        "optimizer.lr": {"low": 1e-4, "high": 0.01, "log": True},
        "augment.preset": {"choices": ["none", "photo"]},
    },
    "images": 30,
    "budget_images": 60,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    write_recipe(folder / "small.yaml")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TUNING, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def data(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set without a test split: nothing may be chosen on it."""
    folder = tmp_path_factory.mktemp("no-test")
    for name in ("train", "train.json", "valid", "valid.json"):
        (folder / name).symlink_to(small_data / name)
    return folder


@pytest.fixture
def tuning(file: Path) -> Tuning:
    return read_tuning(file)


def tune(file: Path, data: Path, output: Path, *more: object) -> list[str]:
    return ["tune", str(file), "--data", str(data), "--output", str(output), *map(str, more)]


@pytest.fixture(scope="module")
def stopped(file: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was interrupted in its first trial."""
    output = tmp_path_factory.mktemp("search") / "out"
    process = subprocess.Popen(
        command(*tune(file, data, output)), stderr=subprocess.PIPE, text=True, env=environment()
    )
    while not (output / "trials" / "000" / "environment.json").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on" in messages
    return output


@pytest.fixture(scope="module")
def done(stopped: Path, file: Path, data: Path) -> tuple[Path, int]:
    """The same search after the same command, and when its first trial was begun."""
    begun = (stopped / "trials" / "000" / "environment.json").stat().st_mtime_ns
    assert run(tune(file, data, stopped)) == 0
    return stopped, begun


def test_what_was_begun_is_finished_within_the_budget(done: tuple[Path, int], file: Path) -> None:
    output, begun = done
    document = json.loads((output / "tune.json").read_text())
    trials = document["trials"]
    assert [each["number"] for each in trials] == [0, 1], "a third could see more than 60 images"
    assert [each["images_seen"] for each in trials] == [24, 24]
    assert {each["state"] for each in trials} == {"whole"}
    assert (output / "trials" / "000" / "environment.json").stat().st_mtime_ns == begun
    assert trials[0]["settings"] == {"optimizer.lr": 0.001, "augment.preset": "photo"}, "the recipe's own"
    assert len({each["settings"]["optimizer.lr"] for each in trials}) == 2
    for each in trials:
        config = load_recipe(output / "trials" / f"{each['number']:03d}" / "config.yaml")
        assert config.optimizer.lr == each["settings"]["optimizer.lr"]
        assert config.augment.preset == each["settings"]["augment.preset"]


def test_the_best_is_chosen_as_a_training_chooses(done: tuple[Path, int], file: Path, data: Path) -> None:
    output, _ = done
    document = json.loads((output / "tune.json").read_text())
    for each in document["trials"]:
        records = Run(output / "trials" / f"{each['number']:03d}").metrics()
        valid = [record for record in records if record["kind"] == "valid"]
        assert each["value"] == max((one["accuracy"] + one["zoomed_accuracy"]) / 2 for one in valid)
    values = [each["value"] for each in document["trials"]]
    best = document["best"]
    assert best == values.index(max(values))
    assert load_recipe(output / "best.yaml") == load_recipe(output / "trials" / f"{best:03d}.yaml")
    table = (output / "table.md").read_text()
    assert f"| {best} | {values[best]:.4f} | 24 | best |" in table
    assert "looks better than it is" in table


def test_what_was_found_can_be_confirmed(tuning: Tuning, data: Path, tmp_path: Path) -> None:
    """Trial 0 is the recipe's own; as long as it is best, there is nothing to confirm."""
    study = open_study(tmp_path / "study.sqlite3", tuning, "these")
    trials = Trials(study, tuning, open_data_set(tuning, data), tmp_path / "trials", lambda: None)
    outcome = Outcome(trials, tmp_path)
    for score, confirmed in ((0.5, False), (0.4, False), (0.7, True)):
        finished(study, tuning, [score])
        last = study.trials[-1]
        config = tuning.configure(values_of(tuning, last.params), 1)
        Training(trials.path_of(last.number), config, data).write_recipe()
        outcome.write()
        assert (tmp_path / "confirm.yaml").exists() == confirmed
    said = " ".join(outcome.sentences())
    assert "trial 2, accuracy 0.7000" in said
    assert "The recipe's own settings, trial 0: 0.5000." in said
    # 8 images: 1.96 sqrt(0.7 * 0.3 / 8) = 0.318
    assert "about 0.318 to either side (95 %); within that of the best: 2 of 2 other whole trials." in said
    ablation = read_study(tmp_path / "confirm.yaml")
    own, tuned = ablation.variants
    assert tuned.config.optimizer == config.optimizer
    assert own.config.optimizer.lr == 0.001
    assert set(differences(own.config, tuned.config)) <= set(tuning.search)
    assert ablation.images == 24


def test_what_is_done_is_not_done_again(
    done: tuple[Path, int], file: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, _ = done
    before = {path: path.stat().st_mtime_ns for path in (output / "trials").rglob("*")}
    assert run(tune(file, data, output, "--budget-images", 77)) == 0
    assert {path: path.stat().st_mtime_ns for path in (output / "trials").rglob("*")} == before
    assert capsys.readouterr().out.rstrip().endswith(str(output / "best.yaml"))


def test_one_process_searches_at_a_time(
    done: tuple[Path, int], file: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, _ = done
    with held_elsewhere(output / "lock"):
        assert run(["tune", str(file), "--data", str(data), "--output", str(output)]) == 2
    assert "another process is searching" in " ".join(capsys.readouterr().err.split())


def test_another_question_is_not_mixed_in(
    done: tuple[Path, int],
    file: Path,
    data: Path,
    small_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, _ = done
    assert run(tune(file, data, output, "--images", 50)) == 2
    assert "begun with images 30, and the file now says 50" in " ".join(capsys.readouterr().err.split())
    changed = file.with_name("changed.yaml")
    changed.write_text(yaml.safe_dump({**TUNING, "settings": {"optimizer.momentum": 0.8}}))
    assert run(tune(changed, data, output)) == 2
    assert "optimizer.momentum 0.9, and the file now says 0.8" in " ".join(capsys.readouterr().err.split())
    changed.write_text(
        yaml.safe_dump(
            {**TUNING, "search": {**TUNING["search"], "augment.preset": {"choices": ["none", "seed"]}}}
        )  # type: ignore[dict-item]
    )
    assert run(tune(changed, data, output)) == 2
    assert "search of augment.preset" in " ".join(capsys.readouterr().err.split())


def test_a_study_that_is_opened_again_goes_on(tuning: Tuning, tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite3"
    study = open_study(path, tuning, "these")
    study.tell(next_trial(study, 0), 0.5)
    told = suggest(next_trial(study, 0), tuning)
    again = open_study(path, tuning, "these")
    begun = begun_trial(again, 0)
    assert begun is not None
    assert (begun.number, suggest(begun, tuning)) == (1, told)
    with pytest.raises(ConfigError, match="other images"):
        open_study(path, tuning, "others")
    damaged = tmp_path / "damaged.sqlite3"
    damaged.write_text("no database")
    with pytest.raises(CheckpointError, match="damaged"):
        open_study(damaged, tuning, "these")


def test_a_search_that_stopped_is_told_what_one_that_did_not_is(tuning: Tuning, tmp_path: Path) -> None:
    """Past the ten that are drawn at random, too."""
    told = []
    for name, again in (("one", False), ("other", True)):
        study = open_study(tmp_path / f"{name}.sqlite3", tuning, "these")
        for number in range(14):
            trial = next_trial(study, 0)
            values = suggest(trial, tuning)
            if again:
                study = open_study(tmp_path / f"{name}.sqlite3", tuning, "these")
            study.tell(number, -abs(values["optimizer.lr"] - 0.003))
            told.append(values)
    assert told[:14] == told[14:]
    assert len({each["optimizer.lr"] for each in told}) == 14


def finished(study: optuna.Study, tuning: Tuning, scores: list[float]) -> None:
    """Add a whole trial with these scores."""
    trial = next_trial(study, 0)
    suggest(trial, tuning)
    for step, score in enumerate(scores, 1):
        trial.report(score, step)
        trial.should_prune()
    trial.set_user_attr("images_seen", 24)
    study.tell(trial, max(scores))


def validated(path: Path, *accuracies: float) -> None:
    for number, accuracy in enumerate(accuracies):
        scores = {
            "accuracy": accuracy - 0.1,
            "zoomed_accuracy": accuracy + 0.1,
            "map": 0.9,
            "zoomed_map": 0.9,
        }
        Run(path).log({"kind": "valid", "step": number, "images_seen": 24 * (number + 1), **scores})


@pytest.mark.parametrize(
    ("accuracies", "epochs", "lags"),
    [
        ((), 9, False),
        ((0.6,), 9, False),
        ((0.4,), 9, True),
        ((0.4,), 1, False),
        ((0.6, 0.6), 9, False),
        ((0.6, 0.5, 0.5), 9, True),
        ((0.6, 0.8, 0.1), 9, False),
    ],
    ids=["nothing yet", "better", "worse", "at its end", "between rungs", "worse later", "its best counts"],
)
def test_what_lags_is_ended_at_a_rung(
    accuracies: tuple[float, ...], epochs: int, lags: bool, tuning: Tuning, tmp_path: Path
) -> None:
    study = open_study(tmp_path / "study.sqlite3", tuning, "these")
    for score in (0.3, 0.4, 0.5):
        finished(study, tuning, [score, score, score + 0.2])
    (tmp_path / "run").mkdir()
    validated(tmp_path / "run", *accuracies)
    config = tuning.configure({}, epochs)
    follower = Follower(next_trial(study, 0), Training(tmp_path / "run", config, tmp_path), lambda _: None)
    assert follower.lags() == lags
    assert follower.lags() is False, "each validation is told once"


def test_a_training_that_lags_is_stopped_and_its_images_count(
    tuning: Tuning, data: Path, tmp_path: Path
) -> None:
    """Nothing scores as high as the trials before, so the first validation of thousands ends it."""
    study = open_study(tmp_path / "study.sqlite3", tuning, "these")
    for _ in range(3):
        finished(study, tuning, [2.0])
    long = replace(tuning, images=24 * 3000, budget=24 * 3100, trials=4)
    trials = Trials(study, long, open_data_set(long, data), tmp_path / "trials", lambda: None)
    trials.run()
    last = study.trials[-1]
    assert last.state == TrialState.PRUNED
    assert 24 <= trials.images_of(last) == images_seen(tmp_path / "trials" / "003") < 24 * 3000
    assert trials.spent() == 72 + trials.images_of(last)
    assert best_trial(study) is not None
    assert best_trial(study).number == 0  # type: ignore[union-attr]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the training by /proc")
def test_a_training_that_is_killed_is_gone_on_with(tuning: Tuning, data: Path, tmp_path: Path) -> None:
    study = open_study(tmp_path / "study.sqlite3", tuning, "these")
    one = replace(tuning, trials=1)
    trials = Trials(study, one, open_data_set(one, data), tmp_path / "trials", lambda: None)
    begun = trials.path_of(0) / "environment.json"

    def kill() -> int:
        while not begun.exists():
            time.sleep(0.01)
        [training] = [
            int(pid)
            for children in Path("/proc/self/task").glob("*/children")
            for pid in children.read_text().split()
            if str(trials.path_of(0)) in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        os.kill(training, signal.SIGKILL)
        return begun.stat().st_mtime_ns

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        trials.run()
    assert study.trials[0].state == TrialState.COMPLETE
    assert begun.stat().st_mtime_ns == killed.result()
    assert trials.spent() == 24


def test_trials_that_fail_one_after_the_other_end_the_search(
    tuning: Tuning, data: Path, tmp_path: Path
) -> None:
    """Values outside their range: no training is begun."""
    broken = replace(tuning, search={"model.dropout": Choices((2.0, 3.0))})
    study = open_study(tmp_path / "study.sqlite3", broken, "these")
    trials = Trials(study, broken, open_data_set(broken, data), tmp_path / "trials", lambda: None)
    with pytest.raises(DigitspotError, match=r"3 trials in a row failed, the last one: model.dropout is"):
        trials.run()
    assert [each.state for each in study.trials] == [TrialState.FAIL] * 3
    assert trials.spent() == 0


def test_a_missing_extra_is_named_with_its_install_line() -> None:
    program = (
        "import sys; sys.modules['optuna'] = None; from digitspot.cli import main; main(['tune', 'a.yaml'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    assert done.returncode == 2
    assert "needs optuna" in done.stderr
    assert "pip install 'digitspot[tune]'" in done.stderr
