"""Follow the memory of loading or training from outside the process, once a second.

    python benchmarks/memory.py --output DIR                               # load two cycles of parts
    python benchmarks/memory.py --output DIR --train 2GiB --train.max-updates 400
    python benchmarks/memory.py --output DIR --train none --data SVHN --train.epochs 1

Without `--data` a pack of noise in house numbers' sizes is made, one to four digits an image. What is not
said here goes to `digitspot train`.

Two measures, of the process and all below it: `pss` is the sum of the proportional set sizes, to which
programs that share torch's libraries lend a hand; `full` counts the libraries' pages in full, as if nobody
else had them, and batches that wait in shared memory without being mapped.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from digitspot.config import Config, load_recipe
from digitspot.dataset.splits import open_training
from digitspot.training.allocator import hand_back_freed_memory
from digitspot.training.loader import largest_part, plan_batches, start_loading
from digitspot.training.memory import processes_below, size_text
from digitspot.training.runlog import Run

SETTLE_SECONDS = 4
"""How long the loading process waits once its data is open, for the start to be read."""


@dataclass(frozen=True)
class Row:
    """One reading.

    Attributes:
        seconds: Since the process began.
        phase: What it was doing.
        pss: Proportional set sizes, bytes.
        full: With libraries and waiting batches in full, bytes.
        cpu_seconds: Of the process itself.
    """

    seconds: float
    phase: str
    pss: int
    full: int
    cpu_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="data set, packs, runs and readings")
    parser.add_argument("--data", type=Path, help="a data set in the place of the generated one")
    parser.add_argument("--images", type=int, default=100_000, help="of the generated data set")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/nano.yaml"))
    parser.add_argument("--strategy", default="parts")
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--workers", type=int, help="none is the recipe's")
    parser.add_argument("--cycles", type=int, default=2, help="of loading")
    parser.add_argument("--train", help="train with this budget, e.g. 2GiB, or `none`; else only load")
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    options, settings = parser.parse_known_args()
    os.environ.setdefault("DIGITSPOT_CACHE", str(options.output / "cache"))
    config = load_recipe(options.recipe)
    workers = config.data.workers if options.workers is None else options.workers
    data = replace(config.data, strategy=options.strategy, parts=options.parts, workers=workers)
    config = replace(config, data=data)
    folder: Path = options.data or options.output / "data"
    options.output.mkdir(parents=True, exist_ok=True)
    phase = options.output / "phase.txt"
    if options.load:
        load(config, folder, options.cycles, phase)
        return
    if not folder.exists():
        write_data(folder, options.images)
    samples = open_training(folder, config).samples  # the pack is built before anything is measured
    plan = plan_batches(samples, config)
    print(f"pack {size_text(samples.num_bytes.sum())}, largest part "
          f"{size_text(largest_part(samples, plan, options.cycles))}")  # fmt: skip
    if options.train is None:
        phase.write_text("open")
        rows = follow([sys.executable, *sys.argv, "--load"], phase)
        report_loading(rows, 2 * int(samples.num_bytes.sum()) // options.parts + 100 * 2**20)
    else:
        run = options.output / f"run-{options.train}-{options.strategy}-{int(time.time())}"
        phase.write_text("train")
        rows = follow(train_command(options, config, folder, run) + settings, phase)
        report_training(rows, Run(run))
    name = f"{options.train or 'load'}-{options.strategy}-{len(samples)}-{int(time.time())}.json"
    (options.output / name).write_text(json.dumps([vars(row) for row in rows]))


def report_loading(rows: Sequence[Row], allowed: int) -> None:
    """Print the start and each cycle's peak above it, with what is allowed."""
    start = [row for row in rows if row.phase == "start"]
    print("| MiB above the start | pss | full |\n| --- | --- | --- |")
    for phase in sorted({row.phase for row in rows if row.phase.startswith("cycle")}):
        of_phase = [row for row in rows if row.phase == phase]
        pss = max(row.pss for row in of_phase) - max(row.pss for row in start)
        full = max(row.full for row in of_phase) - max(row.full for row in start)
        print(f"| {phase}, peak of {len(of_phase)} readings | {pss >> 20} | {full >> 20} |")
        usual = np.median([row.full for row in of_phase]) - max(row.full for row in start)
        print(f"| {phase}, median | | {int(usual) >> 20} |")
    print(f"| allowed | {allowed >> 20} | {allowed >> 20} |")
    print(f"| the start itself | {max(row.pss for row in start) >> 20} | {start[-1].full >> 20} |")


def report_training(rows: Sequence[Row], run: Run) -> None:
    """Print the peaks and the rate, that of the updates and the waiting for their batches."""
    records = [record for record in run.metrics() if record["kind"] in ("train", "round")]
    print("| peak pss | peak full | updates | img/s | CPU seconds of the process |\n|" + 5 * " --- |")
    rate = records[-1]["images_seen"] / records[-1]["seconds"]
    pss, full = (max(getattr(row, name) for row in rows) >> 20 for name in ("pss", "full"))
    updates, seconds = records[-1]["step"], rows[-1].cpu_seconds
    print(f"| {pss} MiB | {full} MiB | {updates} | {rate:.1f} | {seconds:.0f} |")


def train_command(options: argparse.Namespace, config: Config, data: Path, run: Path) -> list[str]:
    budget = [] if options.train == "none" else ["--train.memory-budget", options.train]
    strategy = ["--data.strategy", options.strategy, "--data.parts", str(options.parts)]
    program = [sys.executable, "-m", "digitspot", "train", str(options.recipe)]
    workers = ["--data.workers", str(config.data.workers)]
    return [*program, "--data", str(data), "--output", str(run), *strategy, *workers, *budget]


def load(config: Config, data: Path, num_cycles: int, phase: Path) -> None:
    """Load whole cycles and throw the batches away; say in a file what is being done."""
    config = replace(config, train=replace(config.train, epochs=num_cycles))
    samples = open_training(data, config).samples
    plan = plan_batches(samples, config)
    gc.collect()
    hand_back_freed_memory()
    phase.write_text("start")
    time.sleep(SETTLE_SECONDS)
    phase.write_text("begin")
    planned = (batch for epoch in range(num_cycles) for batch in plan.epoch(epoch))
    batches = start_loading(samples, config, planned)
    begun, waits = time.monotonic(), []
    for cycle in range(num_cycles):
        phase.write_text(f"cycle {cycle + 1}")
        for num in plan.batches_per_part(cycle):
            start = time.monotonic()
            next(batches)
            waits.append(time.monotonic() - start)
            for _ in range(num - 1):
                next(batches)
    images = sum(map(plan.num_batches, range(num_cycles))) * config.train.batch_size
    slowest = f", longest wait at a change {1000 * max(waits[1:]):.0f} ms" if waits[1:] else ""
    print(f"{images / (time.monotonic() - begun):.0f} img/s{slowest}", file=sys.stderr)


def follow(command: Sequence[str], phase: Path) -> list[Row]:
    """Run a command and read its memory once a second."""
    process = subprocess.Popen(command)
    rows, begun = [], time.monotonic()
    while process.poll() is None:
        memory = memory_of(processes_below(process.pid))
        rows.append(Row(time.monotonic() - begun, phase.read_text(), *memory, cpu_seconds_of(process.pid)))
        time.sleep(1)
    print(f"exit code {process.returncode}", file=sys.stderr)
    return rows


def memory_of(pids: Sequence[int]) -> tuple[int, int]:
    """Return the bytes of `Row.pss` and `Row.full`."""
    pss, own, libraries, waiting, mapped = 0, 0, 0, {}, set()
    for pid in pids:
        try:
            sizes = fields(f"/proc/{pid}/smaps_rollup") | fields(f"/proc/{pid}/status")
            waiting |= dict(open_shared_memory(pid))
            mapped |= set(mapped_shared_memory(pid))
        except (OSError, KeyError):  # it has just ended
            continue
        pss += sizes.get("Pss", 0)
        own += sizes.get("Pss_Anon", 0) + sizes.get("Pss_Shmem", 0)
        libraries = max(libraries, sizes.get("RssFile", 0))
    unmapped = sum(num_bytes for inode, num_bytes in waiting.items() if inode not in mapped)
    return pss, own + libraries + unmapped


def cpu_seconds_of(pid: int) -> float:
    """Return the time that all threads of a process have computed, which other programs hardly change."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def fields(path: str) -> dict[str, int]:
    """Return the sizes that a file of /proc states, in bytes."""
    rows = (line.split() for line in Path(path).read_text().splitlines())
    return {row[0].rstrip(":"): 1024 * int(row[1]) for row in rows if row[2:] == ["kB"]}


def open_shared_memory(pid: int) -> Iterator[tuple[int, int]]:
    """Yield inode and bytes of each piece of shared memory that a process holds open."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # it has just been closed
            if os.readlink(descriptor).startswith("/dev/shm/"):
                stat = descriptor.stat()
                yield stat.st_ino, 512 * stat.st_blocks


def mapped_shared_memory(pid: int) -> Iterator[int]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if "/dev/shm/" in line:
            yield int(line.split()[4])


def write_data(folder: Path, num: int) -> None:
    """Write noise as BMP, in the sizes of house numbers' images; `valid` has a hundredth."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, 2**24, np.uint8)
    for name, count in (("train", num), ("valid", max(1, num // 100))):
        (folder / name).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        boxes: list[dict[str, Any]] = []
        for i in range(count):
            height = int(np.clip(random.lognormal(3.9, 0.5), 20, 400))
            width = int(height * random.uniform(1.2, 3.5))
            size = 3 * height * width
            start = int(random.integers(len(noise) - size))
            pixels = noise[start : start + size].reshape(height, width, 3)
            Image.fromarray(pixels).save(folder / name / f"{i}.bmp")
            images.append({"id": i, "file_name": f"{i}.bmp", "height": height, "width": width})
            boxes += digits_of(i, height, width, int(random.integers(1, 5)), len(boxes))
        categories = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]
        document = {"images": images, "annotations": boxes, "categories": categories}
        (folder / f"{name}.json").write_text(json.dumps(document))


def digits_of(image: int, height: int, width: int, num: int, first: int) -> list[dict[str, Any]]:
    """Return annotations of digits side by side."""
    step = width / num
    xywh = [[step * digit, height * 0.2, step * 0.8, height * 0.6] for digit in range(num)]
    return [
        {
            "id": first + digit,
            "image_id": image,
            "category_id": 1 + (image + digit) % 10,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for digit, box in enumerate(xywh)
    ]


if __name__ == "__main__":
    main()
