"""Plots on matplotlib: as SVG for a page, which follows its light or dark colours, and as image files.

Each function returns a `Figure` of its own. No state of matplotlib changes, and the same values give the same
bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from digitspot.colours import HIT, MARKERS, MISS, SERIES
from digitspot.errors import ConfigError
from digitspot.files import printable
from digitspot.types import IntArray

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter
except ModuleNotFoundError as missing:
    raise ConfigError(
        f"plots need {missing.name}", hint="Install it: pip install 'digitspot[train]'."
    ) from missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, GRID, ON = "#1d2129", "#565d6b", "#dfe2e9", "#fffffe"
PAGE_COLOURS: Mapping[str, str] = {
    **{colour: f"var(--s{number})" for number, colour in enumerate(SERIES)},
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    GRID: "var(--line)",
    HIT: "var(--hit)",
    MISS: "var(--miss)",
    ON: "var(--on)",
}
"""The style of a page names these, for light and for dark."""
SHAPES_ON_A_LINE = 6
WIDTH, HEIGHT, DPI = 440, 280, 72
"""Of a plot in a page, in pixels."""
FILE_KINDS = {".svg": "svg", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
STYLE: dict[str, Any] = {
    "font.size": 14,
    "svg.fonttype": "none",
    "svg.hashsalt": "digitspot",
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
}
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A series of points.

    Attributes:
        name: For the legend.
        points: (x, y).
        colour: Index into `SERIES`, modulo its length.
        dashed: Drawn with gaps.
        dots: Points instead of a line.
        joined: With `dots`, also a line through them.
        ranges: (low, high) of each point.
    """

    name: str
    points: Sequence[Point]
    colour: int
    dashed: bool = False
    dots: bool = False
    joined: bool = False
    ranges: Sequence[Point] = ()


@dataclass(frozen=True)
class Axis:
    """One direction of a plot.

    Attributes:
        label: What it shows, with its unit.
        low: Its lower end.
        high: Its upper end; a line is cut where it leaves the plot.
        percent: Whether values are fractions, shown as percent.
        names: Names instead of numbers, at 0, 1, 2 ...
    """

    label: str
    low: float
    high: float
    percent: bool = False
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Span:
    """A value with its interval, in a row of its own."""

    name: str
    value: float
    low: float
    high: float
    colour: int = 0


def axis_for(label: str, values: Sequence[float], *, percent: bool = False, from_zero: bool = False) -> Axis:
    """Return an axis that holds the values with a little room."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(0.0, low) if from_zero else low
    room = 0.05 * ((high - low) or abs(high) or 1)
    return Axis(label, low if from_zero else low - room, high + room, percent)


def named_axis(label: str, names: Sequence[str]) -> Axis:
    """Return an axis of names."""
    return Axis(label, -0.5, len(names) - 0.5, names=names)


def line_plot(x: Axis, y: Axis, lines: Sequence[Line], *, diagonal: bool = False) -> Figure:
    """Draw lines or dots; `diagonal` also draws where both axes are equal."""
    with style():
        figure, axes = new_figure(WIDTH, HEIGHT)
        _set_axes(axes, x, y)
        if diagonal:
            axes.axline((0, 0), slope=1, color=FAINT, linestyle="--", linewidth=1)
        for number, line in enumerate(lines):
            beside = 0.1 * (number - (len(lines) - 1) / 2) if x.names else 0
            _draw_line(axes, line, beside, marked=len(lines) > 1)
        return figure


def span_plot(label: str, spans: Sequence[Span], *, zero: bool = False) -> Figure:
    """Draw intervals below each other; `zero` marks where there is no difference."""
    with style():
        figure, axes = new_figure(WIDTH, 60 + 30 * len(spans))
        for row, span in enumerate(spans):
            colour = SERIES[span.colour % len(SERIES)]
            axes.plot([span.low, span.high], [row, row], color=colour, linewidth=2)
            hint = f"{span.name}: {span.value:.4g} [{span.low:.4g}, {span.high:.4g}]"
            axes.plot([span.value], [row], "o", color=colour, gid=_hint(hint))
        if zero:
            axes.axvline(0, color=FAINT, linewidth=1)
        axes.set_yticks(range(len(spans)), [_short(span.name) for span in spans])
        axes.set_ylim(len(spans) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(label)
        return figure


def heatmap(names: Sequence[str], counts: IntArray, rows: str, columns: str) -> Figure:
    """Draw counts `[N, N]`, each cell by its fraction of the row; the diagonal has a colour of its own."""
    with style():
        figure, axes = new_figure(WIDTH, WIDTH - 20)
        for i, name in enumerate(names):
            fractions = counts[i] / max(1, int(counts[i].sum()))
            for j, (count, fraction) in enumerate(zip(counts[i].tolist(), fractions.tolist(), strict=True)):
                _draw_cell(axes, i, j, count, fraction, f"{name} as {names[j]}: {count} ({fraction:.1%})")
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(range(len(names)), names)
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
        axes.xaxis.set_label_position("top")
        axes.set(xlabel=columns, ylabel=rows)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        return figure


def reliability_plot(bins: Sequence[Point], curve: Sequence[Point], note: str) -> Figure:
    """Draw accuracy against probability, and against how many are answered.

    Args:
        bins: Mean probability and accuracy of readings of similar probability.
        curve: The fraction answered, surest first, and their accuracy.
        note: Written into the first plot.
    """
    low = 0.1 * int(10 * min([0.9, *(accuracy for _, accuracy in curve)]))
    right = Axis("right", 0, 1, percent=True)
    with style():
        figure = Figure((9.6, 4.6), DPI, layout="constrained")
        said, answered = figure.subplots(1, 2)
        _set_axes(said, Axis("probability", 0, 1, percent=True), right)
        said.axline((0, 0), slope=1, color=FAINT, linestyle="--", linewidth=1)
        _draw_line(said, Line("readings", bins, 0, dots=True, joined=True), 0)
        said.text(0.03, 0.95, note, transform=said.transAxes, va="top")
        _set_axes(answered, Axis("answered", 0, 1, percent=True), Axis("right", low, 1, percent=True))
        _draw_line(answered, Line("readings", curve, 0), 0)
        return figure


@contextmanager
def style() -> Iterator[None]:
    """Draw and write in our style, whatever the settings of matplotlib are; they stay as they are."""
    ours: Any = {name: value for name, value in mpl.rcParamsDefault.items() if "backend" not in name}
    with mpl.rc_context(ours | STYLE):
        yield


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in pixels, with one plot."""
    figure = Figure((width / DPI, height / DPI), DPI, layout="constrained")
    return figure, figure.subplots()


def kind_of(path: Path) -> str:
    """Return the kind of image that a file's ending names.

    Raises:
        ConfigError: No kind that plots are written as.
    """
    kind = FILE_KINDS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{path}: the ending must be one of {', '.join(FILE_KINDS)}")
    return kind


def save(figure: Figure, file: IO[bytes], kind: str, dpi: float = 100) -> None:
    """Write a figure on white, as one of the kinds of `FILE_KINDS`."""
    with style():
        figure.savefig(file, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)


def to_svg(figure: Figure, name: str, prefix: str) -> str:
    """Return SVG to stand in a page: the page's colours and typeface, without a background.

    Args:
        figure: The plot.
        name: What assistive technology says.
        prefix: Of its element ids; no other plot of the page may have it.
    """
    file = io.StringIO()
    with style():
        figure.savefig(file, format="svg", dpi=DPI, transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    waste = r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    body = re.sub(waste, "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    view_box = re.search(r'viewBox="[^"]*"', body)
    assert view_box is not None, "matplotlib writes one"
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    body = re.sub(r"<[^>]*>", lambda tag: _tidy(tag[0], used, prefix), body[body.index(">") + 1 :])
    return f'<svg {view_box[0]} role="img" aria-label="{escape(name)}">{" ".join(body.split())}'


def _tidy(tag: str, used: set[str], prefix: str) -> str:
    """Return a tag with the page's colours, short numbers, and no ids but those that are referred to."""
    hint = re.search(rf'id="{HINT}([0-9a-f]*)"', tag)
    tag = re.sub(r' id="([^"]*)"', lambda each: f' id="{prefix}{each[1]}"' if each[1] in used else "", tag)
    tag = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}', tag).replace("url(#", f"url(#{prefix}")
    tag = re.sub(r"font-family: [^;]*; | transform=\"rotate\(-0 [^\"]*\"", "", tag)
    tag = re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), tag)
    tag = re.sub(r"#[0-9a-f]{6}(?=[;\"])", lambda colour: PAGE_COLOURS.get(colour[0], colour[0]), tag)
    return tag if hint is None else f"{tag}<title>{escape(bytes.fromhex(hint[1]).decode())}</title>"


HINT = "hint-"


def _hint(text: str) -> str:
    """Return the id of an element with a text for a mouse that points at it; `to_svg` writes the text."""
    return HINT + printable(text).encode().hex()


def _set_axes(axes: Axes, x: Axis, y: Axis) -> None:
    for axis, drawn in ((x, axes.xaxis), (y, axes.yaxis)):
        if axis.names:
            drawn.set_ticks(range(len(axis.names)), axis.names)
        else:
            drawn.set_major_locator(MaxNLocator(5))
        if axis.percent:
            drawn.set_major_formatter(PercentFormatter(1.0))
        elif axis.high >= 10_000:
            drawn.set_major_formatter(EngFormatter(sep=""))
    axes.set(xlim=(x.low, x.high), ylim=(y.low, y.high), xlabel=x.label, ylabel=y.label)
    axes.grid(axis="x", visible=False)


def _draw_line(axes: Axes, line: Line, beside: float, *, marked: bool = False) -> None:
    """Draw a series, moved to the right by `beside`; `marked` puts its shape on it."""
    marker = MARKERS[line.colour % len(MARKERS)]
    colour = SERIES[line.colour % len(SERIES)]
    x, y = [px + beside for px, _ in line.points], [py for _, py in line.points]
    for px, (low, high) in zip(x, line.ranges, strict=False):
        axes.plot([px, px], [low, high], color=colour, linewidth=2)
    if not line.dots or line.joined:
        style: dict[str, Any] = {"linestyle": (0, (3, 2)) if line.dashed else "-"}
        if marked and not line.dots:
            style |= {"marker": marker, "markersize": 5, "markevery": (0, max(1, len(x) // SHAPES_ON_A_LINE))}
        axes.plot(x, y, color=colour, linewidth=1.8, **style)
    if line.dots:
        for px, py in zip(x, y, strict=True):
            hint = _hint(f"{line.name}: {py:.4g}")
            axes.plot([px], [py], marker, color=colour, markersize=6, clip_on=False, gid=hint)


def _draw_cell(axes: Axes, row: int, column: int, count: int, fraction: float, hint: str) -> None:
    """Draw one cell; off the diagonal a sixth of a row is as strong as all of it."""
    diagonal = row == column
    strength = fraction if diagonal else min(1.0, 6 * fraction)
    colour, corner = HIT if diagonal else MISS, (column - 0.5, row - 0.5)
    axes.add_patch(Rectangle(corner, 0.97, 0.97, color=colour, alpha=0.85 * strength, lw=0, gid=_hint(hint)))
    if count:
        ink = ON if strength > 0.55 else INK
        axes.text(column, row, str(count), color=ink, ha="center", va="center", fontsize=10)


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 22 else f"{name[:21]}…"
