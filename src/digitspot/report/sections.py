"""The sections of a report: what was reached, how it went, what is wrong, how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from digitspot.data.statistics import measure
from digitspot.evaluation.breakdown import digit_confusion, digit_heights, group, groups_by, precision_recall
from digitspot.evaluation.comparison import compare
from digitspot.evaluation.intervals import Interval
from digitspot.report.blocks import Chart, Code, Section, Table, Text
from digitspot.report.crops import mistake_galleries
from digitspot.report.sources import Answers, Source, Subject
from digitspot.report.svg import Axis, Line, axis_for, heatmap, line_chart, named_axis
from digitspot.structures import NUM_DIGITS

HEIGHT_EDGES = (10, 14, 20, 28, 40, 56)
"""Pixels; SVHN's test digits are 15 to 54 high (5 to 95 %)."""
PR_IOUS = (0.5, 0.75)
MAX_POINTS = 160
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
    caption = f"On {images:,} pictures{which}; 95 % intervals over pictures in brackets."
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
        "AP at overlap 0.5": f"{boxes['AP50']:.4f}",
        "AP at overlap 0.75": f"{boxes['AP75']:.4f}",
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


def _shown(value: float, interval: Interval | None) -> str:
    return f"{value:.4f}" + (f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else "")


def _difference_table(scored: Sequence[Scored], num_resamples: int) -> Table:
    """Compare each with the first on the same draws of pictures."""
    _, first, base = scored[0]
    rows, marks = [], []
    for figure, name in (("AP", "mAP"), ("accuracy", "numbers right")):
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
        f"Less {first.name}, in points. Paired bootstrap over pictures: it is about these models; other "
        "seeds of the same training may differ by more."
    )
    return Table(("", "figure", "difference", "over pictures", "verdict"), rows, caption, marks)


def box_section(scored: Sequence[Scored]) -> Section:
    """Return precision and recall, AP of each digit, and which digit is taken for which."""
    section = Section("Boxes")
    lines = []
    for colour, source, answers in scored:
        for min_iou in PR_IOUS:
            recall, precision = precision_recall(answers.matches, min_iou)
            points = _thinned(list(zip(recall.tolist(), precision.tolist(), strict=True)))
            lines.append(Line(f"{source.name}, overlap {min_iou:g}", points, colour, dashed=min_iou > 0.5))
    axes = Axis("recall", 0, 1, percent=True), Axis("precision", 0, 1, percent=True)
    section.blocks.append(_chart("Precision against recall, all digits", *axes, lines))
    names = [str(digit) for digit in range(NUM_DIGITS)]
    by_digit = [
        Line(source.name, list(enumerate(answers.scores.boxes.digit_ap.values())), colour, dots=True)
        for colour, source, answers in scored
    ]
    low = axis_for("AP", [y for line in by_digit for _, y in line.points], percent=True)
    section.blocks.append(_chart("AP of each digit", named_axis("digit", names), low, by_digit))
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
        chart = _chart(title, named_axis(label, names), y, lines)
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
        values = Table(("series", label, "pictures", "right", "95 % interval"), rows)
        section.blocks.append(replace(chart, points=values))
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
    yield _chart("Calibration: what is said against what is so", *axes, bins, diagonal=True)
    curves = [Line(name, each.curve, colour) for colour, name, each in known if each is not None]
    low = axis_for("right", [y for line in curves for _, y in line.points], percent=True)
    low = Axis("right", low.low, 1.0, percent=True)
    yield _chart("Coverage: right among the surest", Axis("answered", 0, 1, percent=True), low, curves)


def training_section(sources: Sequence[Source]) -> Section:
    """Return how losses, scores, speed and memory went."""
    section = Section("Training")
    trained = [(i, each) for i, each in enumerate(sources) if each.metrics]

    def add(
        title: str,
        label: str,
        kinds: Sequence[tuple[str, str, str]],
        percent: bool = False,
        from_zero: bool = False,
    ) -> None:
        lines = [
            Line(
                f"{source.name}, {what}" if len(trained) > 1 else what,
                _thinned([(row["images_seen"], row[key]) for row in source.records(kind) if key in row]),
                colour if len(trained) > 1 else number,
                dashed=number > 0 and len(trained) > 1,
            )
            for colour, source in trained
            for number, (kind, key, what) in enumerate(kinds)
        ]
        lines = [line for line in lines if line.points]
        if lines:
            values = [y for line in lines for _, y in line.points]
            if title == "Loss":  # the first updates would take all the room
                values = [min(value, 2.5 * float(np.median(values))) for value in values]
            x = axis_for("images seen", [x for line in lines for x, _ in line.points], from_zero=True)
            y = axis_for(label, values, percent=percent, from_zero=from_zero)
            section.blocks.append(_chart(title, x, y, lines))

    add(
        "Loss",
        "loss",
        [("train", "prequential_faded", "before each update, faded mean"), ("valid", "valid_loss", "valid")],
    )
    plain, zoomed = "as they are", "zoomed out"
    add(
        "Validation: numbers right",
        "right",
        [("valid", "accuracy", plain), ("valid", "zoomed_accuracy", zoomed)],
        True,
    )
    add("Validation: mAP", "mAP", [("valid", "map", plain), ("valid", "zoomed_map", zoomed)], True)
    speeds = [Line(each.name, _speed(each), i) for i, each in trained]
    speeds = [line for line in speeds if line.points]
    if speeds:
        x = axis_for("minutes of training", [x for line in speeds for x, _ in line.points], from_zero=True)
        y = axis_for("images a second", [y for line in speeds for _, y in line.points], from_zero=True)
        section.blocks.append(_chart("Speed", x, y, speeds))
    memory = [("train", "memory_mib", "memory"), ("train", "device_memory_mib", "on the device")]
    add("Memory of the training and its loader processes", "MiB", memory, from_zero=True)
    add("Learning rate", "share of its peak", [("train", "rate_factor", "rate")], from_zero=True)
    return section


def _speed(source: Source) -> list[tuple[float, float]]:
    """Return minutes and images a second between records, of training alone."""
    rows = source.records("train")
    stride = max(1, len(rows) // 40)
    rows = rows[::stride]
    return [
        (b["seconds"] / 60, (b["images_seen"] - a["images_seen"]) / (b["seconds"] - a["seconds"]))
        for a, b in pairwise(rows)
        if b["seconds"] > a["seconds"]
    ]


def mistake_sections(scored: Sequence[Scored], most: int) -> list[Section]:
    """Return the wrong numbers of each source by kind."""
    sections = []
    for _, source, answers in scored:
        title = "Mistakes" if len(scored) == 1 else f"Mistakes of {source.name}"
        section = Section(title, folded=len(scored) > 1)
        section.blocks.append(
            Text(
                "The surest first. Solid boxes were found, dashed ones are true. "
                "Arrow keys walk through the pictures, Enter enlarges one, Escape closes it."
            )
        )
        section.blocks.extend(mistake_galleries(answers, most))
        sections.append(section)
    return sections


def repeat_section(subject: Subject, scored: Sequence[Scored]) -> Section:
    """Return the data, the settings and the commands."""
    section = Section("Data, settings and commands")
    for _, _, answers in scored[:1]:
        section.blocks.append(_data_table(answers))
    for source in subject.sources:
        data = source.environment.get("data", "DIR")
        lines = []
        if source.config:
            again = f"{source.path}-again"
            lines.append(_line("train", source.path / "config.yaml", "--data", data, "--output", again))
        if source.answers is not None:
            labels, folder = source.answers.labels.path, source.answers.folder
            if source.config:
                lines.append(_line("predict", source.path, labels, "--output", folder))
            lines.append(_line("evaluate", folder, "--labels", labels))
        if lines:
            section.blocks.append(Code("\n".join(lines), f"To repeat {source.name}"))
        if source.environment:
            packages = ", ".join(f"{k} {v}" for k, v in source.environment.get("packages", {}).items())
            machine = source.environment.get("machine", "an unknown machine")
            section.blocks.append(Text(f"{source.name} ran on {machine}: {packages}."))
        if source.config:
            section.blocks.append(Code(source.config, f"Settings of {source.name}"))
    return section


def _data_table(answers: Answers) -> Table:
    seen = measure(answers.labels)
    heights = np.quantile(seen.heights, [0.05, 0.5, 0.95]) if len(seen.heights) else np.zeros(3)
    rows = [
        ("labels", str(answers.labels.path)),
        ("pictures", f"{seen.num_images:,}"),
        ("digits", f"{int(seen.digits.sum()):,}"),
        ("numbers of 0, 1, 2 ... digits", ", ".join(f"{count:,}" for count in seen.lengths.tolist())),
        ("digits 0 to 9", ", ".join(f"{count:,}" for count in seen.digits.tolist())),
        ("digit height, 5, 50 and 95 %", ", ".join(f"{value:.0f}" for value in heights) + " pixels"),
    ]
    return Table(("data scored on", ""), rows)


def _line(*words: object) -> str:
    return shlex.join(["digitspot", *map(str, words)])


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points so that a line stays short, its ends kept."""
    if len(points) <= MAX_POINTS:
        return points
    chosen = np.unique(np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int))
    return [points[i] for i in chosen.tolist()]


def _chart(title: str, x: Axis, y: Axis, lines: Sequence[Line], diagonal: bool = False) -> Chart:
    """Draw lines, with a legend where there are several, and their values for a table."""
    legend = lines if len(lines) > 1 else ()
    shown: Callable[[float], str] = (lambda v: f"{v:.1%}") if y.percent else (lambda v: f"{v:.4g}")
    rows = []
    for line in lines:
        picked = (
            line.points if len(line.points) <= 12 else [line.points[i] for i in _spread(len(line.points))]
        )
        rows += [
            (
                line.name,
                x.names[int(px)] if x.names else (f"{px:.1%}" if x.percent else f"{px:,.4g}"),
                shown(py),
            )
            for px, py in picked
        ]
    table = Table(("series", x.label, y.label), rows)
    return Chart(title, line_chart(title, x, y, lines, diagonal), legend, table)


def _spread(num: int) -> list[int]:
    return np.unique(np.linspace(0, num - 1, 12).round().astype(int)).tolist()  # type: ignore[no-any-return]
