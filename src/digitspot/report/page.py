"""A report as one HTML page without any request, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import digitspot
from digitspot.files import printable
from digitspot.plots import to_svg
from digitspot.report.blocks import Block, Chart, Code, Gallery, Section, Table, Text

MARKER = "<!-- Written by digitspot report, which replaces it. -->"
"""The first line of its Markdown."""


def to_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the page. Every name and text from a file is escaped and printable."""
    environment = Environment(
        loader=PackageLoader("digitspot.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["drawing"] = _drawing
    environment.filters["lines"] = _printable_lines
    page = files("digitspot.report") / "page"
    return environment.get_template("report.html").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        style=Markup((page / "report.css").read_text(encoding="utf-8")),
        script=Markup((page / "report.js").read_text(encoding="utf-8")),
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
        version=digitspot.__version__,
    )


def _drawing(chart: Chart, prefix: str) -> Markup:
    return Markup(to_svg(chart.figure, printable(chart.caption), prefix))


def _printable_lines(text: str) -> Markup:
    return Markup("\n").join(printable(line) for line in text.splitlines())


def to_markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the same in Markdown, with tables of values instead of plots."""
    parts = [MARKER, f"# {_plain(title)}", _plain(subtitle)]
    for section in sections:
        parts.append(f"## {_plain(section.title)}")
        for block in section.blocks:
            parts += _markdown(block)
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case Text(text):
            yield _plain(text)
        case Code(text, caption):
            yield f"{_plain(caption)}:"
            yield _fenced(text)
        case Table():
            yield from _table(block)
        case Chart():
            yield f"### {_plain(block.caption)}"
            if block.note:
                yield _plain(block.note)
            yield from _table(block.values)
        case Gallery(title, cards, total):
            columns = ("image", "true", "read", "")
            rows = [(card.title, card.true, card.read, f"{card.note}, {card.detail}") for card in cards]
            yield from _table(Table(columns, rows, f"{title}: {total}"))


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield _plain(table.caption)
    head, *rows = [[_plain(cell) for cell in row] for row in (table.columns, *table.rows)]
    yield "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def _plain(text: str) -> str:
    r"""Return a text that Markdown shows as it is.

    >>> print(_plain("a|b *c* <i> [d](e) nano_1"))
    a\|b \*c\* \<i> [d\](e) nano\_1
    """
    return re.sub(r"[\\`*_<|~&]|\](?=[(\[:])|^#", lambda each: f"\\{each[0]}", printable(text))


def _fenced(text: str) -> str:
    """Return code in a fence that it cannot end."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return "\n".join([fence, *map(printable, text.rstrip().splitlines()), fence])
