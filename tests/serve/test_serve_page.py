"""The page in a real browser: Chromium without a window, driven by Playwright."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command_line import digitspot
from digitspot.synth.generate import make_image, subject_of

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.timeout(180),
]

TRANSFER = """([bytes, name]) => {
    const data = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
    const held = new DataTransfer();
    held.items.add(new File([data], name, { type: "image/png" }));
    return held;
}"""


def png(index: int) -> bytes:
    held = io.BytesIO()
    Image.fromarray(make_image(0, "train", index, subject_of("train", "plates")).image).save(held, "PNG")
    return held.getvalue()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture(params=["light", "dark"])
def page(
    request: pytest.FixtureRequest, browser: Any, served: tuple[subprocess.Popen[bytes], str]
) -> Iterator[Any]:
    """The page on a telephone; nothing is asked of another origin, and nothing goes wrong in its script."""
    _, address = served
    opened = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=request.param)
    asked: list[str] = []
    wrong: list[str] = []
    opened.on("request", lambda each: asked.append(each.url))
    opened.on("pageerror", lambda each: wrong.append(str(each)))
    opened.goto(address)
    yield opened
    opened.close()
    assert not wrong
    assert not [url for url in asked if not url.startswith((address, "blob:"))]


def wait_for(page: Any, text: str) -> None:
    playwright.expect(page.locator("#state")).to_have_text(text, timeout=60_000)


def test_pictures_are_read_and_corrected_by_keyboard(page: Any, tmp_path: Path) -> None:
    held = page.evaluate_handle(TRANSFER, [base64.b64encode(png(1)).decode(), "one.png"])
    page.dispatch_event("#drop", "drop", {"dataTransfer": held})
    wait_for(page, "1 read.")
    page.evaluate(
        f"async (given) => document.dispatchEvent(Object.assign(new Event('paste'), "
        f"{{ clipboardData: ({TRANSFER})(given) }}))",
        [base64.b64encode(png(2)).decode(), "two.png"],
    )
    wait_for(page, "2 read.")
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(48):
        (folder / f"{index:02d}.png").write_bytes(png(3 + index))
    page.set_input_files("#folder", folder)
    wait_for(page, "50 read.")
    assert page.locator("#list li").count() == 50
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = axe.Axe().run(page).response["violations"]
    assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")]

    page.locator("body").click(position={"x": 1, "y": 1})
    for key in ("x", "n", "4", "n", "2", "Shift+ArrowRight", "Alt+ArrowDown", "Enter"):
        page.keyboard.press(key)
    playwright.expect(page.locator("#list li").first.locator(".sure")).to_have_text("✓")
    assert page.locator("#list li").first.locator(".number").text_content() == "42"
    with page.expect_download() as saved:
        page.click("#coco")
    saved.value.save_as(tmp_path / "labels" / "train.json")
    labels = json.loads((tmp_path / "labels" / "train.json").read_text())
    assert [each["category_id"] for each in labels["annotations"]] == [4, 2]
    [named] = labels["images"]
    (tmp_path / "labels" / "train").mkdir()
    (tmp_path / "labels" / "train" / named["file_name"]).write_bytes(png(1))
    shutil.copytree(tmp_path / "labels" / "train", tmp_path / "labels" / "valid")
    shutil.copy(tmp_path / "labels" / "train.json", tmp_path / "labels" / "valid.json")
    digitspot("data", "check", tmp_path / "labels")
    with page.expect_download() as saved:
        page.click("#csv")
    rows = Path(saved.value.path()).read_text().splitlines()
    assert len(rows) == 51
    assert rows[1].startswith("one.png,42,")


def add(page: Any, name: str, content: bytes) -> None:
    held = page.evaluate_handle(TRANSFER, [base64.b64encode(content).decode(), name])
    page.dispatch_event("#drop", "drop", {"dataTransfer": held})


def test_a_flat_picture_is_not_stretched_under_its_boxes(page: Any) -> None:
    held = io.BytesIO()
    Image.fromarray(make_image(0, "train", 1, subject_of("train", "plates")).image).resize((1200, 150)).save(
        held, "PNG"
    )
    add(page, "strip.png", held.getvalue())
    wait_for(page, "1 read.")
    assert page.evaluate("getComputedStyle(document.getElementById('image')).objectFit") == "contain"


def test_every_picture_has_a_name_of_its_own(page: Any) -> None:
    """A telephone calls each photograph image.jpg."""
    for index in (1, 2, 3):
        add(page, "image.png", png(index))
    wait_for(page, "3 read.")
    assert page.locator("#list .name").all_text_contents() == ["image.png", "image-2.png", "image-3.png"]


def test_keys_after_a_click_and_after_enter(page: Any) -> None:
    """Enter confirms although a button was clicked; what is typed meanwhile is for the next picture."""
    for index in (1, 2, 3):
        add(page, f"{index}.png", png(index))
    wait_for(page, "3 read.")
    page.click("#clear")
    page.click("#add")
    for key in ("4", "Enter", "x", "n", "7", "Enter"):
        page.keyboard.press(key)
    playwright.expect(page.locator("#list li").nth(1).locator(".sure")).to_have_text("✓")
    assert page.locator("#list .number").all_text_contents()[:2] == ["4", "7"]
    page.keyboard.press("x")
    playwright.expect(page.locator("#list li").nth(2).locator(".sure")).to_have_text("edited")
    with page.expect_download():
        page.click("#coco")
    wait_for(page, "1 that you corrected is not confirmed, and not among the labels.")
    left: list[str] = []
    page.on("dialog", lambda dialog: (left.append(dialog.type), dialog.accept()))
    page.reload()
    assert left == ["beforeunload"]
