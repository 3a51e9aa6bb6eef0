"""The file of an ablation: a recipe, and variants of it that change some settings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from digitspot.config import Config, check_config, drop_unused, find_recipe
from digitspot.errors import ConfigError
from digitspot.experiments.overrides import Overrides, override, read_document, read_recipe

ANSWER = "answer."
"""Settings with this prefix change how the trained model is used."""
ANSWER_SECTIONS = ("input", "model")
"""Only their settings can change after the training."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One thing to compare.

    Attributes:
        name: As the file has it.
        config: The training, but for its seed and length.
        answering: What is changed in the trained model before it answers.
        trained_as: The first variant of the file with the same training.
    """

    name: str
    config: Config
    answering: Overrides
    trained_as: str

    def answering_config(self, trained: Config) -> Config:
        """Return the configuration that the model answers with."""
        return override(trained, self.answering, f"variant {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Study:
    """An ablation.

    Attributes:
        name: The file's name without its ending.
        question: What it is to find out.
        images: Images that each training sees; None is what the baseline's recipe says.
        seeds: Each variant is trained with each.
        split: What the models are scored on.
        variants: The first is the baseline.
        unequal: Why variants may see different numbers of images; None allows 5 %.
        needs: What trainings need besides: files, and the arguments of `digitspot` that make them.
    """

    name: str
    question: str
    images: int | None
    seeds: tuple[int, ...]
    split: str
    variants: tuple[Variant, ...]
    unequal: str | None
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def baseline(self) -> Variant:
        """What the others are compared with."""
        return self.variants[0]

    @property
    def answers_only(self) -> bool:
        """Whether the variants are the same training, used differently."""
        return len({repr(variant.config) for variant in self.variants}) == 1

    def only(self, names: Sequence[str]) -> Study:
        """Return the study of some variants; the first of them in the file is the baseline.

        Raises:
            ConfigError: There is none of a name, or fewer than two are left.
        """
        known = [variant.name for variant in self.variants]
        for name in names:
            if name not in known:
                raise ConfigError(f"{self.name} has no variant {name!r}", hint=f"It has: {'; '.join(known)}.")
        if len(set(names)) < 2:
            raise ConfigError(f"{self.name}: one variant is no comparison", hint="Name two or more.")
        return replace(self, variants=tuple(each for each in self.variants if each.name in names))


KEYS = ("question", "recipe", "images", "seeds", "split", "settings", "variants", "unequal", "needs")


def read_study(path: Path, images: int | None = None, seeds: Sequence[int] = ()) -> Study:
    """Read an ablation's file.

    Args:
        path: YAML with the keys of `KEYS`, or a name. Its recipe is a name or a path relative to it;
            `settings` are overrides for all variants, `variants` names with overrides, the baseline first.
        images: Instead of the file's.
        seeds: Instead of the file's, if any are given.

    Raises:
        ConfigError: The file, its recipe or a setting cannot be used.
    """
    path = find_recipe(path, "ablations")
    document = read_document(path, KEYS, needed=("question", "recipe", "variants"))
    if not isinstance(document["variants"], Mapping) or len(document["variants"]) < 2:
        raise ConfigError(f"{path}: variants must be a mapping of two names or more, the baseline first")
    recipe = read_recipe(document, path)
    variants: list[Variant] = []
    for name, values in document["variants"].items():
        variants.append(_variant(recipe, str(name), values or {}, variants, path))
    wanted = document.get("images") if images is None else images
    if wanted is not None and (type(wanted) is not int or wanted < 1):
        raise ConfigError(f"{path}: images is {wanted!r}, must be a whole number above 0")
    chosen = seeds or document.get("seeds") or (0, 1, 2)
    if not isinstance(chosen, Sequence) or isinstance(chosen, str):
        raise ConfigError(f"{path}: seeds is {chosen!r}, must be a list", hint="Such as [0, 1, 2].")
    if not all(type(seed) is int and seed >= 0 for seed in chosen) or len(set(chosen)) < len(chosen):
        raise ConfigError(f"{path}: seeds are {chosen}, must be different whole numbers")
    split, unequal = str(document.get("split", "test")), document.get("unequal")
    if split in ("train", "valid"):
        raise ConfigError(
            f"{path}: split is {split!r}, which models are trained or chosen on", hint="Score another one."
        )
    if unequal is not None and (not isinstance(unequal, str) or not unequal.strip()):
        raise ConfigError(f"{path}: unequal is {unequal!r}, must say why", hint="Or leave it out.")
    return Study(
        name=path.stem,
        question=str(document["question"]),
        images=wanted,
        seeds=tuple(chosen),
        split=split,
        variants=tuple(variants),
        unequal=unequal,
        needs=_needs(document.get("needs") or {}, path),
    )


def _needs(needs: Any, path: Path) -> dict[str, list[str]]:
    if not isinstance(needs, Mapping) or not all(isinstance(command, str) for command in needs.values()):
        raise ConfigError(
            f"{path}: needs is {needs!r}",
            hint="Files and what makes them, such as {made/train.json: data synth made --images 2000}.",
        )
    return {str(file): shlex.split(command) for file, command in needs.items()}


def _variant(recipe: Config, name: str, overrides: Any, before: Sequence[Variant], path: Path) -> Variant:
    where = f"{path}: variant {name!r}"
    if not isinstance(overrides, Mapping):
        raise ConfigError(
            f"{where} is {overrides!r}, expected settings", hint="Such as {model.min_score: 0.5}."
        )
    if not name or any(character in name for character in "/\\|\n") or name.startswith("."):
        raise ConfigError(f"{where}: a name is part of file names and tables")
    if name.lower() in (other.name.lower() for other in before):
        raise ConfigError(
            f"{where}: another has that name", hint="Capitals do not tell folders apart everywhere."
        )
    overrides = {str(key): value for key, value in overrides.items()}
    answering = {key.removeprefix(ANSWER): overrides[key] for key in overrides if key.startswith(ANSWER)}
    for key in answering:
        if key.partition(".")[0] not in ANSWER_SECTIONS:
            raise ConfigError(
                f"{where}: {ANSWER}{key} cannot change after the training",
                hint=f"Only settings of {' and '.join(ANSWER_SECTIONS)} can.",
            )
    training = {key: value for key, value in overrides.items() if not key.startswith(ANSWER)}
    config, _ = drop_unused(override(recipe, training, where), keep=training)
    check_config(config, named=training)
    if config.train.max_updates is not None or config.schedule.branch_epochs:
        raise ConfigError(f"{where}: trials and branches cannot be compared", hint="Leave them out.")
    check_config(override(config, answering, where))
    same = (other.name for other in before if other.config == config)
    return Variant(name=name, config=config, answering=answering, trained_as=next(same, name))
