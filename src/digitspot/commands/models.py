"""`digitspot models`: which models can be used by their name."""

from __future__ import annotations

from dataclasses import dataclass

from digitspot.commands.options import parse, print_table
from digitspot.errors import ConfigError
from digitspot.models import DEFAULT, add_model, known_models
from digitspot.progress import tracking


@dataclass(frozen=True, kw_only=True)
class ModelsOptions:
    """List the models that `read`, `predict` and `Reader.load` take by name, or add one.

    digitspot models
    digitspot models --add meters.onnx --sha256 CHECKSUM
    """

    add: str | None = None
    """An exported model to add: a file, a folder that holds it, or an http(s) address."""
    sha256: str | None = None
    """Its checksum, 64 hexadecimal digits."""
    name: str | None = None
    """The name to load it by; none is that of the file."""


def run(arguments: list[str]) -> None:
    """List or add models."""
    options = parse(ModelsOptions, "models", arguments)
    if (options.add is None) != (options.sha256 is None):
        raise ConfigError(
            "--add and --sha256 are given together or not at all", hint="`sha256sum FILE` prints a checksum."
        )
    if options.add is None or options.sha256 is None:
        if options.name is not None:
            raise ConfigError(f"--name {options.name} without --add")
        _list()
        return
    with tracking("downloading", "B") as show:
        added = add_model(options.add, options.sha256, options.name, show)
    print(added.name)


def _list() -> None:
    rows = []
    for each in known_models():
        size = f"{each.path.stat().st_size / 1e6:.1f} MB"
        rows.append((each.name, size, each.about, each.scores, each.terms))
    print_table(
        f"models by name; {DEFAULT} is the default", ("name", "size", "reads", "scores", "terms"), rows
    )
