"""The section of an ablation: figures of each variant, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from digitspot.evaluation.comparison import Trainings
from digitspot.report.blocks import Chart, Section, Table, Text
from digitspot.report.svg import Span, span_chart

NAMES = {"mean_ap": "mAP", "accuracy": "numbers right"}


def ablation_section(document: Mapping[str, Any]) -> Section:
    """Return what `digitspot ablate` found."""
    section = Section("Comparison")
    variants = document["variants"]
    section.blocks.append(Text(document["question"]))
    section.blocks.append(_figures(document))
    section.blocks.append(_differences(document))
    for figure, name in NAMES.items():
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
    if document.get("unequal"):
        section.blocks.append(Text(f"Variants may see different numbers of images: {document['unequal']}"))
    section.blocks.extend(Text(f"Failed: {failure}") for failure in document["failures"])
    return section


def _figures(document: Mapping[str, Any]) -> Table:
    rows = []
    for each in document["variants"]:
        seeds = list(each["seeds"].values())
        rows.append(
            (
                each["name"],
                ", ".join(each["seeds"]),
                *(_score([seed[figure] for seed in seeds]) for figure in NAMES),
                _mean([seed["images_seen"] for seed in seeds], 1),
                _mean([seed["seconds"] for seed in seeds], 60, ".1f"),
                _mean([seed["peak_bytes"] for seed in seeds], 2**20),
            )
        )
    columns = ("variant", "seeds", *NAMES.values(), "images seen", "minutes", "peak MiB")
    caption = f"Scored on {document['split']}; 95 % intervals over seeds in brackets."
    return Table(columns, rows, caption)


def _differences(document: Mapping[str, Any]) -> Table:
    rows, marks = [], []
    for each in document["variants"]:
        for figure, found in each["less_baseline"].items():
            parts = [found[key] for key in ("over_seeds", "over_images", "together")]
            value = f"{100 * found['together']['value']:+.2f}"
            rows.append((each["name"], NAMES[figure], value, *map(_points, parts), found["verdict"]))
            marks.append(found["verdict"].split()[0])
    columns = ("variant", "figure", "difference", "over seeds", "over pictures", "over both", "verdict")
    caption = (
        f"Less {document['baseline']}, in points. The interval over both decides; its level is shared among "
        f"{len(document['variants']) - 1} comparisons of a figure."
    )
    return Table(columns, rows, caption, marks)


def _span(name: str, interval: Mapping[str, float], colour: int) -> Span:
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return Span(name, value, low, high, colour)


def _points(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "one seed"
    return f"[{100 * interval['low']:+.2f}, {100 * interval['high']:+.2f}]"


def _score(values: list[float]) -> str:
    interval = Trainings(values=np.array(values), samples=np.zeros((len(values), 1))).over_seeds()
    return f"{np.mean(values):.4f}" if interval is None else str(interval)


def _mean(values: list[float | None], unit: float, form: str = ",.0f") -> str:
    known = [value / unit for value in values if value is not None]
    return format(float(np.mean(known)), form) if known else "-"
