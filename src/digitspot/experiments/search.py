"""The file of a search: a recipe, the settings to search, the length of a trial and the budget of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitspot.config import Config, check_config, drop_unused, find_recipe
from digitspot.errors import ConfigError
from digitspot.experiments.overrides import Overrides, override, read_document, read_recipe, setting

KEYS = ("recipe", "settings", "search", "images", "budget_images", "prune_after")
FIXED = {
    "train.epochs": "`images` says how long a trial is",
    "train.max_updates": "a trial without a validation has no score",
    "train.seed": "the best seed is luck",
    "train.select_by": "trials are compared by it",
    "train.validate_every_epochs": "trials are compared after as many validations",
    "data.merge_valid": "trials are compared on the same images",
    "data.untouched_fraction": "trials are compared on the same images",
    "schedule.branch_epochs": "a trial is one training",
}
"""Settings that cannot be searched, and why."""


@dataclass(frozen=True)
class Range:
    """Numbers to search.

    Attributes:
        low: The lowest.
        high: The highest.
        log: Whether to search by factors rather than by differences.
        step: Of the grid that begins at `low`; None takes any number between, or any whole number.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what the file says."""
        return {key: value for key, value in vars(self).items() if value not in (None, False)}

    def holds(self, value: Any) -> bool:
        """Return whether a value is among those that are searched."""
        if value is None or not self.low <= value <= self.high:
            return False
        return self.step is None or _whole((value - self.low) / self.step)


@dataclass(frozen=True)
class Choices:
    """Values to choose from, which may be lists.

    Attributes:
        values: As the configuration holds them.
    """

    values: tuple[Any, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what the file says."""
        return {"choices": json.loads(json.dumps(self.values))}

    def holds(self, value: Any) -> bool:
        """Return whether a value is among those that are searched."""
        return value in self.values


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A search and its budget.

    Attributes:
        name: The file's name without its ending.
        recipe: With the file's settings; the settings that are not searched keep these values.
        search: By the setting's dotted name.
        images: Images that a whole trial sees at most.
        budget: Images that all trials see at most.
        trials: Trials at most; None leaves that to the budget.
        prune_after: Validations before a trial can be ended early; 0 ends none.
    """

    name: str
    recipe: Config
    search: Mapping[str, Range | Choices]
    images: int
    budget: int
    trials: int | None
    prune_after: int

    @property
    def own(self) -> Overrides | None:
        """The recipe's own values of the settings that are searched; None if the search leaves them out."""
        values = {name: setting(self.recipe, name) for name in self.search}
        return values if all(self.search[name].holds(values[name]) for name in values) else None

    def configure(self, values: Overrides, epochs: int | None = None) -> Config:
        """Return a trial's configuration.

        Raises:
            ConfigError: These values cannot be trained with together.
        """
        length = {} if epochs is None else {"train.epochs": epochs}
        config, _ = drop_unused(override(self.recipe, {**values, **length}, self.name))
        check_config(config)
        return config


def read_tuning(
    path: Path, *, images: int | None = None, budget: int | None = None, trials: int | None = None
) -> Tuning:
    """Read a tuning's file.

    Args:
        path: YAML with the keys of `KEYS`, or a name; its recipe is a name or a path relative to it.
        images: Instead of the file's.
        budget: Instead of the file's `budget_images`.
        trials: The number of trials, instead of a budget in images.

    Raises:
        ConfigError: The file, its recipe or a setting cannot be used.
    """
    path = find_recipe(path, "tune")
    document = read_document(path, KEYS, needed=("recipe", "search", "images", "budget_images"))
    recipe = read_recipe(document, path)
    check_config(recipe)
    if recipe.train.max_updates is not None or (
        recipe.data.merge_valid and not recipe.data.untouched_fraction
    ):
        raise ConfigError(f"{path}: trials need validations, and these settings leave none")
    if recipe.train.select_by == "loss":
        raise ConfigError(
            f"{path}: train.select_by is loss, by which trials cannot be compared",
            hint="Add to the file: settings: {train.select_by: accuracy}.",
        )
    if not isinstance(document["search"], Mapping) or not document["search"]:
        raise ConfigError(
            f"{path}: search must be a mapping of settings",
            hint="Such as {optimizer.lr: {low: 0.0005, high: 0.01, log: true}}.",
        )
    whole = _number(path, "images", document["images"] if images is None else images)
    affordable = _number(path, "budget_images", document["budget_images"] if budget is None else budget)
    if trials is not None:
        affordable = whole * _number(path, "trials", trials)
    if affordable < whole:
        raise ConfigError(
            f"{path}: budget_images is {affordable}, and one trial alone may see {whole} (images)",
            hint="A search needs the budget of some ten whole trials.",
        )
    return Tuning(
        name=path.stem,
        recipe=recipe,
        search={
            str(name): _space(recipe, str(name), each, f"{path}: search of {name!r}")
            for name, each in document["search"].items()
        },
        images=whole,
        budget=affordable,
        trials=trials,
        prune_after=_number(path, "prune_after", document.get("prune_after", 1), lowest=0),
    )


def _number(path: Path, key: str, value: Any, lowest: int = 1) -> int:
    if type(value) is not int or value < lowest:
        raise ConfigError(f"{path}: {key} is {value!r}, must be a whole number from {lowest} on")
    return value


def _space(recipe: Config, name: str, what: Any, where: str) -> Range | Choices:
    if name in FIXED:
        raise ConfigError(f"{where}: it cannot be searched: {FIXED[name]}")
    if not isinstance(what, Mapping):
        what = {}
    keys = set(what)
    if keys == {"choices"} and isinstance(what["choices"], list):
        return _choices(recipe, name, what["choices"], where)
    if {"low", "high"} <= keys <= {"low", "high", "log", "step"}:
        return _range(recipe, name, what, where)
    raise ConfigError(
        f"{where} is {dict(what) or 'empty'}",
        hint="Write {low: 0.001, high: 0.1, log: true}, {low: 0, high: 1, step: 0.25} or {choices: [a, b]}.",
    )


def _choices(recipe: Config, name: str, choices: list[Any], where: str) -> Choices:
    values = tuple(_checked(recipe, name, each, where) for each in choices)
    if len(values) < 2 or any(value in values[:i] for i, value in enumerate(values)):
        raise ConfigError(f"{where}: choices are {choices}, must be two or more that differ")
    return Choices(values)


def _range(recipe: Config, name: str, what: Mapping[str, Any], where: str) -> Range:
    low, high = (_checked(recipe, name, what[key], where) for key in ("low", "high"))
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (low, high)):
        raise ConfigError(f"{where}: it is no number", hint="Give its values: {choices: [...]}.")
    log, step = what.get("log", False), what.get("step")
    if not isinstance(log, bool) or low >= high or (log and (low <= 0 or step is not None)):
        raise ConfigError(
            f"{where} is {dict(what)}",
            hint="low is below high; with log: true it is above 0, and there is no step.",
        )
    if step is not None:
        step = _step(step, low, high, where)
    return Range(low, high, log, step)


def _step(step: Any, low: float, high: float, where: str) -> float:
    wanted = int if isinstance(low, int) else (int, float)
    if isinstance(step, bool) or not isinstance(step, wanted) or step <= 0:
        raise ConfigError(f"{where}: step is {step!r}")
    if not _whole((high - low) / step):
        raise ConfigError(f"{where}: steps of {step} do not lead from {low} to {high}")
    return step


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6


def _checked(recipe: Config, name: str, value: Any, where: str) -> Any:
    """Return a value as the configuration holds it; alone, it must be one that can be trained with."""
    config, _ = drop_unused(override(recipe, {name: value}, where), keep={name})
    try:
        check_config(config)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", hint=error.hint) from error
    return setting(config, name)
