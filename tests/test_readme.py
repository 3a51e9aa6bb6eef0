"""What the README shows is there, and its commands parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from digitspot.cli import COMMANDS, run
from digitspot.config import check_config, load_recipe, settings_named_in

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
COMMAND_LINES = re.findall(r"^(digitspot .+?)(?:\s+#.*)?$", SHELL, re.MULTILINE)


def test_it_shows_commands() -> None:
    assert len(COMMAND_LINES) >= 5


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_parse(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each flag that a line uses is in the command's own help."""
    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS
    name, rest = (words[:2], words[2:]) if words[0] == "data" else (words[:1], words[1:])

    with pytest.raises(SystemExit) as ended:
        run([*name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in rest if flag.startswith("--"))
    assert all((ROOT / word).is_file() for word in rest if word.startswith("recipes/"))


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_can_be_trained_and_say_what_they_reach(path: Path) -> None:
    check_config(load_recipe(path), settings_named_in(path))
    comment = path.read_text(encoding="utf-8").split("\n\n")[0].split("\ninput:")[0].split("\ndata:")[0]
    assert re.search(r"0\.\d+ mAP", comment)
    assert "accuracy" in comment
    assert f"recipes/{path.name}" in README
