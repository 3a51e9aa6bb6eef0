"""A film of a meter, watched to its end, and once more with a kill -9 in the middle.

python benchmarks/watching.py > benchmarks/results/watching.md

The film is drawn: white digits on black wheels, the last of which turns on between two values. The camera
shakes, the light changes, and now and then something covers the meter.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFilter, ImageFont

RATE, FRAMES_A_VALUE, VOTED, LENGTH, MAX_CHANGE = 10, 16, 5, 5, 3
FIRST = 41_987
WHEEL = 44, 64
"""Width and height of a wheel, in pixels."""


def frame(rng: np.random.Generator, number: int) -> Image.Image:
    value, part = FIRST + number // FRAMES_A_VALUE, number % FRAMES_A_VALUE / FRAMES_A_VALUE
    turn = max(0.0, 2 * part - 1)  # the last wheel rests, then turns on
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans:bold"), 46)
    meter = Image.new("RGB", (WHEEL[0] * LENGTH + 16, WHEEL[1] + 16), (70, 72, 76))
    for place, digit in enumerate(f"{value:0{LENGTH}d}"):
        wheel = Image.new("RGB", WHEEL, (18, 18, 20))
        draw = ImageDraw.Draw(wheel)
        up = turn * WHEEL[1] if place == LENGTH - 1 else 0.0
        for shown, middle in ((digit, WHEEL[1] / 2 - up), (str((int(digit) + 1) % 10), 1.5 * WHEEL[1] - up)):
            draw.text((WHEEL[0] / 2, middle), shown, (235, 235, 228), font, anchor="mm")
        meter.paste(wheel.resize((WHEEL[0] - 4, WHEEL[1])), (8 + place * WHEEL[0] + 2, 8))
    scene = Image.new("RGB", (320, 160), (148, 140, 126))
    scene.paste(meter, (40 + int(rng.integers(-4, 5)), 40 + int(rng.integers(-4, 5))))
    if number % 97 < 6:
        ImageDraw.Draw(scene).rectangle((150, 20, 250, 150), (190, 150, 130))
    light = np.asarray(scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2))), np.float32)
    light = light * rng.uniform(0.6, 1.15) + rng.normal(0, 5, light.shape)
    return Image.fromarray(light.clip(0, 255).astype(np.uint8))


def make_film(path: Path, num: int) -> None:
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.bit_rate = 320, 160, 2_000_000
        for number in range(num):
            for packet in stream.encode(av.VideoFrame.from_image(frame(rng, number))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def watch(film: Path, store: Path) -> subprocess.Popen[bytes]:
    options = ["--every", str(1 / RATE), "--frames", str(VOTED), "--store", str(store)]
    rules = ["--length", str(LENGTH), "--max-change", str(MAX_CHANGE), "--previous", str(FIRST)]
    return subprocess.Popen(
        [sys.executable, "-m", "digitspot", "watch", str(film), *options, *rules], stdout=subprocess.DEVNULL
    )


def values(store: Path) -> list[str | None]:
    with sqlite3.connect(store) as db:
        return [json.loads(row[0])["value"] for row in db.execute("SELECT record FROM readings ORDER BY id")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        film, whole, killed = (Path(folder) / name for name in ("film.mp4", "whole.db", "killed.db"))
        make_film(film, options.frames)
        start = time.monotonic()
        assert watch(film, whole).wait() == 0
        seconds = time.monotonic() - start
        process = watch(film, killed)
        time.sleep(seconds / 2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = len(values(killed))
        assert watch(film, killed).wait() == 0
        with sqlite3.connect(killed) as db:
            keys = sorted(int(row[0]) for row in db.execute("SELECT key FROM frames"))
        told = values(whole)
        given = [None if each is None else int(each) for each in told]
        truth = [FIRST + (index * VOTED + VOTED // 2) // FRAMES_A_VALUE for index in range(len(told))]
        near = [
            got for got, true in zip(given, truth, strict=True) if got is not None and abs(got - true) < 2
        ]
        kept = [each for each in given if each is not None]
        steps = np.diff([FIRST, *kept])
        wrong = int(((steps < 0) | (steps > MAX_CHANGE)).sum())
        print("# Watching\n")
        print(
            f"`watching.py --frames {options.frames}`: {VOTED} frames a value, {MAX_CHANGE} apart at most.\n"
        )
        print("| | |\n| --- | --- |")
        print(f"| values of a film watched whole, seconds | {len(told)}, {seconds:.0f} |")
        print(f"| values when it was killed | {before} |")
        print(f"| every frame once | {keys == list(range(options.frames))} |")
        print(f"| values equal those of the whole run | {values(killed) == told} |")
        print(f"| values that fell, or rose by more than allowed | {wrong} |")
        print(f"| answered | {len(kept)} |")
        print(f"| of these within one of the true value | {len(near)} |")


if __name__ == "__main__":
    main()
