"""How many requests a service answers, and how fast: real HTTP against `digitspot serve`.

python benchmarks/serving.py --images SVHN/test --model general > benchmarks/results/serving.md

Clients send photographs of a folder over connections that stay open, one after the other on each. With
`--flood`, so many more connections push for a while; what is turned away counts apart.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil


def start(model: str, workers: int, port: int, max_waiting: int) -> subprocess.Popen[bytes]:
    options = [
        "--model",
        model,
        "--workers",
        str(workers),
        "--port",
        str(port),
        "--max-waiting",
        str(max_waiting),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "digitspot", "serve", *options], stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200:
                return process
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit("the service did not get ready")


async def send(
    port: int, images: list[bytes], connections: int, seconds: float
) -> tuple[list[float], Counter[int]]:
    """Return the seconds of each answered request, and how many there were of each status."""
    took: list[float] = []
    statuses: Counter[int] = Counter()
    until = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)

    async def client(session: httpx.AsyncClient, number: int) -> None:
        rng = np.random.default_rng(number)
        while time.monotonic() < until:
            begun = time.monotonic()
            body = images[rng.integers(len(images))]
            try:
                answer = await session.post("/v1/read", content=body, headers={"Content-Type": "image/png"})
            except httpx.HTTPError:
                statuses[0] += 1
                continue
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                took.append(time.monotonic() - begun)
            elif "Retry-After" in answer.headers:
                await asyncio.sleep(float(answer.headers["Retry-After"]) * rng.uniform(0.2, 1))

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60) as session:
        await asyncio.gather(*(client(session, number) for number in range(connections)))
    return took, statuses


def memory(process: subprocess.Popen[bytes]) -> float:
    """Return the memory of the service and its workers, in MiB, shared pages counted once."""
    whole = psutil.Process(process.pid)
    family = [whole, *whole.children(recursive=True)]
    return sum(int(each.memory_full_info().pss) for each in family) / 2**20


def row(name: str, took: list[float], statuses: Counter[int], seconds: float, mib: float) -> str:
    good = np.array(took) * 1000
    middle, last = (np.percentile(good, q) for q in (50, 99)) if len(good) else (float("nan"),) * 2
    other = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()) if status != 200)
    return (
        f"| {name} | {len(good) / seconds:.0f} | {middle:.0f} | {last:.0f} | {other or 'none'} | {mib:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--model", default="general")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--steps", type=int, default=1, help="measure so many times in a row")
    parser.add_argument("--flood", type=int, default=160, help="connections of the flood; 0 is none")
    parser.add_argument("--port", type=int, default=8123)
    options = parser.parse_args()
    paths = sorted(options.images.iterdir(), key=lambda path: (len(path.name), path.name))
    images = [path.read_bytes() for path in paths[:400]]
    process = start(options.model, options.workers, options.port, 64)
    print("# Serving\n")
    print(f"`serving.py --model {options.model}`, {options.workers} workers.\n")
    print(
        "| | requests/s | median ms | p99 ms | other answers | MiB |\n| --- | --- | --- | --- | --- | --- |"
    )

    def measure(name: str, connections: int, seconds: float) -> None:
        took, statuses = asyncio.run(send(options.port, images, connections, seconds))
        print(row(name, took, statuses, seconds, memory(process)), flush=True)

    try:
        asyncio.run(send(options.port, images, options.connections, 5))
        for step in range(options.steps):
            measure(f"{options.connections} connections, {step + 1}", options.connections, options.seconds)
        if options.flood:
            measure(f"{options.flood} connections", options.flood, min(options.seconds, 20))
            measure("after it", options.connections, min(options.seconds, 10))
        end(process, options.port, images)
    finally:
        process.kill()


def end(process: subprocess.Popen[bytes], port: int, images: list[bytes]) -> None:
    """Send SIGTERM under load; requests that were taken are answered."""

    async def both() -> Counter[int]:
        sending = asyncio.create_task(send(port, images, 16, 4))
        await asyncio.sleep(1)
        os.kill(process.pid, signal.SIGTERM)
        _, statuses = await sending
        return statuses

    statuses = asyncio.run(both())
    code = process.wait(60)
    told = re.sub(r"[{}]", "", str(dict(statuses)))
    print(f"\nSIGTERM under load: answers by status {told}; exit code {code}. 0 is refused after the end.")


if __name__ == "__main__":
    main()
