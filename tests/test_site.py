"""The documentation as a site: it builds strictly, asks nothing of another origin, and suits every screen."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("material", reason="mkdocs-material is not installed")
ROOT = Path(__file__).parents[1]
PAGES = sorted(path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md"))
OF_EACH_KIND = (
    "index",
    "howto/train",
    "reference/recipes",
    "reference/settings",
    "reference/python",
    "comparison",
)
"""Pages that axe looks at: it takes seconds for each."""
READY = "!document.querySelector('.md-search-result__meta').textContent.includes('Initializing')"
"""What is typed before is lost."""
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert built.returncode == 0, built.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser loads with a page; links that people follow are not."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "poster", *(("href",) if tag in ("link", "use", "image") else ()))
        self.found += [value for name, value in attrs if name in names and value]


def test_what_a_browser_loads_is_seen() -> None:
    page = "<link href=a><script src=b></script><img srcset=c><a href=d>"
    assert Loaded(page).found == ["a", "b", "c"]


def test_no_page_loads_from_another_origin(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    loaded = {each for page in pages for each in Loaded(page.read_text(encoding="utf-8")).found}
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    loaded |= {each for sheet in sheets for each in re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", sheet)}
    assert not [each for each in loaded if re.match(r"(?!data:)\w*:?//|http", each)]
    assert len(loaded) > 20


def test_every_page_is_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    linked = re.findall(r'<a href="([^"#]+)\.html" class="md-nav__link', start)
    assert {"index" if each == "." else each for each in linked} >= {str(page) for page in PAGES}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *_: object) -> None:
        """Leave stderr to the tests."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@in_browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
@pytest.mark.timeout(600)
def test_pages_fit_the_screen_and_can_be_used_by_everybody(
    width: int, scheme: str, browser: Any, site: Path, address: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    opened.on("request", lambda each: asked.append(each.url))
    wrong = []
    for page in sorted(path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")):
        opened.goto(f"{address}/{page}.html")
        if opened.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append(f"{page}: wider than the screen")
        for each in axe.run(opened).response["violations"] if page in OF_EACH_KIND else ():
            if each["impact"] in ("serious", "critical"):
                nodes = [node["html"][:160] for node in each["nodes"][:3]]
                wrong.append(f"{page}: {each['id']}, {len(each['nodes'])} times: {nodes}")
    opened.close()
    assert not wrong, "\n".join(wrong)
    assert len(asked) > len(PAGES)
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]


@in_browser
def test_search_works_from_files(site: Path, browser: Any) -> None:
    opened = browser.new_page()
    asked: list[str] = []
    opened.on("request", lambda each: asked.append(each.url))
    opened.goto((site / "index.html").as_uri())
    opened.click(".md-search__input")
    opened.wait_for_function(READY)
    opened.locator(".md-search__input").press_sequentially("max-looks")  # the page listens to keys
    opened.wait_for_selector(".md-search-result__link", timeout=20_000)
    found = opened.locator(".md-search-result__link").evaluate_all("links => links.map(each => each.href)")
    assert any("reference/commands.html" in each for each in found)
    opened.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
