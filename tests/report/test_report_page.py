"""The report in a browser: on a telephone and on a wide screen, light and dark."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from test_report import answers, trained  # noqa: F401 - fixtures

from digitspot.cli import run

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def address(
    trained: Path,  # noqa: F811
    answers: Path,  # noqa: F811
    small_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Of a page about two runs, one with a long name."""
    folder = tmp_path_factory.mktemp("page")
    other = shutil.copytree(trained, folder / "a-run-with-a-very-long-name-that-nobody-can-break-0123456789")
    words = ["report", str(trained), str(other), "--answers", str(answers), str(answers), "--resamples", "20"]
    page = folder / "page.html"
    assert run([*words, "--labels", str(small_data / "test.json"), "--output", str(page)]) == 0
    return page.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_everybody_can_use_it(address: str, width: int, scheme: str) -> None:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page: Any = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.evaluate(
            "[...document.querySelectorAll('.chart text')].map((each) => each.getBoundingClientRect().height)"
        )
        assert min(size for size in sizes if size) >= 8, "texts of plots can be read"
        found = axe.Axe().run(page).response["violations"]
        assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")]
        browser.close()
