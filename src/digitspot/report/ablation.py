"""The section of an ablation: figures of each variant, and which differences are larger than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from digitspot.plots import Span, span_plot
from digitspot.report.blocks import Chart, Section, Table, Text


def ablation_section(document: Mapping[str, Any]) -> Section:
    """Return what `digitspot ablate` found, in its own tables."""
    differences = document["differences"]
    marks = [row[-1].split()[0] for row in differences["rows"]]
    note = f"Less {document['baseline']}, in points. {document['differences_note']}"
    charts = [_chart(document, figure, name) for figure, name in document["names"].items()]
    return Section(
        "Comparison",
        [
            Text(document["question"]),
            _table(document["figures"], document["figures_note"]),
            _table(differences, note, marks),
            *(chart for chart in charts if chart is not None),
            *(Text(each) for each in document["notes"]),
            *(Text(f"Failed: {failure}") for failure in document["failures"]),
        ],
    )


def _chart(document: Mapping[str, Any], figure: str, name: str) -> Chart | None:
    """Draw how each variant differs from the baseline in a figure."""
    spans = [
        _span(each["name"], each["less_baseline"][figure]["together"], index)
        for index, each in enumerate(document["variants"])
        if each["less_baseline"]
    ]
    if not spans:
        return None
    rows = [(each.name, f"{each.value:+.2f}", f"{each.low:+.2f}", f"{each.high:+.2f}") for each in spans]
    values = Table(("variant", "difference", "low", "high"), rows)
    title = f"{name} less {document['baseline']}, in points"
    return Chart(title, span_plot("points", spans, zero=True), values)


def _table(table: Mapping[str, Any], caption: str, marks: Sequence[str] = ()) -> Table:
    return Table(tuple(table["columns"]), [tuple(row) for row in table["rows"]], caption, marks)


def _span(name: str, interval: Mapping[str, float], index: int) -> Span:
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return Span(name, value, low, high, index)
