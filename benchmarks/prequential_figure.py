"""The figure of `prequential.py`: losses over a training, and how far they are from that on `valid`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from prequential import Curve

STYLES: dict[str, dict[str, Any]] = {
    "valid": {"color": "#222222", "label": "valid: never trained on"},
    "whole part, in evaluation": {"color": "#1b6ca8", "label": "the next part, whole, in evaluation"},
    "batches, faded": {"color": "#d9772b", "label": "each batch before its update, faded mean"},
}
UNSEEN, GREY = "#eef4e8", "#777777"


def draw(curves: Mapping[str, Curve], path: Path) -> None:
    """Draw the losses above and their distance from `valid` below; what was seen before is drawn hollow."""
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8.5, 5.6), sharex=True, height_ratios=(2.2, 1), layout="constrained"
    )
    valid = curves["valid"]
    for name, curve in curves.items():
        style = STYLES[name]
        plot(above, curve, curve.values, **style)
        if name != "valid":
            plot(below, curve, curve.values - np.interp(curve.steps, valid.steps, valid.values), **style)
    mark_cycles(above, below, curves)
    above.set_ylabel("loss")
    below.set_ylabel("less that on valid")
    below.axhline(0, color=STYLES["valid"]["color"], linewidth=1)
    below.set_xlabel("updates")
    hollow = {"s": 14, "facecolors": "white", "edgecolors": GREY}
    above.scatter([], [], label="hollow: had been trained on before", **hollow)
    above.legend(loc="upper right", facecolor="white", edgecolor="none", framealpha=1)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.align_ylabels()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot(axes: Any, curve: Curve, values: np.ndarray, color: str, label: str) -> None:
    """Draw a line with filled points in the first cycle and, but for `valid`, hollow ones after it."""
    unseen = (curve.cycles == 1) | label.startswith("valid")
    axes.plot(curve.steps, values, color=color, linewidth=1.3)
    points = {"color": color, "s": 14, "linewidths": 1.0, "zorder": 3}
    axes.scatter(curve.steps[unseen], values[unseen], label=label, **points)
    axes.scatter(curve.steps[~unseen], values[~unseen], facecolors="white", **points | {"zorder": 4})


def mark_cycles(above: Any, below: Any, curves: Mapping[str, Curve]) -> None:
    valid = curves["valid"]
    cycles = np.unique(valid.cycles)
    starts = [0.0, *(valid.steps[valid.cycles == cycle].min() for cycle in cycles[1:])]
    ends = [*starts[1:], max(curve.steps.max() for curve in curves.values())]
    for cycle, start, end in zip(cycles.astype(int), starts, ends, strict=True):
        for axes in (above, below):
            if cycle == 1:
                axes.axvspan(start, end, color=UNSEEN, linewidth=0)
            else:
                axes.axvline(start, color=GREY, linewidth=0.7, linestyle=(0, (2, 3)))
        text = "cycle 1: unseen" if cycle == 1 else f"cycle {cycle}: seen {cycle - 1}×"
        above.text(
            (start + end) / 2, 1.01, text, color=GREY, ha="center", va="bottom", fontsize=9,
            transform=above.get_xaxis_transform(),
        )  # fmt: skip
    above.set_xlim(0, ends[-1] * 1.01)
    low = min(curve.values.min() for curve in curves.values())
    high = max(curve.values.max() for curve in curves.values())
    above.set_ylim(max(0.0, low - 0.08 * (high - low)), high + 0.05 * (high - low))
