"""The sections of answers: what was reached, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from digitspot.evaluation.breakdown import digit_confusion, digit_heights, group, groups_by, precision_recall
from digitspot.evaluation.coco_metrics import UNDEFINED
from digitspot.evaluation.comparison import compare
from digitspot.evaluation.intervals import Interval
from digitspot.report.blocks import Chart, Section, Table, Text
from digitspot.report.charts import chart, thinned
from digitspot.report.crops import mistake_galleries
from digitspot.report.sources import Answers, Source, Subject
from digitspot.report.svg import Axis, Line, axis_for, heatmap, named_axis
from digitspot.types import NUM_DIGITS

HEIGHT_EDGES = (10, 14, 20, 28, 40, 56)
"""Pixels; SVHN's test digits are 15 to 54 high (5 to 95 %)."""
PR_IOUS = (0.5, 0.75)
Scored = tuple[int, Source, Answers]
"""A source with its number, which is its colour's, and its answers."""


def scored_of(subject: Subject) -> list[Scored]:
    """Return the sources that have answers."""
    return [(i, each, each.answers) for i, each in enumerate(subject.sources) if each.answers is not None]


def score_section(scored: Sequence[Scored], num_resamples: int, of_ablation: bool = False) -> Section:
    """Return the figures of all side by side, and how they differ from the first.

    An ablation's differences are those over all its seeds, not over the one that is shown here.
    """
    section = Section("Scores")
    names = tuple(source.name for _, source, _ in scored)
    figures = [_figures(answers) for _, _, answers in scored]
    rows = [(name, *(each[name] for each in figures)) for name in figures[0]]
    images = len(scored[0][2].labels)
    which = ", the first seed of each variant" if of_ablation else ""
    caption = f"On {images:,} images{which}; 95 % intervals over images in brackets."
    section.blocks.append(Table(("figure", *names), rows, caption))
    if len(scored) > 1 and not of_ablation:
        section.blocks.append(_difference_table(scored, num_resamples))
    return section


def _figures(answers: Answers) -> dict[str, str]:
    scores = answers.scores
    boxes, numbers = scores.boxes.figures, scores.numbers
    intervals = scores.intervals
    rows = {
        "mAP": _shown(boxes["AP"], None if intervals is None else intervals.mean_ap),
        "AP at overlap 0.5": _shown(boxes["AP50"]),
        "AP at overlap 0.75": _shown(boxes["AP75"]),
        "numbers right": _shown(numbers.accuracy, None if intervals is None else intervals.accuracy),
        "digit error rate": "-" if numbers.digit_error_rate is None else f"{numbers.digit_error_rate:.4f}",
    }
    if scores.reliability is not None:
        for target, each in scores.reliability.coverage.items():
            rows[f"answered at {target:.0%} right"] = _shown(each.value, each)
        error = scores.reliability
        rows["calibration error"] = f"{error.calibration_error:.4f}"
    for kind, group_ in scores.mistakes.items():
        rows[kind] = f"{len(group_)} ({len(group_) / numbers.num_images:.1%})"
    return rows


def _shown(value: float, interval: Interval | None = None) -> str:
    if value == UNDEFINED:
        return "-"
    return f"{value:.4f}" + (f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else "")


def _difference_table(scored: Sequence[Scored], num_resamples: int) -> Table:
    """Compare each with the first on the same draws of images."""
    _, first, base = scored[0]
    rows, marks = [], []
    for figure, name in (("AP", "mAP"), ("accuracy", "numbers right")):
        if figure == "AP" and base.scores.boxes.mean_ap == UNDEFINED:
            continue
        baseline = base.resampled(figure, num_resamples)
        for _, source, answers in scored[1:]:
            found = compare(
                answers.resampled(figure, num_resamples), baseline, num_comparisons=len(scored) - 1
            )
            interval, verdict = found.together, found.verdict.split(" by ")[0]
            shown = f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
            rows.append((source.name, name, f"{100 * interval.value:+.2f}", shown, verdict))
            marks.append(verdict.split()[0])
    caption = (
        f"Less {first.name}, in points. Paired bootstrap over images: it is about these models; other "
        "seeds of the same training may differ by more."
    )
    return Table(("", "figure", "difference", "over images", "verdict"), rows, caption, marks)


def box_section(scored: Sequence[Scored]) -> Section:
    """Return precision and recall, AP of each digit, and which digit is taken for which."""
    section = Section("Boxes")
    lines = []
    for colour, source, answers in scored:
        for min_iou in PR_IOUS:
            recall, precision = precision_recall(answers.matches, min_iou)
            points = thinned(list(zip(recall.tolist(), precision.tolist(), strict=True)))
            lines.append(Line(f"{source.name}, overlap {min_iou:g}", points, colour, dashed=min_iou > 0.5))
    axes = Axis("recall", 0, 1, percent=True), Axis("precision", 0, 1, percent=True)
    section.blocks.append(chart("Precision against recall, all digits", *axes, lines))
    names = [str(digit) for digit in range(NUM_DIGITS)]
    by_digit = [
        Line(
            source.name,
            [(i, ap) for i, ap in enumerate(answers.scores.boxes.digit_ap.values()) if ap != UNDEFINED],
            colour,
            dots=True,
        )
        for colour, source, answers in scored
    ]
    low = axis_for("AP", [y for line in by_digit for _, y in line.points], percent=True)
    absent = [digit for digit, ap in scored[0][2].scores.boxes.digit_ap.items() if ap == UNDEFINED]
    note = f"The labels have no {', '.join(absent)}." if absent else ""
    section.blocks.append(chart("AP of each digit", named_axis("digit", names), low, by_digit, note=note))
    for _, source, answers in scored:
        counts = digit_confusion(answers.labels.images, answers.detections)
        names = [*map(str, range(NUM_DIGITS)), "none"]
        caption = f"{source.name}: true digit against digit found"
        drawn = heatmap(caption, names, counts, "true digit", "found at score 0.5 or more")
        rows = [(names[i], *map(str, counts[i].tolist())) for i in range(len(names))]
        section.blocks.append(Chart(caption, drawn, (), Table(("true", *names), rows)))
    return section


def number_section(scored: Sequence[Scored]) -> Section:
    """Return accuracy by length and size, calibration and coverage."""
    section = Section("Numbers")
    by_length, by_height = [], []
    for colour, source, answers in scored:
        images, right = answers.labels.images, answers.right
        lengths = np.array([len(image.number or "") for image in images])
        of_length = [group(str(n) if n else "none", right[lengths == n]) for n in np.unique(lengths)]
        by_length.append((colour, source.name, of_length))
        of_height = groups_by(digit_heights(images), right, HEIGHT_EDGES, "")
        by_height.append((colour, source.name, of_height))
    for title, label, groups in (
        ("Numbers right by length", "digits", by_length),
        ("Numbers right by size", "mean height of the digits, pixels", by_height),
    ):
        names = [each.name for each in groups[0][2]]
        lines = [
            Line(
                name,
                [(i, each.accuracy) for i, each in enumerate(of_source)],
                colour,
                dots=True,
                ranges=[(each.low, each.high) for each in of_source],
            )
            for colour, name, of_source in groups
        ]
        y = Axis("right", 0, 1, percent=True)
        drawn = chart(title, named_axis(label, names), y, lines)
        rows = [
            (
                name,
                each.name,
                f"{each.num_images:,}",
                f"{each.accuracy:.1%}",
                f"{each.low:.1%} to {each.high:.1%}",
            )
            for _, name, of_source in groups
            for each in of_source
        ]
        values = Table(("series", label, "images", "right", "95 % interval"), rows)
        section.blocks.append(replace(drawn, points=values))
    section.blocks.extend(_reliability_charts(scored))
    return section


def _reliability_charts(scored: Sequence[Scored]) -> Iterator[Chart]:
    known = [(colour, source.name, answers.scores.reliability) for colour, source, answers in scored]
    bins = [
        Line(name, [(b.probability, b.accuracy) for b in each.bins], colour, dots=True, joined=True)
        for colour, name, each in known
        if each is not None
    ]
    if not bins:
        return
    axes = Axis("probability", 0, 1, percent=True), Axis("right", 0, 1, percent=True)
    yield chart("Calibration: what is said against what is so", *axes, bins, diagonal=True)
    curves = [Line(name, each.curve, colour) for colour, name, each in known if each is not None]
    low = axis_for("right", [y for line in curves for _, y in line.points], percent=True)
    low = Axis("right", low.low, 1.0, percent=True)
    yield chart("Coverage: right among the surest", Axis("answered", 0, 1, percent=True), low, curves)


def mistake_sections(scored: Sequence[Scored], most: int) -> list[Section]:
    """Return the wrong numbers of each source by kind."""
    sections = []
    for _, source, answers in scored:
        title = "Mistakes" if len(scored) == 1 else f"Mistakes of {source.name}"
        section = Section(title, folded=len(scored) > 1)
        section.blocks.append(
            Text(
                "The surest first. Solid boxes were found, dashed ones are true. "
                "Arrow keys walk through the images, Enter enlarges one, Escape closes it."
            )
        )
        section.blocks.extend(mistake_galleries(answers, most))
        sections.append(section)
    return sections
