"""Recipes (YAML): settings read from them and written to them. Defaults < recipe < flags."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from digitspot.config.checks import default_of, unused_settings
from digitspot.config.settings import Config
from digitspot.errors import ConfigError

RECIPES = Path(__file__).parents[1] / "recipes"


def known_recipes(folder: str = "") -> list[str]:
    """Return the names of the recipes that come with digitspot, or of those in `ablations` or `tune`."""
    return [path.stem for path in sorted((RECIPES / folder).glob("*.yaml"))]


def find_recipe(path: Path, folder: str = "") -> Path:
    """Return the file that is meant: that of a name in `known_recipes(folder)`, or else the path itself."""
    named = not path.is_file() and str(path) in known_recipes(folder)
    return RECIPES / folder / f"{path}.yaml" if named else path


def load_recipe(path: Path) -> Config:
    """Read a recipe, a file or a name; what it does not say has its default.

    Raises:
        ConfigError: The file is missing or not YAML, a key is unknown, a value has a wrong type.
    """
    path = find_recipe(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        names = f"Recipes with a name: {', '.join(known_recipes())}."
        raise ConfigError(f"cannot read recipe {path}: {error.strerror}", hint=names) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text: {error}") from error
    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        raise not_yaml(path, error) from error
    return config_from_dict({} if values is None else values, where=str(path))


def load_yaml(text: str) -> Any:
    """Return the values of a YAML document.

    Raises:
        yaml.YAMLError: It is not YAML, or a key stands twice in a mapping.
    """
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """YAML's own, but a key may stand only once in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node.

        Raises:
            yaml.constructor.ConstructorError: A key stands twice.
        """
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key!r} stands twice", problem_mark=node.value[i][0].start_mark
                )
        return super().construct_mapping(node, deep)


def not_yaml(path: Path, error: yaml.YAMLError) -> ConfigError:
    """Return an error that says in one line what is wrong with a YAML file, and where."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    what = (
        error.problem if isinstance(error, yaml.MarkedYAMLError) else "it holds characters that YAML has not"
    )
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return ConfigError(f"{path} is not YAML: {what}{where}")


def config_from_dict(values: Mapping[str, Any], where: str = "configuration") -> Config:
    """Build a configuration from nested mappings, checking keys and types."""
    return typing.cast(Config, _build(Config, values, where))


def config_to_dict(config: Config) -> dict[str, Any]:
    """Return nested plain values that YAML, JSON and `config_from_dict` take."""
    return typing.cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def config_to_yaml(config: Config) -> str:
    """Return the settings that have an effect as a recipe; the others have their defaults."""
    values = config_to_dict(config)
    for name in unused_settings(config):
        section, _, key = name.partition(".")
        if values[section][key] == _plain(default_of(name)):
            del values[section][key]
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None)


def settings_named_in(path: Path) -> frozenset[str]:
    """Return the dotted names of the settings that a readable recipe gives."""
    values = yaml.safe_load(find_recipe(path).read_text(encoding="utf-8")) or {}
    return frozenset(f"{section}.{key}" for section, keys in values.items() for key in keys or {})


def settings_named_by(flags: Sequence[str]) -> frozenset[str]:
    """Return the dotted names of the settings that command-line flags give.

    >>> sorted(settings_named_by(["recipe.yaml", "--train.batch-size", "4", "--data.no-hold-out"]))
    ['data.hold_out', 'train.batch_size']
    """
    names = {flag[2:].partition("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")}
    return frozenset(name.replace(".no_", ".") for name in names if "." in name)


def nearest_setting(name: str) -> str | None:
    """Return the dotted name of the setting that is meant: the same key in another section, or a like one.

    >>> nearest_setting("train.lr"), nearest_setting("train.epcohs"), nearest_setting("x.y")
    ('optimizer.lr', 'train.epochs', None)
    """
    known = [f"{section}.{key}" for section, keys in config_to_dict(Config()).items() for key in keys]
    same = [each for each in known if each.partition(".")[2] == name.partition(".")[2]]
    return next(iter(same or difflib.get_close_matches(name, known, n=1)), None)


def check_named(names: Iterable[str]) -> None:
    """Refuse dotted names that are no settings.

    Raises:
        ConfigError: One is none; the nearest is named.
    """
    for name in sorted(names):
        near = nearest_setting(name)
        if near != name:
            hint = f"Did you mean {as_flag(near)}?" if near else "`digitspot train --help-all` lists all."
            raise ConfigError(f"no setting {as_flag(name)}", hint=hint)


def as_flag(name: str) -> str:
    """Return the flag of a setting.

    >>> as_flag("train.batch_size")
    '--train.batch-size'
    """
    return f"--{name.replace('_', '-')}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _build(cls: type, values: Any, where: str) -> Any:
    """Fill a dataclass from a mapping."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected keys and values, not {values!r}")
    hints = typing.get_type_hints(cls)
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"{where}: unknown key {key!r}", hint=_nearest(str(key), list(hints), where))
        arguments[key] = _convert(hints[key], value, f"{where}: {key}")
    return cls(**arguments)


def _nearest(key: str, known: list[str], where: str) -> str:
    if near := difflib.get_close_matches(key, known, n=1, cutoff=0.5):
        return f"Did you mean {near[0]!r}?"
    other = nearest_setting(f"{where.rpartition(': ')[2]}.{key}")
    is_same = other is not None and other.partition(".")[2] == key
    return f"Did you mean {other}?" if is_same else f"Known keys: {', '.join(known)}."


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Turn a YAML value into what the annotation says, or raise."""
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, where)
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if value is None and type(None) in options:
            return None
        return _convert(next(option for option in options if option is not type(None)), value, where)
    if origin is Literal:
        if value not in options:
            raise ConfigError(f"{where} is {value!r}", hint=f"One of: {', '.join(map(str, options))}.")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(options[0], item, where) for item in value)
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
        try:
            return float(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(hint, type) or not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} is {value!r}, expected {getattr(hint, '__name__', hint)}")
    return value
