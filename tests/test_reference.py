"""docs/reference/ is what the code says."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

import digitspot
from digitspot.cli import COMMANDS, run

DOCS = Path(__file__).parents[1] / "docs"
MADE = runpy.run_path(str(DOCS / "make_reference.py"))


def test_the_reference_is_made_from_this_code() -> None:
    pages = MADE["pages"]()
    for name, made in pages.items():
        written = (DOCS / "reference" / name).read_text(encoding="utf-8")
        assert written == made, "run: python docs/make_reference.py"
    assert pages["settings.md"].count("\n:   ") > 70, "every setting has a line"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_the_help_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    page = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    for words in [[name, below] for below in MADE["subcommands"](name)] or [[name]]:
        said = io.StringIO()
        for flag in ("--help", "--help-all"):
            with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
                run([*words, flag])
        options = set(re.findall(r"^. (--\w[\w-]*)(?![\w.-])", said.getvalue(), re.MULTILINE))
        assert options or "positional" in said.getvalue()
        _, _, section = page.partition(f"# digitspot {' '.join(words)}\n")
        section = re.split(r"^#+ digitspot ", section, maxsplit=1, flags=re.MULTILINE)[0]
        shown = set(re.findall(r"^`(--[\w-]+)", section, re.MULTILINE))
        assert shown == options


def test_every_public_name_is_on_the_page_of_python() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    shown = {each.rpartition(".")[2] for each in re.findall(r"^::: (\S+)", page, re.MULTILINE)}
    assert set(digitspot.__all__) <= shown
