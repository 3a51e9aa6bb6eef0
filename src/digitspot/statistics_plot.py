"""One figure of what a data set looks like, its splits side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.ndimage import gaussian_filter1d

from digitspot.colours import SERIES
from digitspot.labels.statistics import Statistics
from digitspot.plots import DPI, FAINT, GRID, style
from digitspot.types import DoubleArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES, HATCHES = ("-", "--", ":"), ("", "//", "..")
"""They tell the splits apart as their colours do."""
NUM_BINS = 40
SMOOTHING = 1.2
"""Bins. Sizes are whole pixels, and one bin of a logarithmic axis holds more of them than the next."""


def statistics_plot(name: str, splits: Mapping[str, Statistics]) -> Figure:
    """Draw sizes, counts, lengths, positions and aspect of up to three splits.

    Args:
        name: Of the data set, for the title.
        splits: By name; the colours are given in this order.
    """
    every = list(splits.values())
    lengths = [str(length) for length in range(max(len(each.lengths) for each in every))]
    with style():
        figure = Figure((18, 8), DPI, layout=ConstrainedLayoutEngine(wspace=0.04, hspace=0.06))
        figure.suptitle(name, x=0.01, ha="left", fontsize=18)
        panels = figure.subplots(2, 4).flat
        _table(next(panels), splits)
        sizes = [5, 10, 20, 40, 80, 160]
        _histogram(next(panels), "Digit height, pixels", [each.heights for each in every], sizes, log=True)
        quarters = [0, 0.25, 0.5, 0.75, 1]
        _histogram(next(panels), "Digit height, fraction of the image's", [s.shares for s in every], quarters)
        sides = [each.short_sides for each in every]
        _histogram(next(panels), "Image, short side, pixels", sides, _doubling(sides), log=True)
        _bars(next(panels), "Digits of an image", [each.lengths for each in every], lengths)
        _bars(next(panels), "Which digit", [each.digits for each in every], list("0123456789"))
        aspects = [each.aspects for each in every]
        _histogram(next(panels), "Box aspect, width / height", aspects, [*quarters, 1.25])
        _maps(next(panels), splits)
        return figure


def _table(axes: Axes, splits: Mapping[str, Statistics]) -> None:
    """Write the counts of each split, with its colour."""
    axes.set_axis_off()
    axes.set_title("Splits")
    columns = (0.1, 0.4, 0.6, 0.82, 1.04)
    for x, text in zip(columns, ("", "images", "digits", "empty", "height"), strict=True):
        axes.text(x, 0.9, text, color=FAINT, ha="right")
    for number, (name, each) in enumerate(splits.items()):
        y = 0.75 - 0.15 * number
        axes.plot([0, 0.07], [y + 0.02] * 2, color=SERIES[number], linewidth=3, linestyle=DASHES[number])
        axes.text(columns[0], y, name, fontsize=13)
        empty = int(each.lengths[0]) if len(each.lengths) else 0
        median = f"{np.median(each.heights):.0f} px" if len(each.heights) else "-"
        cells = (f"{each.num_images:,}", f"{len(each.heights):,}", f"{empty:,}", median)
        for x, text in zip(columns[1:], cells, strict=True):
            axes.text(x, y, text, fontsize=13, ha="right")
    axes.text(0, 0.05, "Height: the median digit.\nMarks on the base lines: medians.", color=FAINT)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _histogram(
    axes: Axes, title: str, series: Sequence[DoubleArray], ticks: Sequence[float], *, log: bool = False
) -> None:
    """Draw the distribution of each series between the first and the last tick, with its median.

    Values beyond these ticks are counted in the first and the last bin.
    """
    spaced = np.geomspace if log else np.linspace
    edges = spaced(ticks[0], ticks[-1], NUM_BINS + 1)
    middles = np.sqrt(edges[1:] * edges[:-1]) if log else (edges[1:] + edges[:-1]) / 2
    for colour, dashes, values in zip(SERIES, DASHES, series, strict=False):
        clipped = np.clip(values, ticks[0], ticks[-1])
        fractions = np.histogram(clipped, edges)[0] / max(1, len(values))
        smooth = gaussian_filter1d(fractions, SMOOTHING)
        axes.fill_between(middles, smooth, color=colour, alpha=0.15, linewidth=0)
        axes.plot(middles, smooth, color=colour, linewidth=2, linestyle=dashes)
        if len(values):
            axes.axvline(float(np.median(clipped)), ymax=0.06, color=colour, linewidth=3)
    if log:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(ticks[0], ticks[-1])
    _finish(axes, title)


def _bars(axes: Axes, title: str, series: Sequence[IntArray], labels: Sequence[str]) -> None:
    """Draw the fractions of each series in groups, one for each label."""
    width = 0.8 / len(series)
    for number, counts in enumerate(series):
        x = np.arange(len(counts)) + (number - (len(series) - 1) / 2) * width
        axes.bar(
            x,
            counts / max(1, counts.sum()),
            0.9 * width,
            color=SERIES[number],
            hatch=HATCHES[number],
            edgecolor="white",
        )
    step = 1 + len(labels) // 12  # more labels would overlap
    axes.set_xticks(range(0, len(labels), step), labels[::step])
    _finish(axes, title)


def _maps(axes: Axes, splits: Mapping[str, Statistics]) -> None:
    """Draw where the digits of each split are, one below the other."""
    axes.set_axis_off()
    axes.set_title("Where digits are")
    height = 1 / len(splits)
    for number, (name, each) in enumerate(splits.items()):
        inset = axes.inset_axes((0.2, 1 - (number + 1) * height, 0.7, 0.9 * height))
        colours = LinearSegmentedColormap.from_list(name, ["white", SERIES[number]])
        inset.imshow(each.positions, cmap=colours, aspect="auto", interpolation="bilinear", vmin=0)
        inset.set(xticks=[], yticks=[])
        inset.set_ylabel(name, rotation=0, ha="right", va="center")
        for spine in inset.spines.values():
            spine.set(visible=True, color=GRID)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="x", visible=False)


def _doubling(sides: Sequence[DoubleArray]) -> list[float]:
    """Return ticks that double and hold nearly all images' short sides."""
    every = np.concatenate(sides)
    low, high = np.quantile(every, [0.005, 0.995]) if len(every) else (32, 512)
    start, end = int(np.floor(np.log2(max(1, low)))), int(np.ceil(np.log2(max(2, high))))
    return [float(2**power) for power in range(start, max(end, start + 1) + 1)]
