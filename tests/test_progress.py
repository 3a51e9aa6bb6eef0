"""Progress: a bar or a spinner on a terminal, whole lines or nothing elsewhere, and never on stdout."""

from __future__ import annotations

import io
import sys

import pytest

from digitspot import progress
from digitspot.progress import tracking, working


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work() -> None:
    with tracking("reading") as show:
        show(1, 2)
        show(2, 2, "loss 0.1")
    with working("scoring"):
        pass


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    work()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    work()
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[:2] for line in err.splitlines()] == [["reading:", "1/2"], ["reading:", "2/2"]]
    assert "\r" not in err
    assert "\x1b" not in err


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    work()
    assert "2/2" in terminal.getvalue()
    assert "loss 0.1" in terminal.getvalue()
    assert "scoring" in terminal.getvalue()
    assert capsys.readouterr().out == ""
