"""Damaged pictures and odd requests against `digitspot serve`: each is answered, none with an error of ours.

python benchmarks/hostile.py --images SVHN/test > benchmarks/results/hostile.md

Pictures are photographs of a folder, cut off, with flipped bits, spliced, with another header, or bombs: few
bytes that state many pixels. `--schema` also runs schemathesis (`pip install schemathesis`) on the OpenAPI
description.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from serving import memory, start

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
TYPES = (
    "image/png",
    "image/jpeg",
    "application/octet-stream",
    "text/plain",
    "multipart/form-data; boundary=x",
    "",
)
SLOWEST = 30.0


def mutate(rng: np.random.Generator, images: list[Image.Image]) -> bytes:
    file = io.BytesIO()
    images[rng.integers(len(images))].save(file, FORMATS[rng.integers(len(FORMATS))])
    data = bytearray(file.getvalue())
    kind = rng.integers(6)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    if kind == 1:
        for _ in range(int(10 ** rng.uniform(0, 3))):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        return bytes(data)
    if kind == 2:
        start, size = rng.integers(len(data)), int(rng.integers(1, 400))
        data[start : start + size] = rng.bytes(int(rng.integers(0, 400)))
        return bytes(data)
    if kind == 3:
        return bytes(data[: rng.integers(4, 64)]) + rng.bytes(int(rng.integers(0, 4000)))
    if kind == 4:
        return bomb(int(rng.integers(1, 2**31)), int(rng.integers(1, 2**31)))
    return rng.bytes(int(rng.integers(0, 4000)))


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG whose header states so many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


async def attack(
    port: int, images: list[Image.Image], number: int, clients: int
) -> tuple[Counter[int], float]:
    statuses: Counter[int] = Counter()
    slowest = 0.0
    left = iter(range(number))

    async def client(session: httpx.AsyncClient, seed: int) -> None:
        nonlocal slowest
        rng = np.random.default_rng(seed)
        for _ in left:
            kind = TYPES[min(len(TYPES) - 1, int(rng.exponential(0.8)))]
            body, begun = mutate(rng, images), time.monotonic()
            while True:
                answer = await session.post("/v1/read", content=body, headers={"Content-Type": kind})
                statuses[answer.status_code] += 1
                if answer.status_code != 503:
                    break
                await asyncio.sleep(0.2)
            slowest = max(slowest, time.monotonic() - begun)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=SLOWEST) as session:
        await asyncio.gather(*(client(session, seed) for seed in range(clients)))
    return statuses, slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--number", type=int, default=20_000)
    parser.add_argument("--schema", action="store_true")
    parser.add_argument("--port", type=int, default=8124)
    options = parser.parse_args()
    paths = sorted(options.images.iterdir(), key=lambda path: (len(path.name), path.name))[:50]
    images = [Image.open(path).convert("RGB") for path in paths]
    process = start("general", 2, options.port, 64)
    try:
        asyncio.run(attack(options.port, images, 500, 8))
        before = memory(process)
        statuses, slowest = asyncio.run(attack(options.port, images, options.number, 8))
        after = memory(process)
        alive = httpx.get(f"http://127.0.0.1:{options.port}/health").status_code
        print("# Damaged pictures\n")
        print(f"`hostile.py`: {options.number:,} requests, 2 workers, 8 connections.\n")
        print("| status | answers |\n| --- | --- |")
        for status, count in sorted(statuses.items()):
            print(f"| {status} | {count:,} |")
        print(f"\nThe slowest took {slowest:.1f} s. Memory: {before:.0f} MiB before, {after:.0f} MiB after.")
        if options.schema:
            tool = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or "schemathesis"
            address = f"http://127.0.0.1:{options.port}/openapi.json"
            # Parameters that contradict each other are refused, which a schema cannot say.
            checks = ["--exclude-checks", "positive_data_acceptance"]
            done = subprocess.run(
                [tool, "run", address, "--max-examples", "100", *checks], stdout=sys.stderr, check=False
            )
            print(f"\nschemathesis ended with {done.returncode}.")
        bad = sum(count for status, count in statuses.items() if status >= 500 and status != 503)
        raise SystemExit(bool(bad or alive != 200))
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
