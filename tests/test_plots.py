"""Plots: the same bytes each time, the page's colours, and nothing that leaks or asks for anything."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from digitspot.colours import HIT, MISS, SERIES
from digitspot.errors import ConfigError
from digitspot.plots import (
    FAINT,
    GRID,
    INK,
    PAGE_COLOURS,
    Axis,
    Line,
    Span,
    heatmap,
    kind_of,
    line_plot,
    named_axis,
    reliability_plot,
    save,
    span_plot,
    to_svg,
)

STYLE = Path(__file__).parents[1] / "src" / "digitspot" / "report" / "page" / "report.css"
X, Y = Axis("images <seen>", 0, 40_000), Axis("loss", 0, 2)
POINTS = [(0.0, 3.0), (20_000.0, 1.0), (40_000.0, 0.5)]


def plots() -> dict[str, Figure]:
    dots = Line("a <b> & c", [(0, 0.5), (1, 0.7)], 7, dots=True, ranges=[(0.4, 0.6), (0.6, 0.8)])
    return {
        "lines": line_plot(X, Y, [Line("a", POINTS, 0), Line("b", POINTS, 1, dashed=True)], diagonal=True),
        "dots": line_plot(named_axis("digits", ["1", "2"]), Axis("right", 0, 1, percent=True), [dots]),
        "spans": span_plot("points", [Span("cost in $ and $, a very long name\x1b", 1, -1, 2)], zero=True),
        "heatmap": heatmap(["0", "1"], np.array([[9, 1], [0, 0]]), "true", "found"),
        "reliability": reliability_plot([(0.2, 0.3), (0.9, 0.8)], [(0.5, 1.0), (1.0, 0.55)], "error 0.1"),
        "nothing": line_plot(X, Y, [Line("a", [], 0)]),
    }


@pytest.mark.parametrize("name", plots())
def test_svg_stands_in_a_page(name: str) -> None:
    svg = to_svg(plots()[name], f'"{name}" <i>', "p1-")
    assert svg == to_svg(plots()[name], f'"{name}" <i>', "p1-"), "the same bytes"
    assert svg.startswith("<svg ")
    assert svg.endswith("</svg>")
    assert 'role="img" aria-label="&quot;' in svg
    assert not re.search("http|<style|<metadata|font-family|<!--", svg)
    assert not re.search("#[0-9a-f]{6}", svg.replace("#p1-", "")), "every colour is the page's"
    ids = re.findall(r' id="([^"]*)"', svg)
    assert len(set(ids)) == len(ids)
    assert set(ids) == set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)), "each is used, and there"
    assert all(each.startswith("p1-") for each in ids)
    assert not re.search("<[bi]>", svg), "names are text"


def test_a_mouse_finds_the_values() -> None:
    assert "<title>a &lt;b&gt; &amp; c: 0.7</title>" in to_svg(plots()["dots"], "x", "")
    assert "<title>0 as 1: 1 (10.0%)</title>" in to_svg(plots()["heatmap"], "x", "")
    assert "1 [-1, 2]</title>" in to_svg(plots()["spans"], "x", "")


def test_the_page_names_every_colour() -> None:
    style = STYLE.read_text(encoding="utf-8")
    light = dict(re.findall(r"(--\w+): (#[0-9a-f]{6})", style.split("@media")[0]))
    for colour, variable in PAGE_COLOURS.items():
        named = variable.removeprefix("var(").removesuffix(")")
        assert style.count(f"{named}: #") >= 2, f"{named} in light and in dark"
        if colour in (*SERIES, INK, FAINT, GRID, HIT, MISS):
            assert light[named] == colour, "a file has the colours of the light page"


def test_a_line_is_cut_at_the_end_of_its_axis() -> None:
    figure = line_plot(X, Y, [Line("a", POINTS, 0)])
    [axes] = figure.axes
    assert axes.get_ylim() == (0, 2)
    path = re.search(
        r'<path d="M[^"]*" clip-path="url\(#(\w+)\)" style="[^"]*var\(--s0\)', to_svg(figure, "", "")
    )
    assert path is not None


@pytest.mark.parametrize("kind", ["svg", "png", "jpeg", "webp"])
def test_files(kind: str) -> None:
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        save(plots()["reliability"], file, kind)
    assert files[0].getvalue() == files[1].getvalue()
    if kind == "svg":
        assert b"var(" not in files[0].getvalue(), "a file has no style of a page"
    else:
        image = np.asarray(Image.open(files[0]).convert("RGB"))
        assert image[0, 0].min() > 250, "on white"
        blue = np.array(to_rgba(SERIES[0])[:3]) * 255
        assert (np.abs(image - blue).max(axis=2) < 12).any()


def test_the_ending_names_the_kind() -> None:
    assert kind_of(Path("a.SVG")) == "svg"
    with pytest.raises(ConfigError, match=r"a\.txt: the ending must be one of"):
        kind_of(Path("a.txt"))


def test_settings_of_matplotlib_neither_matter_nor_change() -> None:
    before = to_svg(plots()["lines"], "x", "")
    with mpl.rc_context({"font.size": 30, "axes.grid": False, "savefig.dpi": 200}):
        mine = dict(mpl.rcParams)
        assert to_svg(plots()["lines"], "x", "") == before
        assert dict(mpl.rcParams) == mine
