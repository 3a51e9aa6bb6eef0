"""Files of tunings: what they say, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from digitspot.errors import ConfigError
from digitspot.experiments.search import Choices, Range, read_tuning

RATE = {"low": "1e-4", "high": 1, "log": True}


def write(folder: Path, **changes: object) -> Path:
    (folder / "base.yaml").write_text("train: {epochs: 3, batch_size: 4}\nschedule: {kind: wsd}\n")
    document = {
        "recipe": "base.yaml",
        "search": {"optimizer.lr": RATE},
        "images": 100,
        "budget_images": 1000,
    } | changes
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}))
    return path


def test_what_is_searched(tmp_path: Path) -> None:
    search = {
        "optimizer.lr": RATE,
        "model.head_channels": {"low": 32, "high": 96, "step": 32},
        "input.train_short_sides": {"choices": [[80, 96], [112]]},
        "optimizer.weight_decay": {"choices": ["1e-2", 0.1]},
    }
    tuning = read_tuning(write(tmp_path, search=search, settings={"schedule.kind": "cosine"}))
    assert tuning.search == {
        "optimizer.lr": Range(1e-4, 1.0, log=True),
        "model.head_channels": Range(32, 96, step=32),
        "input.train_short_sides": Choices(((80, 96), (112,))),
        "optimizer.weight_decay": Choices((0.01, 0.1)),
    }
    assert (tuning.images, tuning.budget, tuning.trials, tuning.prune_after) == (100, 1000, None, 1)
    config = tuning.configure({"optimizer.lr": 0.5, "input.train_short_sides": [112]}, epochs=7)
    assert (config.optimizer.lr, config.input.train_short_sides) == (0.5, (112,))
    assert (config.train.epochs, config.train.batch_size, config.schedule.kind) == (7, 4, "cosine")


def test_the_command_line_comes_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert read_tuning(path, images=50, budget=200).budget == 200
    tuning = read_tuning(path, images=50, trials=3)
    assert (tuning.images, tuning.budget, tuning.trials) == (50, 150, 3)


@pytest.mark.parametrize(
    ("search", "own"),
    [
        ({"optimizer.lr": RATE}, {"optimizer.lr": 1e-3}),
        ({"optimizer.lr": {"low": 0.1, "high": 1}}, None),
        ({"model.head_channels": {"low": 256, "high": 1024, "step": 256}}, {"model.head_channels": 512}),
        ({"model.head_channels": {"low": 256, "high": 1056, "step": 200}}, None),
        ({"augment.preset": {"choices": ["photo", "none"]}}, {"augment.preset": "photo"}),
        ({"augment.preset": {"choices": ["seed", "none"]}}, None),
        ({"data.longest_side": {"low": 100, "high": 200}}, None),
        ({"data.longest_side": {"choices": [100, None]}}, {"data.longest_side": None}),
    ],
    ids=[
        "inside",
        "outside",
        "on the grid",
        "off it",
        "a choice",
        "none of them",
        "none is no number",
        "none",
    ],
)
def test_the_recipes_own_settings_are_a_trial_where_they_can_be(
    search: dict[str, object], own: object, tmp_path: Path
) -> None:
    assert read_tuning(write(tmp_path, search=search)).own == own


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"serach": {}}, "unknown key 'serach'"),
        ({"recipe": None}, "has no 'recipe'"),
        ({"budget_images": None}, "has no 'budget_images'"),
        ({"budget_images": 99}, "budget_images is 99"),
        ({"images": 0}, "images is 0"),
        ({"images": "1k"}, "images is '1k'"),
        ({"prune_after": -1}, "prune_after is -1"),
        ({"search": {}}, "must be a mapping"),
        ({"search": {"optimizer.ratte": RATE}}, "unknown setting"),
        ({"search": {"optimizer.lr": 3}}, "is empty"),
        ({"search": {"optimizer.lr": {"low": 1}}}, "'low': 1"),
        ({"search": {"optimizer.lr": {"low": 1, "high": 2, "lgo": True}}}, "'lgo'"),
        ({"search": {"optimizer.lr": {"low": 2, "high": 1}}}, "'low': 2"),
        ({"search": {"optimizer.weight_decay": {"low": 0, "high": 1, "log": True}}}, "'low': 0"),
        ({"search": {"optimizer.weight_decay": {"low": 0, "high": 1, "step": 0.3}}}, "do not lead from"),
        ({"search": {"model.head_channels": {"low": 1, "high": 2, "step": 0.5}}}, "step is 0.5"),
        ({"search": {"model.dropout": {"low": 0, "high": 1}}}, "model.dropout is 1.0, must be from 0"),
        ({"search": {"augment.preset": {"low": "none", "high": "seed"}}}, "it is no number"),
        ({"search": {"augment.preset": {"choices": ["none", "flip"]}}}, "'flip'"),
        ({"search": {"augment.preset": {"choices": ["none"]}}}, "two or more"),
        ({"search": {"augment.preset": {"choices": ["none", "none"]}}}, "two or more"),
        ({"search": {"train.seed": {"low": 0, "high": 9}}}, "the best seed is luck"),
        ({"search": {"train.epochs": {"low": 1, "high": 9}}}, "says how long"),
        ({"settings": {"train.max_updates": 3}}, "need validations"),
        ({"settings": {"model.dropuot": 3}}, "unknown setting"),
        ({"recipe": "seed"}, "select_by is loss"),
    ],
)
def test_what_is_refused(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        read_tuning(write(tmp_path, **changes))


def test_a_value_without_effect_beside_others_is_left_out(tmp_path: Path) -> None:
    search = {"data.hold_out": {"choices": [False, True]}, "data.strategy": {"choices": ["pack", "parts"]}}
    settings = {"data.part_order": "once", "data.strategy": "parts"}
    tuning = read_tuning(write(tmp_path, search=search, settings=settings))
    assert tuning.configure({"data.hold_out": True, "data.strategy": "parts"}).data.hold_out
    assert not tuning.configure({"data.hold_out": True, "data.strategy": "pack"}).data.hold_out


FILES = sorted((Path(__file__).parents[2] / "recipes" / "tune").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_tunings_that_come_along_can_be_read(path: Path) -> None:
    tuning = read_tuning(path)
    assert tuning.own is not None, "the recipe's own settings are the first trial"
    assert tuning.budget >= 5 * tuning.images
