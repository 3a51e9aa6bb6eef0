"""Ten images of as many kinds, drawn here and not by `digitspot.synth`, read with `digitspot read`.

python benchmarks/ten_images.py --save ten.png > benchmarks/results/ten_images.md

Two of them show no number. `--command` reads with another installation, such as one without torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc",
    "5": "afgcd", "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abcdfg",
}  # fmt: skip
LINES = {
    "a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2), "f": (0, 0, 0, 1), "g": (0, 1, 1, 1),
}  # fmt: skip


def font(size: int, name: str = "DejaVu Sans:bold") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont(name), size)


def photographed(image: Image.Image, seed: int, blur: float = 0.8, tilt: float = 0.0) -> Image.Image:
    """Return an image as a camera gives it: tilted, soft, unevenly lit, with noise."""
    rng = np.random.default_rng(seed)
    if tilt:
        image = image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=image.getpixel((2, 2)))
    image = image.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(image, np.float32)
    light = np.linspace(*rng.uniform(0.75, 1.1, 2), pixels.shape[1])[None, :, None]
    return Image.fromarray((pixels * light + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))


def door() -> Image.Image:
    image = Image.new("RGB", (640, 460), (96, 52, 40))
    draw = ImageDraw.Draw(image)
    for x in range(0, 640, 128):
        draw.line((x, 0, x, 460), (70, 36, 28), 5)
    draw.ellipse((220, 130, 420, 330), (238, 236, 226), (40, 60, 120), 8)
    draw.text((320, 230), "47", (30, 44, 104), font(92, "DejaVu Serif:bold"), anchor="mm")
    draw.ellipse((560, 250, 600, 290), (200, 170, 70))
    return photographed(image, 1, tilt=3)


def meter() -> Image.Image:
    image = Image.new("RGB", (420, 300), (206, 208, 206))
    draw = ImageDraw.Draw(image)
    draw.text((210, 36), "WATER", (60, 60, 64), font(24), anchor="mm")
    for place, digit in enumerate("038164"):
        left = 66 + 48 * place
        draw.rectangle((left, 92, left + 42, 156), (20, 20, 22) if place < 5 else (150, 24, 28))
        draw.text((left + 21, 124), digit, (238, 238, 232), font(46), anchor="mm")
    draw.text((210, 200), "m³", (60, 60, 64), font(26), anchor="mm")
    draw.ellipse((160, 225, 200, 265), outline=(150, 24, 28), width=4)
    return photographed(image, 2, tilt=-2)


def jersey() -> Image.Image:
    image = Image.new("RGB", (360, 420), (60, 110, 60))
    draw = ImageDraw.Draw(image)
    draw.polygon([(60, 70), (130, 30), (230, 30), (300, 70), (280, 420), (80, 420)], (196, 30, 40))
    draw.text((180, 90), "MORALES", (245, 240, 240), font(30), anchor="mm")
    draw.text((180, 220), "23", (245, 240, 240), font(150), anchor="mm")
    waves = np.sin(np.arange(420) / 40) * 5
    pixels = np.asarray(image)
    folded = np.stack([np.roll(line, round(shift), 0) for line, shift in zip(pixels, waves, strict=True)])
    return photographed(Image.fromarray(folded), 3, blur=1.4)


def display() -> Image.Image:
    image = Image.new("RGB", (420, 200), (28, 30, 34))
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 36, 380, 164), (10, 12, 10))
    for place, digit in enumerate("1905"):
        for segment, (x1, y1, x2, y2) in LINES.items():
            colour = (250, 60, 40) if segment in SEGMENTS[digit] else (34, 16, 14)
            at = [80 + 76 * place + 38 * x - 6 * y for x, y in ((x1, y1), (x2, y2))]
            draw.line((at[0], 62 + 40 * y1, at[1], 62 + 40 * y2), colour, 9)
    return photographed(image, 4, blur=1.5)


def plate() -> Image.Image:
    image = Image.new("RGB", (460, 340), (70, 72, 78))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((90, 50, 370, 290), 14, (246, 246, 240), (20, 20, 20), 6)
    draw.text((230, 112), "K • TX", (20, 20, 22), font(68), anchor="mm")
    draw.text((230, 220), "5082", (20, 20, 22), font(104), anchor="mm")
    return photographed(image, 5, tilt=-4)


def scene() -> Image.Image:
    rng = np.random.default_rng(6)
    wall = rng.normal(150, 9, (750, 1000, 1)) + rng.normal(0, 3, (750, 1000, 3)) + (14, 4, -10)
    image = Image.fromarray(wall.clip(0, 255).astype(np.uint8)).resize((4000, 3000), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    draw.rectangle((900, 900, 1700, 2999), (84, 60, 44))
    for left, top in ((2300, 700), (3100, 700), (2300, 1700), (3100, 1700)):
        draw.rectangle((left, top, left + 500, top + 700), (60, 76, 92), (230, 228, 220), 24)
        draw.line((left + 250, top, left + 250, top + 700), (230, 228, 220), 20)
    draw.rectangle((1830, 1300, 1990, 1400), (30, 54, 120), (240, 240, 240), 6)
    draw.text((1910, 1350), "128", (246, 246, 246), font(64), anchor="mm")
    return photographed(image, 6, blur=1.6)


def bus() -> Image.Image:
    image = Image.new("RGB", (800, 500), (126, 150, 176))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((120, 60, 680, 480), 30, (190, 40, 40))
    draw.rectangle((160, 180, 640, 380), (40, 52, 62))
    draw.rectangle((160, 84, 640, 160), (14, 14, 14))
    lit = Image.new("L", (96, 15), 0)
    ImageDraw.Draw(lit).text((3, 7), "86", 255, font(15), anchor="lm")
    for y, x in zip(*np.nonzero(np.asarray(lit) > 120), strict=True):
        draw.ellipse((170 + 5 * x, 86 + 5 * y, 173 + 5 * x, 89 + 5 * y), (255, 190, 60))
    return photographed(image, 7)


def score() -> Image.Image:
    image = Image.new("RGB", (520, 260), (20, 40, 30))
    draw = ImageDraw.Draw(image)
    draw.text((260, 50), "HOME", (240, 240, 200), font(36), anchor="mm")
    draw.rectangle((170, 90, 350, 220), (0, 0, 0), (200, 200, 200), 5)
    draw.text((260, 155), "74", (255, 220, 60), font(100), anchor="mm")
    return photographed(image, 8, tilt=2)


def wall() -> Image.Image:
    image = Image.new("RGB", (600, 400), (168, 160, 148))
    draw = ImageDraw.Draw(image)
    for row, top in enumerate(range(0, 400, 40)):
        for left in range(-50 * (row % 2), 600, 100):
            draw.rectangle((left, top, left + 96, top + 36), (150 + 9 * (left % 3), 92, 74))
    return photographed(image, 9)


def page() -> Image.Image:
    text = "When the light fell on the old harbour nobody spoke of the storm that had passed over it"
    words = text.split()
    image = Image.new("RGB", (620, 460), (248, 246, 240))
    draw = ImageDraw.Draw(image)
    for line in range(13):
        start = 5 * line % len(words)
        draw.text(
            (40, 30 + 31 * line),
            " ".join((words * 2)[start : start + 8]),
            (36, 36, 40),
            font(17, "DejaVu Serif"),
        )
    return photographed(image, 10, blur=0.5, tilt=1)


IMAGES: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "door": (door, "47"), "meter": (meter, "038164"), "jersey": (jersey, "23"), "display": (display, "1905"),
    "plate of two rows": (plate, "5082"), "scene of 12 megapixels": (scene, "128"), "bus": (bus, "86"),
    "score": (score, "74"), "wall": (wall, ""), "page of text": (page, ""),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", nargs="+", default=[sys.executable, "-m", "digitspot"])
    parser.add_argument("--save", type=Path, help="also write all images into one")
    options = parser.parse_args()
    sheet = Image.new("RGB", (5 * 300, 2 * 230), "white")
    print("# Ten images\n\n| image | true | read | seconds |\n| --- | --- | --- | --- |")
    right = 0
    with TemporaryDirectory() as folder:
        for index, (name, (draw, true)) in enumerate(IMAGES.items()):
            image = draw()
            path = Path(folder) / f"{index}.jpg"
            image.save(path, quality=92)
            start = time.monotonic()
            done = subprocess.run(
                [*options.command, "read", str(path)], capture_output=True, text=True, check=True
            )
            number, seconds = done.stdout.strip(), time.monotonic() - start
            right += number == true
            print(f"| {name} | {true or 'none'} | {number or 'none'} | {seconds:.1f} |", flush=True)
            image.thumbnail((290, 220))
            sheet.paste(image, (300 * (index % 5), 230 * (index // 5)))
    print(f"\n{right} of {len(IMAGES)} right.")
    if options.save:
        sheet.save(options.save)


if __name__ == "__main__":
    main()
