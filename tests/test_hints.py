"""What messages and docstrings tell to run is there."""

import re
from pathlib import Path

import pytest

from digitspot.cli import COMMANDS

PACKAGE = Path(__file__).parents[1] / "src" / "digitspot"
DATA_COMMANDS = {"synth", "convert", "check", "stats", "preview", "pack", "cache"}
NAMED = sorted(
    {
        found
        for path in PACKAGE.rglob("*.py")
        for found in re.findall(r"`digitspot ([a-z]+(?: [a-z]+)?)", path.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize("named", NAMED)
def test_named_commands_exist(named: str) -> None:
    command, _, rest = named.partition(" ")
    assert command in COMMANDS
    assert command != "data" or rest in DATA_COMMANDS | {""}
