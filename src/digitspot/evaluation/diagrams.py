"""The reliability diagram, and accuracy against coverage, as one SVG image."""

from __future__ import annotations

from collections.abc import Sequence

from digitspot.evaluation.reliability import ReliabilityMetrics

SIDE, MARGIN = 300, 46
GREY, BLUE = "#9aa0a6", "#1a73e8"


def draw_reliability(metrics: ReliabilityMetrics) -> str:
    """Return the image: accuracy against probability in bins, and against the share answered."""
    bins = [(each.probability, each.accuracy) for each in metrics.bins]
    low = 0.1 * int(10 * min([0.9, *(accuracy for _, accuracy in metrics.curve)]))
    error = f"calibration error {metrics.calibration_error:.3f}"
    left = _panel("probability", "accuracy", bins, (0, 1), (0, 1), error, dots=True)
    right = _panel("share answered", "accuracy", metrics.curve, (0, 1), (low, 1), "")
    width, height = 2 * (SIDE + MARGIN) + MARGIN, SIDE + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<g transform="translate({MARGIN},{MARGIN / 2})">{left}</g>\n'
        f'<g transform="translate({SIDE + 2 * MARGIN},{MARGIN / 2})">{right}</g>\n</svg>\n'
    )


def _panel(
    x_name: str,
    y_name: str,
    points: Sequence[tuple[float, float]],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    note: str,
    dots: bool = False,
) -> str:
    """Return one plot: points joined by a line, and where both axes are probabilities, the diagonal."""

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            SIDE * (x - x_range[0]) / (x_range[1] - x_range[0]),
            SIDE * (1 - (y - y_range[0]) / (y_range[1] - y_range[0])),
        )

    parts = [f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="{GREY}"/>']
    for tick in range(6):
        x = x_range[0] + tick / 5 * (x_range[1] - x_range[0])
        y = y_range[0] + tick / 5 * (y_range[1] - y_range[0])
        across, up = place(x, y)
        parts.append(f'<text x="{across:.1f}" y="{SIDE + 16}" text-anchor="middle">{x:.1f}</text>')
        parts.append(f'<text x="-6" y="{up + 4:.1f}" text-anchor="end">{y:.2f}</text>')
    if dots:
        parts.append(f'<line x1="0" y1="{SIDE}" x2="{SIDE}" y2="0" stroke="{GREY}" stroke-dasharray="4"/>')
        circles = (place(*point) for point in points)
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{BLUE}"/>' for x, y in circles]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{BLUE}"/>')
    parts.append(f'<text x="{SIDE / 2}" y="{SIDE + 34}" text-anchor="middle">{x_name}</text>')
    parts.append(f'<text x="8" y="16">{y_name}</text><text x="8" y="34">{note}</text>')
    return "".join(parts)
