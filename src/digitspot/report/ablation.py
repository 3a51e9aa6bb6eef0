"""The section of an ablation: figures of each variant, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from digitspot.report.blocks import Chart, Section, Table, Text
from digitspot.report.svg import Span, span_chart


def ablation_section(document: Mapping[str, Any]) -> Section:
    """Return what `digitspot ablate` found, in its own tables."""
    section = Section("Comparison")
    variants = document["variants"]
    section.blocks.append(Text(document["question"]))
    section.blocks.append(_table(document["figures"], document["figures_note"]))
    differences, note = document["differences"], document["differences_note"]
    marks = [row[-1].split()[0] for row in differences["rows"]]
    caption = f"Less {document['baseline']}, in points. {note}"
    section.blocks.append(_table(differences, caption, marks))
    for figure, name in document["names"].items():
        spans = [
            _span(each["name"], each["less_baseline"][figure]["together"], i)
            for i, each in enumerate(variants)
            if each["less_baseline"]
        ]
        if spans:
            title = f"{name} less {document['baseline']}, in points"
            rows = [(s.name, f"{s.value:+.2f}", f"{s.low:+.2f}", f"{s.high:+.2f}") for s in spans]
            table = Table(("variant", "difference", "low", "high"), rows)
            drawn = span_chart(title, "points", spans, zero=True)
            section.blocks.append(Chart(title, drawn, (), table))
    section.blocks.extend(Text(note) for note in document["notes"])
    section.blocks.extend(Text(f"Failed: {failure}") for failure in document["failures"])
    return section


def _table(table: Mapping[str, Any], caption: str, marks: Sequence[str] = ()) -> Table:
    return Table(tuple(table["columns"]), [tuple(row) for row in table["rows"]], caption, marks)


def _span(name: str, interval: Mapping[str, float], colour: int) -> Span:
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return Span(name, value, low, high, colour)
