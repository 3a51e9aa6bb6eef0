"""The help of every command fits a screen, and its examples run."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest

from digitspot import demo
from digitspot.cli import COMMANDS, run
from digitspot.commands.data import ABOUT
from test_readme import COMMANDS as SHOWN
from test_readme import folder, run_small  # noqa: F401 - a fixture

WIDTH, MAX_LINES = 80, 50
ALL = ["", *COMMANDS, *(f"data {name}" for name in ABOUT)]


def help_of(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> str:
    with suppress(SystemExit):
        run([*command.split(), flag])
    return capsys.readouterr().out


def examples_in(text: str) -> list[str]:
    return re.findall("^  (digitspot .*)", text, re.MULTILINE)


@pytest.mark.parametrize("command", ALL)
def test_help_fits_a_screen(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    text = help_of(command, "--help", capsys)
    assert len(text.splitlines()) <= MAX_LINES
    assert max(map(len, text.splitlines())) <= WIDTH
    examples = examples_in(text)
    assert examples[0].startswith(f"digitspot {command}")


def test_examples_in_help_run(
    folder: Path,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, small in (("NUM_TRAIN", 8), ("NUM_VALID", 4), ("NUM_TEST", 4)):
        monkeypatch.setattr(demo, name, small)
    texts = [help_of(command, "--help", capsys) for command in ALL]
    for example in sorted({example for text in texts for example in examples_in(text)} - set(SHOWN)):
        assert run_small(example) == 0, f"{example}: {capsys.readouterr().err}"


@pytest.mark.parametrize("command", ["read", "predict", "watch", "train"])
def test_all_options_are_explained_on_request(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    short, whole = (help_of(command, flag, capsys) for flag in ("--help", "--help-all"))
    assert f"`digitspot {command} --help-all`" in short
    named = re.findall(r"(--[a-z-]+)(?:\.\*)?", short.partition("╯\n╭")[2].rpartition("╯")[2])
    assert len(named) > 6
    assert all(re.search(rf"│ {name}\b", whole) for name in named if name != "--help-all")
