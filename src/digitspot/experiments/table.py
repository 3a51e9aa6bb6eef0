"""What an ablation found: figures of each variant, and how it differs from the baseline."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from digitspot.evaluation.comparison import Comparison, Trainings, compare
from digitspot.evaluation.intervals import LEVEL, Interval
from digitspot.experiments.ablate import Results
from digitspot.experiments.ablation import Study
from digitspot.experiments.scoring import Result

Figure = Literal["mean_ap", "accuracy"]
FIGURES: Mapping[Figure, str] = {"mean_ap": "mAP", "accuracy": "accuracy"}
COLUMNS = ("variant", "seeds", "mAP", "accuracy", "images seen", "minutes", "img/s", "peak MiB")
DIFFERENCES = ("variant", "figure", "difference", "over seeds", "over images", "over both", "verdict")
IN_A_TERMINAL = frozenset(COLUMNS + DIFFERENCES) - {"seeds", "img/s", "over seeds", "over images"}
"""What 80 characters have room for; intervals of scores are left out, too."""


@dataclass(frozen=True)
class Row:
    """A variant.

    Attributes:
        name: Of the variant.
        trained_as: The variant whose training it uses.
        results: By the seed's name.
        comparisons: With the baseline, by figure; none for the baseline.
    """

    name: str
    trained_as: str
    results: Mapping[str, Result]
    comparisons: Mapping[Figure, Comparison]

    def trainings(self, figure: Figure) -> Trainings:
        """Return a figure of all seeds."""
        return _trainings(self.results, figure)

    def cells(self) -> tuple[str, ...]:
        """Return what `COLUMNS` name; costs are means over the seeds."""
        scores = [_with_interval(self.trainings(figure)) for figure in FIGURES]
        each = list(self.results.values())
        images, seconds, peak = (
            _mean([getattr(result, name) for result in each])
            for name in ("images_seen", "seconds", "peak_bytes")
        )
        pace = "-" if not images or not seconds else f"{images / seconds:.1f}"
        return (
            self.name,
            ", ".join(self.results),
            *scores,
            "-" if images is None else f"{images:,.0f}",
            "-" if seconds is None else f"{seconds / 60:.1f}",
            pace,
            "-" if peak is None else f"{peak / 2**20:,.0f}",
        )

    def difference_cells(self) -> list[tuple[str, ...]]:
        """Return what `DIFFERENCES` name, a row for each figure, in points."""
        return [
            (
                self.name,
                FIGURES[figure],
                f"{100 * each.together.value:+.2f}",
                _points(each.over_seeds),
                _points(each.over_images),
                _points(each.together),
                each.verdict,
            )
            for figure, each in self.comparisons.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file, but for the resamples."""
        names = ("mean_ap", "accuracy", "images_seen", "seconds", "peak_bytes")
        return {
            "name": self.name,
            "trained_as": self.trained_as,
            "seeds": {
                seed: {name: getattr(result, name) for name in names} for seed, result in self.results.items()
            },
            "less_baseline": {figure: each.to_dict() for figure, each in self.comparisons.items()},
        }


def summarise(study: Study, results: Results) -> list[Row]:
    """Compare each variant with the baseline; the seeds of a pair are those that both have results of."""
    by_name: dict[str, dict[str, Result]] = {variant.name: {} for variant in study.variants}
    for (name, seed), result in results.items():
        by_name[name][seed] = result
    baseline = by_name[study.baseline.name]
    num = len(study.variants) - 1
    rows = []
    for variant in study.variants:
        own = by_name[variant.name]
        if not own:
            continue
        comparisons: dict[Figure, Comparison] = {}
        if baseline and variant is not study.baseline:
            same = variant.trained_as == study.baseline.trained_as
            both = [seed for seed in own if seed in baseline] if same else None
            if both != []:
                comparisons = {
                    figure: compare(
                        _trainings(own, figure, both),
                        _trainings(baseline, figure, both),
                        paired=same,
                        num_comparisons=num,
                    )
                    for figure in FIGURES
                }
        rows.append(Row(variant.name, variant.trained_as, own, comparisons))
    return rows


def to_markdown(document: Mapping[str, Any]) -> str:
    """Return the tables of `to_dict` with what they mean."""
    parts = [
        f"# {document['name']}\n\n{document['question']}",
        _table(**document["figures"]),
        document["figures_note"],
        f"## Less {document['baseline']!r}, in points",
        _table(**document["differences"]),
        document["differences_note"],
        *document["notes"],
        *[f"Failed: {failure}" for failure in document["failures"]],
        f"```sh\n{shlex.join(document['command'])}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def for_terminal(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return one of the tables of `to_dict` without what a terminal has no room for."""
    shown = [i for i, column in enumerate(table["columns"]) if column in IN_A_TERMINAL]
    rows = [
        [row[i].partition(" [")[0] if table["columns"][i] in FIGURES.values() else row[i] for i in shown]
        for row in table["rows"]
    ]
    return {"columns": [table["columns"][i] for i in shown], "rows": rows}


def to_dict(
    study: Study, rows: Sequence[Row], failures: Sequence[str], command: Sequence[str]
) -> dict[str, Any]:
    """Return the ablation for a JSON file: all figures, the tables as people read them, what made them."""
    differences = [cells for row in rows for cells in row.difference_cells()]
    return {
        "name": study.name,
        "question": study.question,
        "split": study.split,
        "baseline": study.baseline.name,
        "command": list(command),
        "figures": {"columns": COLUMNS, "rows": [row.cells() for row in rows]},
        "figures_note": f"Scored on {study.split}; in brackets, {LEVEL:.0%} intervals over seeds "
        "(Student's t).",
        "differences": {"columns": DIFFERENCES, "rows": differences},
        "differences_note": f"{LEVEL:.0%} intervals: over seeds, other trainings and these images; over "
        "images, these trainings and other images (paired bootstrap). The interval over both decides, "
        f"its level divided among {len(study.variants) - 1} comparisons of a figure (Bonferroni).",
        "notes": [f"Variants may see different numbers of images: {study.unequal}"] if study.unequal else [],
        "names": FIGURES,
        "variants": [row.to_dict() for row in rows],
        "failures": list(failures),
    }


def _trainings(
    results: Mapping[str, Result], figure: Figure, seeds: Sequence[str] | None = None
) -> Trainings:
    chosen = [results[seed] for seed in (results if seeds is None else seeds)]
    samples = "ap_samples" if figure == "mean_ap" else "accuracy_samples"
    return Trainings(
        values=np.array([getattr(each, figure) for each in chosen]),
        samples=np.stack([getattr(each, samples) for each in chosen]),
    )


def _with_interval(trainings: Trainings) -> str:
    interval = trainings.over_seeds()
    if interval is None:
        return f"{trainings.values.mean():.4f}"
    return str(interval)


def _points(interval: Interval | None) -> str:
    return "one seed" if interval is None else f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
