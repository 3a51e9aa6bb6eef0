"""Every figure of the README and of the pages of docs/ is in a results file that the page links to."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MEASUREMENTS = ROOT / "docs" / "measurements.md"
UNIT = (
    r"ms|s|h|seconds?|minutes?|min|hours?|core-hours|img/s|images/s|files/s|requests/s|[KMG]iB|[kMG]B"
    r"|%|points|times"
)
FIGURE = re.compile(rf"(?<![\w.,/-])(\d[\d,]*\.\d+|\d[\d,]*(?= (?:{UNIT})\b| %))(?![\w-]|\.\d)")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")

GENERATED = {"commands.md", "settings.md"}
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.name not in GENERATED
]


def _linked(page: Path) -> set[Path]:
    """Return the results files that a page links to, itself or by the page of measurements."""
    found = {(page.parent / target).resolve() for target in LINK.findall(page.read_text(encoding="utf-8"))}
    if MEASUREMENTS in found and page != MEASUREMENTS:
        found |= _linked(MEASUREMENTS)
    return {path for path in found if RESULTS in path.parents and path.is_file()}


def _is_rounded(figure: Decimal, number: Decimal) -> bool:
    return 2 * abs(figure - number) <= Decimal(1).scaleb(int(figure.as_tuple().exponent))


def figures_in(text: str) -> set[str]:
    """Return what was measured: numbers with a decimal point or a unit, outside of code and links."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|Python 3\.\d+", " ", text, flags=re.DOTALL)
    return {match[1].replace(",", "") for match in FIGURE.finditer(text)}


def test_figures_are_told_from_other_numbers() -> None:
    text = "Of 3,000 images 0.855 are read, at 1,672 img/s, in `0.3` s; 95 % of two. 5.1 minutes, v1.2.3"
    assert figures_in(text) == {"0.855", "1672", "95", "5.1"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_figures_are_in_results(page: Path) -> None:
    figures = figures_in(page.read_text(encoding="utf-8"))
    linked = _linked(page)
    text = "".join(path.read_text(encoding="utf-8") for path in linked)
    known = {Decimal(each.replace(",", "")) for each in NUMBER.findall(text)}
    missing = [each for each in sorted(figures) if not any(_is_rounded(Decimal(each), one) for one in known)]
    assert not missing, f"not in {sorted(path.name for path in linked)}, nor rounded from what is: {missing}"
