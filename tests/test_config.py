"""Configuration: what recipes may say, and with which words the rest is refused."""

import dataclasses
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from digitspot.cli import run
from digitspot.config import (
    Config,
    ModelConfig,
    config_from_dict,
    config_to_dict,
    config_to_yaml,
    known_recipes,
    load_recipe,
)
from digitspot.config.checks import NEEDS, RANGES, check_config, drop_unused, unused_settings
from digitspot.errors import ConfigError
from digitspot.experiments.ablation import read_study

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("optimiser: {lr: 1}", ["recipe.yaml", "'optimiser'", "'optimizer'"], "section misspelt"),
        (
            "model: {fpn_chanels: 3}",
            ["recipe.yaml: model", "'fpn_chanels'", "'fpn_channels'"],
            "key misspelt",
        ),
        ("train: {zzzz: 3}", ["'zzzz'", "Known keys: epochs, "], "nothing is near"),
        ("1: {a: 2}", ["unknown key 1"], "a key that is no string"),
        ("train: {epochs: 2.5}", ["recipe.yaml: train: epochs", "2.5", "int"], "no half epochs"),
        ("train: {epochs: true}", ["train: epochs", "True", "int"], "YAML's true is Python's 1"),
        ("train: {epochs: '3'}", ["train: epochs", "'3'", "int"], "a quoted number is text"),
        ("train: {epochs: null}", ["train: epochs", "None"], "not everything may be null"),
        ("optimizer: {lr: fast}", ["optimizer: lr", "'fast'", "float"], "text for a number"),
        ("optimizer: {lr: true}", ["optimizer: lr", "True", "float"], "true is no number"),
        ("augment: {preset: flip}", ["preset", "'flip'", "none, seed, photo"], "unknown choice"),
        ("augment: {preset: [none]}", ["preset", "none, seed, photo"], "a list for a choice"),
        ("train: {device: 0}", ["device", "0", "str"], "a number for text"),
        ("input: {train_short_sides: 96}", ["train_short_sides", "96", "tuple"], "a number for a list"),
        ("input: {train_short_sides: [96, x]}", ["train_short_sides", "'x'", "int"], "a bad item"),
        ("model: {anchor_sizes: [1, 2]}", ["anchor_sizes", "1", "tuple"], "flat where levels are meant"),
        ("model: {anchor_sizes: [[1], [a]]}", ["anchor_sizes", "'a'", "int"], "a bad item inside"),
        ("model: 3", ["recipe.yaml: model", "keys and values", "3"], "a scalar for a section"),
        ("model:", ["recipe.yaml: model", "keys and values"], "a section without content"),
        ("- model", ["recipe.yaml", "keys and values", "['model']"], "a recipe that is a list"),
        ("[]", ["keys and values", "[]"], "a recipe that is an empty list"),
        ("0", ["keys and values", "0"], "a recipe that is a number"),
        ("just words", ["keys and values", "just words"], "a recipe that is text"),
        ("model: {a: 1", ["not YAML"], "cut off"),
        ("train: {epochs: 3}\ntrain: {batch_size: 8}", ["'train' stands twice", "line 2"], "a section twice"),
        ("model: !!python/object/apply:os.getcwd []", ["not YAML"], "nothing is executed"),
    ],
)
def test_refused(tmp_path: Path, text: str, words: list[str], reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_recipe(recipe(tmp_path, text))
    said = f"{raised.value} {raised.value.hint}"
    assert all(word in said for word in words), f"{reason}: {said}"


@pytest.mark.parametrize(
    ("values", "section", "key", "expected", "reason"),
    [
        ({"optimizer": {"lr": "1e-3"}}, "optimizer", "lr", 0.001, "YAML 1.1 reads 1e-3 as text"),
        ({"optimizer": {"clip_norm": 5}}, "optimizer", "clip_norm", 5.0, "a whole number is a float too"),
        ({"model": {"anchor_ratios": [1, "2e0"]}}, "model", "anchor_ratios", (1.0, 2.0), "inside a tuple"),
        ({"model": {"anchor_ratios": None}}, "model", "anchor_ratios", None, "null where it may be"),
        ({"model": {"anchor_sizes": [[8], [16, 20]]}}, "model", "anchor_sizes", ((8,), (16, 20)), "nested"),
        ({"input": {"train_short_sides": []}}, "input", "train_short_sides", (), "an empty tuple"),
        ({"data": {"pack_root": "here"}}, "data", "pack_root", "here", "the other side of a union"),
        ({"data": {"longest_side": 64}}, "data", "longest_side", 64, "an int where null may be"),
    ],
)
def test_converted(values: dict[str, Any], section: str, key: str, expected: object, reason: str) -> None:
    value = getattr(getattr(config_from_dict(values), section), key)
    assert value == expected, reason
    assert type(value) is type(expected), reason


def test_plain_yaml_exponent_is_a_float(tmp_path: Path) -> None:
    config = load_recipe(recipe(tmp_path, "optimizer:\n  lr: 1e-3\n  weight_decay: 5.0e-2\n"))
    assert (config.optimizer.lr, config.optimizer.weight_decay) == (0.001, 0.05)


def test_a_recipe_has_a_name_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "svhn").mkdir()
    for name in known_recipes():
        assert load_recipe(Path(name)) == load_recipe(RECIPES / f"{name}.yaml"), "a folder is no recipe"
    (tmp_path / "nano").write_text("model: {preset: resnet18_fpn}")
    assert load_recipe(Path("nano")).model.preset == "resnet18_fpn", "a file of that name goes first"
    with pytest.raises(ConfigError, match="cannot read recipe nanu") as raised:
        load_recipe(Path("nanu"))
    assert "nano_crops" in str(raised.value.hint)


def test_a_printed_ablation_is_the_same_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["recipes", "dropout", "--command", "ablate"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    mine, named = read_study(Path("mine.yaml")), read_study(Path("dropout"))
    assert [each.config for each in mine.variants] == [each.config for each in named.variants]
    assert run(["recipes", "dropout"]) == 2
    assert "nano_crops" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "null\n", "{}"])
def test_empty_recipe_is_the_default(tmp_path: Path, text: str) -> None:
    assert load_recipe(recipe(tmp_path, text)) == Config()


def test_missing_folder_and_binary_file_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read recipe .*absent\.yaml"):
        load_recipe(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot read recipe"):
        load_recipe(tmp_path)
    (tmp_path / "photo.yaml").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(ConfigError, match=r"photo\.yaml is not text"):
        load_recipe(tmp_path / "photo.yaml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_says_what_it_is_for(path: Path) -> None:
    if "overrides" not in path.read_text(encoding="utf-8"):
        load_recipe(path)
    assert path.read_text(encoding="utf-8").startswith("#")


def test_there_are_recipes() -> None:
    assert list(RECIPES.glob("*.yaml"))


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "optimizer": st.fixed_dictionaries(
            {}, optional={"lr": st.floats(0, 1e6), "clip_norm": st.floats(1e-300, 1e-3)}
        ),
        "train": st.fixed_dictionaries(
            {}, optional={"device": st.text(st.characters(codec="utf-8")), "epochs": st.integers()}
        ),
        "model": st.fixed_dictionaries(
            {},
            optional={
                "anchor_sizes": st.none() | st.lists(st.lists(st.integers(1, 9)), max_size=3),
                "weights": st.sampled_from(["none", "1", "null", "yes", "0x1f", "1e-3", "a: b", "~"]),
            },
        ),
    },
)


@given(VALUES)
def test_round_trip_through_yaml_and_plain_values(values: dict[str, Any]) -> None:
    config = config_from_dict(values)
    assert config_from_dict(yaml.safe_load(config_to_yaml(config))) == config
    assert config_from_dict(config_to_dict(config)) == config


def test_plain_values_are_what_json_and_weights_only_take() -> None:
    def check(value: Any) -> None:
        assert type(value) in {dict, list, str, int, float, bool, type(None)}
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(item)

    check(config_to_dict(Config(model=ModelConfig(anchor_sizes=((1,), (2,)), anchor_ratios=(1.0,)))))


@pytest.mark.parametrize("section", dataclasses.fields(Config), ids=lambda field: field.name)
def test_sections_are_frozen_and_keyword_only(section: dataclasses.Field[Any]) -> None:
    settings: Any = section.default_factory()  # type: ignore[misc]
    first = dataclasses.fields(settings)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, first, getattr(settings, first))
    with pytest.raises(TypeError):
        type(settings)(getattr(settings, first))


FIELDS = {
    f"{section.name}.{field.name}": field
    for section in dataclasses.fields(Config)
    for field in dataclasses.fields(section.default_factory())  # type: ignore[misc, arg-type]
}


def with_setting(name: str, value: Any) -> Config:
    section, _, key = name.partition(".")
    return config_from_dict({section: {key: value}})


@pytest.mark.parametrize("name", FIELDS)
def test_every_number_has_a_range_and_values_outside_are_refused(name: str) -> None:
    """Text, switches and choices have none: their types say what they may be."""
    kind = str(FIELDS[name].type)
    if "int" not in kind and "float" not in kind:
        assert name not in RANGES
        return
    low, high = RANGES[name]
    for value in (low - 1, high * 2 + 1):
        if value == inf:
            continue
        number = int(value) if "int" in kind else float(value)
        depth = kind.count("tuple")
        wrong: Any = [[number]] if depth == 2 else [number] if depth == 1 else number
        with pytest.raises(ConfigError, match=rf"{name} is .*must be"):
            check_config(with_setting(name, wrong))


@pytest.mark.parametrize("name", NEEDS)
def test_every_setting_without_effect_is_refused_and_names_the_other(name: str) -> None:
    """Given with its default value, the setting is refused wherever a need is not met."""
    need = unused_settings(Config()).get(name)
    if need is None:  # the defaults meet it: take a configuration that does not
        other = {
            "model.trainable_stages": "mobilenet_v3_large_fpn",
            "optimizer.backbone_lr_factor": "nano",
        }.get(name)
        changes: dict[str, Any] = {"model.preset": other or "resnet50_fpn_v2"}
        changes |= {"augment.preset": "none"} if name.startswith("augment.") else {}
        changes |= {"data.workers": 0} if name == "data.read_ahead" else {}
        if name == "train.looks":
            changes |= {"data.merge_valid": True, "data.untouched_fraction": 0.0}
            changes |= {"data.strategy": "parts", "train.score_parts": True}
        values: dict[str, dict[str, Any]] = {}
        for key, value in changes.items():
            section, _, field = key.partition(".")
            values.setdefault(section, {})[field] = value
        config = config_from_dict(values)
    else:
        config = Config()
    need = unused_settings(config)[name]
    with pytest.raises(ConfigError, match=rf"{name} .*has no effect, since {need.setting} is"):
        check_config(config, named={name})
    check_config(drop_unused(config)[0])


def test_the_defaults_can_be_trained() -> None:
    check_config(Config())


@pytest.mark.parametrize(
    ("flags", "epochs", "branches", "reason"),
    [
        ({"train": {"epochs": 18}}, 18, (), "a branch as long as the training"),
        ({"train": {"epochs": 3}}, 3, (), "any shorter length"),
        ({"train": {"epochs": 30}}, 30, (18,), "a branch that fits stays"),
    ],
)
def test_branches_of_the_recipe_that_do_not_fit_are_dropped(
    flags: dict[str, Any], epochs: int, branches: tuple[int, ...], reason: str
) -> None:
    recipe = config_to_dict(load_recipe(RECIPES / "nano.yaml"))
    changed = config_from_dict({**recipe, "train": {**recipe["train"], **flags["train"]}})
    config, said = drop_unused(changed, keep={"train.epochs"})
    assert (config.train.epochs, config.schedule.branch_epochs) == (epochs, branches), reason
    assert len(said) == (not branches), "one line says so"
    check_config(config, {"train.epochs"})
