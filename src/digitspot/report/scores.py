"""The sections of answers: scores, boxes and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from digitspot.evaluation.breakdown import (
    Group,
    digit_confusion,
    digit_heights,
    group,
    groups_by,
    precision_recall,
)
from digitspot.evaluation.coco_metrics import UNDEFINED
from digitspot.evaluation.comparison import compare
from digitspot.evaluation.intervals import Interval
from digitspot.plots import Axis, Line, axis_for, heatmap, named_axis
from digitspot.report.answers import ScoredAnswers
from digitspot.report.blocks import Chart, Section, Table, line_chart, thinned
from digitspot.report.subject import Scored
from digitspot.types import NUM_DIGITS

HEIGHT_EDGES = (10, 14, 20, 28, 40, 56)
"""Pixels. SVHN's test digits are 15 to 54 high (5 to 95 %)."""
PR_IOUS = (0.5, 0.75)
DIFFERENCE_NOTE = (
    "Paired bootstrap over images. It compares these models only: other seeds of the same training may "
    "differ by more."
)


def score_section(scored: Sequence[Scored], num_resamples: int, *, of_ablation: bool) -> Section:
    """Return the figures of all side by side, and their differences from the first.

    An ablation has its own differences, over all its seeds.
    """
    names = tuple(source.name for _, source, _ in scored)
    figures = [_figures(answers) for _, _, answers in scored]
    rows = [(name, *(each[name] for each in figures)) for name in figures[0]]
    seeds = ", the first seed of each variant" if of_ablation else ""
    caption = f"On {len(scored[0][2].labels):,} images{seeds}; 95 % intervals over images in brackets."
    section = Section("Scores", [Table(("figure", *names), rows, caption)])
    if len(scored) > 1 and not of_ablation:
        section.blocks.append(_difference_table(scored, num_resamples))
    return section


def _figures(answers: ScoredAnswers) -> dict[str, str]:
    scores = answers.scores
    boxes, numbers, intervals = scores.boxes.figures, scores.numbers, scores.intervals
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
        rows["calibration error"] = f"{scores.reliability.calibration_error:.4f}"
    for kind, mistakes in scores.mistakes.items():
        rows[kind] = f"{len(mistakes)} ({len(mistakes) / numbers.num_images:.1%})"
    return rows


def _shown(value: float, interval: Interval | None = None) -> str:
    if value == UNDEFINED:
        return "-"
    return f"{value:.4f}" + (f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else "")


def _difference_table(scored: Sequence[Scored], num_resamples: int) -> Table:
    """Compare each with the first, on the same draws of images."""
    _, first, base = scored[0]
    rows, marks = [], []
    for figure, name in (("AP", "mAP"), ("accuracy", "numbers right")):
        if figure == "AP" and base.scores.boxes.mean_ap == UNDEFINED:
            continue
        baseline = base.resampled(figure, num_resamples)
        for _, source, answers in scored[1:]:
            resampled = answers.resampled(figure, num_resamples)
            found = compare(resampled, baseline, num_comparisons=len(scored) - 1)
            interval, verdict = found.together, found.verdict.split(" by ")[0]
            shown = f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
            rows.append((source.name, name, f"{100 * interval.value:+.2f}", shown, verdict))
            marks.append(verdict.split()[0])
    columns = ("", "figure", "difference", "over images", "verdict")
    return Table(columns, rows, f"Less {first.name}, in points. {DIFFERENCE_NOTE}", marks)


def box_section(scored: Sequence[Scored]) -> Section:
    """Return precision and recall, AP of each digit, and which digit is taken for which."""
    confusions = [_confusion_chart(source.name, answers) for _, source, answers in scored]
    return Section("Boxes", [_precision_chart(scored), _digit_chart(scored), *confusions])


def _precision_chart(scored: Sequence[Scored]) -> Chart:
    lines = []
    for index, source, answers in scored:
        for min_iou in PR_IOUS:
            recall, precision = precision_recall(answers.matches, min_iou)
            points = thinned(list(zip(recall.tolist(), precision.tolist(), strict=True)))
            lines.append(Line(f"{source.name}, overlap {min_iou:g}", points, index, dashed=min_iou > 0.5))
    axes = Axis("recall", 0, 1, percent=True), Axis("precision", 0, 1, percent=True)
    return line_chart("Precision against recall, all digits", *axes, lines)


def _digit_chart(scored: Sequence[Scored]) -> Chart:
    lines = []
    for index, source, answers in scored:
        known = enumerate(answers.scores.boxes.digit_ap.values())
        points = [(float(i), ap) for i, ap in known if ap != UNDEFINED]
        lines.append(Line(source.name, points, index, dots=True))
    absent = [digit for digit, ap in scored[0][2].scores.boxes.digit_ap.items() if ap == UNDEFINED]
    note = f"The labels have no {', '.join(absent)}." if absent else ""
    x = named_axis("digit", [str(digit) for digit in range(NUM_DIGITS)])
    y = axis_for("AP", [ap for line in lines for _, ap in line.points], percent=True)
    return line_chart("AP of each digit", x, y, lines, note=note)


def _confusion_chart(name: str, answers: ScoredAnswers) -> Chart:
    counts = digit_confusion(answers.labels.images, answers.detections)
    names = [*map(str, range(NUM_DIGITS)), "none"]
    figure = heatmap(names, counts, "true digit", "found at score 0.5 or more")
    rows = [(each, *map(str, row)) for each, row in zip(names, counts.tolist(), strict=True)]
    return Chart(f"{name}: true digit against digit found", figure, Table(("true", *names), rows))


def number_section(scored: Sequence[Scored]) -> Section:
    """Return accuracy by length and size, calibration and coverage."""
    by_length = [_by_length(answers) for _, _, answers in scored]
    by_height = [
        groups_by(digit_heights(answers.labels.images), answers.right, HEIGHT_EDGES, "")
        for _, _, answers in scored
    ]
    charts = [
        _group_chart("Numbers right by length", "digits", scored, by_length),
        _group_chart("Numbers right by size", "mean height of the digits, pixels", scored, by_height),
    ]
    return Section("Numbers", [*charts, *_reliability_charts(scored)])


def _by_length(answers: ScoredAnswers) -> list[Group]:
    lengths = np.array([len(image.number or "") for image in answers.labels.images])
    return [group(str(n) if n else "none", answers.right[lengths == n]) for n in np.unique(lengths)]


def _group_chart(
    title: str, label: str, scored: Sequence[Scored], groups: Sequence[Sequence[Group]]
) -> Chart:
    """Draw the accuracy of groups of images, with intervals."""
    lines, rows = [], []
    for (index, source, _), of_source in zip(scored, groups, strict=True):
        points = [(float(i), each.accuracy) for i, each in enumerate(of_source)]
        ranges = [(each.low, each.high) for each in of_source]
        lines.append(Line(source.name, points, index, dots=True, ranges=ranges))
        for each in of_source:
            interval = f"{each.low:.1%} to {each.high:.1%}"
            rows.append((source.name, each.name, f"{each.num_images:,}", f"{each.accuracy:.1%}", interval))
    x = named_axis(label, [each.name for each in groups[0]])
    chart = line_chart(title, x, Axis("right", 0, 1, percent=True), lines)
    return replace(chart, values=Table(("series", label, "images", "right", "95 % interval"), rows))


def _reliability_charts(scored: Sequence[Scored]) -> list[Chart]:
    """Draw accuracy against probability, and against coverage, of the answers that have probabilities."""
    bins, curves = [], []
    for index, source, answers in scored:
        if (known := answers.scores.reliability) is not None:
            points = [(each.probability, each.accuracy) for each in known.bins]
            bins.append(Line(source.name, points, index, dots=True, joined=True))
            curves.append(Line(source.name, known.curve, index))
    if not bins:
        return []
    said, right = Axis("probability", 0, 1, percent=True), Axis("right", 0, 1, percent=True)
    low = axis_for("right", [y for line in curves for _, y in line.points]).low
    return [
        line_chart("Calibration: probability against accuracy", said, right, bins, diagonal=True),
        line_chart(
            "Coverage: accuracy of the surest answers",
            Axis("answered", 0, 1, percent=True),
            replace(right, low=low),
            curves,
        ),
    ]
