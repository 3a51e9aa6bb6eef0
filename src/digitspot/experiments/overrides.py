"""Settings of a recipe changed by dotted name, and the YAML files that hold them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from digitspot.config import (
    Config,
    config_from_dict,
    config_to_dict,
    known_recipes,
    load_recipe,
    load_yaml,
    nearest_setting,
    not_yaml,
)
from digitspot.errors import ConfigError

Overrides = Mapping[str, Any]
"""Settings by dotted name, such as `model.dropout`."""


def override(config: Config, overrides: Overrides, where: str) -> Config:
    """Change settings by dotted name.

    Raises:
        ConfigError: There is no such setting, or the value has a wrong type.
    """
    values = config_to_dict(config)
    for name, value in overrides.items():
        section, _, key = str(name).partition(".")
        if section not in values or key not in values[section]:
            near = nearest_setting(str(name))
            hint = f"Did you mean {near!r}?" if near else "Settings are written as model.min_score."
            raise ConfigError(f"{where}: unknown setting {name!r}", hint=hint)
        values[section][key] = value
    return config_from_dict(values, where)


def setting(config: Config, name: str) -> Any:
    """Return the value of a setting by its dotted name."""
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)


def differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, by dotted name, with both values."""
    first, second = asdict(one), asdict(other)
    return {
        f"{section}.{key}": (value, second[section][key])
        for section, values in first.items()
        for key, value in values.items()
        if value != second[section][key]
    }


def read_document(path: Path, keys: Sequence[str], needed: Sequence[str]) -> Mapping[str, Any]:
    """Read a file of keys and values.

    Args:
        path: YAML.
        keys: All that it may have.
        needed: Those that it must have.

    Raises:
        ConfigError: It cannot be read, a key is unknown or missing.
    """
    try:
        document = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text: {error}") from error
    except yaml.YAMLError as error:
        raise not_yaml(path, error) from error
    if not isinstance(document, Mapping):
        raise ConfigError(f"{path}: expected keys and values", hint=f"Keys: {', '.join(keys)}.")
    for key in document:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Keys: {', '.join(keys)}."
            raise ConfigError(f"{path}: unknown key {key!r}", hint=hint)
    for key in needed:
        if key not in document:
            raise ConfigError(f"{path} has no {key!r}")
    return document


def read_recipe(document: Mapping[str, Any], path: Path) -> Config:
    """Return a document's `recipe`, a name or a path relative to it, changed by its `settings`, one training.

    Raises:
        ConfigError: The recipe or a setting cannot be used.
    """
    base = Path(str(document["recipe"]))
    recipe = load_recipe(base if str(base) in known_recipes() else path.parent / base)
    recipe = replace(recipe, schedule=replace(recipe.schedule, branch_epochs=()))
    settings = document.get("settings") or {}
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{path}: settings is {settings!r}", hint="Such as {model.min_score: 0.5}.")
    return override(recipe, settings, f"{path}: settings")
