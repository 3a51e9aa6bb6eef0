"""Files of ablations: what they say, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from digitspot.config import Config
from digitspot.errors import ConfigError
from digitspot.experiments.ablation import read_study
from digitspot.experiments.lengths import equal_lengths
from digitspot.experiments.overrides import override


def write(folder: Path, **changes: object) -> Path:
    (folder / "base.yaml").write_text("train: {epochs: 3, batch_size: 4}\ndata: {workers: 0}\n")
    document = {
        "question": "Does it matter?",
        "recipe": "base.yaml",
        "variants": {
            "none": {},
            "large": {"model.head_channels": 64},
            "cut": {"answer.model.min_score": 0.5},
        },
    } | changes
    path = folder / "study.yaml"
    path.write_text(
        yaml.safe_dump({key: value for key, value in document.items() if value is not None}, sort_keys=False)
    )
    return path


def test_variants_are_overrides_of_the_recipe(tmp_path: Path) -> None:
    study = read_study(write(tmp_path, settings={"train.epochs": 5}))
    none, large, cut = study.variants
    assert study.baseline is none
    assert (none.config.train.epochs, none.config.train.batch_size) == (5, 4)
    assert large.config.model.head_channels == 64
    assert cut.config == none.config
    assert cut.trained_as == "none", "the same training is done once"
    assert study.only(["large", "cut"]).variants[1].trained_as == "none", "whichever variants are taken"
    assert cut.answering_config(none.config).model.min_score == 0.5
    assert study.seeds == (0, 1, 2)
    assert not study.answers_only


def test_some_of_the_variants(tmp_path: Path) -> None:
    study = read_study(write(tmp_path))
    some = study.only(["cut", "none"])
    assert [variant.name for variant in some.variants] == ["none", "cut"]
    assert some.answers_only
    assert not study.answers_only
    with pytest.raises(ConfigError, match="no variant 'tiny'"):
        study.only(["none", "tiny"])
    with pytest.raises(ConfigError, match="no comparison"):
        study.only(["none", "none"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variants": {"none": {}}}, "two names or more"),
        ({"variants": {"none": {}, "odd": {"model.dropuot": 1}}}, "unknown setting"),
        ({"variants": {"none": {}, "odd": {"model.min_score": "high"}}}, "expected float"),
        ({"variants": {"none": {}, "odd": {"answer.train.epochs": 3}}}, "cannot change after the training"),
        ({"variants": {"none": {}, "../up": {}}}, "file names"),
        ({"variants": {"none": {}, "odd": {"train.max_updates": 3}}}, "trials"),
        ({"variants": {"none": {}, "odd": {"model.min_score": 3}}}, "from 0 to 1"),
        ({"variants": {"none": {}, "odd": [1]}}, "expected settings"),
        ({"question": None}, "has no 'question'"),
        ({"qestion": "x"}, "unknown key"),
        ({"images": "many"}, "whole number"),
        ({"seeds": [0, 0]}, "different"),
        ({"recipe": "missing.yaml"}, "cannot read recipe"),
        ({"seeds": 3}, "seeds is 3, must be a list"),
        ({"settings": ["a"]}, r"settings is \['a'\]"),
        ({"variants": {"none": {}, "other": {1: 2}}}, "unknown setting '1'"),
        ({"variants": {"none": {}, "None": {"model.head_channels": 64}}}, "another has that name"),
        ({"variants": {1: {}, "1": {"model.head_channels": 64}}}, "another has that name"),
        ({"unequal": ""}, "must say why"),
        ({"unequal": False}, "must say why"),
        ({"needs": ["made"]}, "needs is"),
        ({"split": "valid"}, "models are trained or chosen on"),
    ],
)
def test_what_is_refused(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        read_study(write(tmp_path, **changes))


def test_a_misspelt_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        override(Config(), {"train.epoch": 3}, "here")
    assert "train.epochs" in str(error.value.hint)


def test_all_see_as_many_images(small_data: Path, tmp_path: Path) -> None:
    """24 images in batches of 4; with half of `valid` merged, 28."""
    variants = {"none": {}, "merged": {"data.merge_valid": True, "data.untouched_fraction": 0.5}}
    study = read_study(write(tmp_path, variants=variants, settings={"data.pack_root": str(tmp_path)}), 168)
    lengths = equal_lengths(study, small_data)
    assert {name: (each.epochs, each.images) for name, each in lengths.items()} == {
        "none": (7, 168),
        "merged": (6, 168),
    }


def test_images_are_opened_once(small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variants = {"none": {}, "parts": {"data.strategy": "parts"}, "dropout": {"model.dropout": 0.5}}
    settings = {"data.pack_root": str(tmp_path), "data.parts": 2}
    equal_lengths(read_study(write(tmp_path, variants=variants, settings=settings), 24), small_data)
    assert capsys.readouterr().err.count("train: ") == 1


@pytest.mark.parametrize("unequal", [None, "one of them holds more"])
def test_unequal_lengths_need_a_reason(unequal: str | None, small_data: Path, tmp_path: Path) -> None:
    variants = {"none": {}, "merged": {"data.merge_valid": True, "data.untouched_fraction": 0.5}}
    settings = {"data.pack_root": str(tmp_path)}
    study = read_study(write(tmp_path, variants=variants, settings=settings, unequal=unequal), images=24)
    if unequal is None:
        with pytest.raises(ConfigError, match="24 images in 1 epochs, 'merged' 28"):
            equal_lengths(study, small_data)
    else:
        assert equal_lengths(study, small_data)["merged"].images == 28


def test_stopping_early_is_no_equal_length(small_data: Path, tmp_path: Path) -> None:
    variants = {"none": {}, "stopping": {"train.early_stopping": 1}}
    study = read_study(write(tmp_path, variants=variants, settings={"data.pack_root": str(tmp_path)}))
    with pytest.raises(ConfigError, match="early_stopping"):
        equal_lengths(study, small_data)


def test_a_name_that_stands_twice_is_said_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text("question: Why?\nrecipe: base.yaml\nvariants:\n  none: {}\n  a: {}\n  a: {}\n")
    with pytest.raises(ConfigError, match=r"(?s)'a' stands twice.*line 6"):
        read_study(path)


FILES = sorted((Path(__file__).parents[2] / "recipes" / "ablations").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_ablations_that_come_along_can_be_read(path: Path) -> None:
    study = read_study(path)
    assert study.baseline.config.model.preset == "nano"
    assert len({variant.name for variant in study.variants}) == len(study.variants)
    assert study.answers_only == (path.stem == "score_cut")


def test_there_is_one_for_each_question() -> None:
    assert {path.stem for path in FILES} == {
        "dropout", "super_resolution", "validation", "parts", "augmentation", "input_size", "score_cut"
    }  # fmt: skip
