"""Colours that carry meaning are told apart by everybody."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from digitspot.colours import HIT, MARKERS, MISS, RIGHT, SERIES, WRONG

PAGES = Path(__file__).parents[1] / "src" / "digitspot"
SEEN_BY = {
    "everybody else": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
"""Of linear RGB; Machado, Oliveira and Fernandes 2009, severity 1.0."""


def colours_of(page: str) -> dict[str, dict[str, str]]:
    """Return the variables of a style sheet, for light and for dark."""
    light, dark = (PAGES / page).read_text(encoding="utf-8").split("@media (prefers-color-scheme: dark)")
    found = {
        kind: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part.split("* {")[0]))
        for kind, part in (("light", light), ("dark", dark))
    }
    return {"light": found["light"], "dark": found["light"] | found["dark"]}


REPORT, SERVICE = colours_of("report/page/report.css"), colours_of("serve/page/page.css")
CASES = [
    ("series", SERIES, 7),
    ("series, dark", [REPORT["dark"][f"s{number}"] for number in range(len(SERIES))], 7),
    ("hit and miss", (HIT, MISS), 12),
    ("right and wrong", (RIGHT, WRONG), 12),
    *(
        (f"{first} and {second}, {kind}", (colours[kind][first], colours[kind][second]), 12)
        for colours, first, second in (
            (REPORT, "hit", "miss"),
            (REPORT, "good", "bad"),
            (REPORT, "found", "true"),
            (SERVICE, "box", "chosen"),
        )
        for kind in ("light", "dark")
    ),
]


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Return a colour in Ottosson's OKLab, lightness 0 to 100."""
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
             [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    axes = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return 100 * (axes @ np.cbrt(cones @ np.clip(rgb, 0, 1)))


@pytest.mark.parametrize(("colours", "least"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("who", SEEN_BY)
def test_colours_are_told_apart(colours: list[str], least: float, who: str) -> None:
    seen = {colour: oklab(np.asarray(SEEN_BY[who]) @ linear(colour)) for colour in colours}
    for first, second in combinations(seen, 2):
        assert np.linalg.norm(seen[first] - seen[second]) >= least, (first, second)


def test_the_distance_is_oklabs() -> None:
    assert np.allclose(oklab(linear("#ffffff")), [100, 0, 0], atol=0.01)
    assert np.allclose(oklab(linear("#ff0000")), [62.8, 22.5, 12.6], atol=0.1)


def test_each_series_has_a_shape() -> None:
    assert len(set(MARKERS)) == len(MARKERS) == len(SERIES)
