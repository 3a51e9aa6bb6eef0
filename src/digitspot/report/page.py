"""A report as one HTML page without any request, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import digitspot
from digitspot.report.blocks import Block, Cells, Chart, Code, Gallery, Section, Table, Text

MARKER = "<!-- Written by digitspot report, which replaces it. -->"
"""The first line of its Markdown."""


def to_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the page; whatever a name or a file says is escaped, but for our own drawings."""
    environment = Environment(
        loader=PackageLoader("digitspot.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup  # made by `report.svg`, which escapes names itself
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


def to_markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the same in Markdown, drawings as tables of their values."""
    parts = [MARKER, f"# {title}", subtitle]
    for section in sections:
        parts.append(f"## {section.title}")
        for block in section.blocks:
            parts += _markdown(block)
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case Text(text):
            yield text
        case Code(text, caption):
            yield f"{caption}:"
            yield f"```\n{text.rstrip()}\n```"
        case Table():
            yield from _table(block)
        case Chart(caption, _, _, points, note):
            yield f"### {caption}"
            if note:
                yield note
            if points is not None:
                yield from _table(points)
        case Gallery(title, cards, total):
            columns = ("image", "true", "read", "")
            rows = [(card.title, card.true, card.read, f"{card.note}, {card.detail}") for card in cards]
            yield from _table(Table(columns, rows, f"{title}: {total}"))


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield table.caption
    lines: list[Cells] = [table.columns, ("---",) * len(table.columns), *table.rows]
    yield "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
