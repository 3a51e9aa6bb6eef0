"""Load as the report did, and as `parts` does: memory and rate, then both under a limit of the kernel's.

    python benchmarks/seed_loading.py --data SVHN --output runs/loading > benchmarks/results/seed_loading.md

The report's way: float32 tensors of every image, prepared ahead in ten part files, a DataLoader with four
workers, batches of four, torchvision's resize to 800/1333. First all parts were held in memory; then one
at a time, with a pause of 20 s before the next. Only loading is measured, up to what a network is given.
The sample's images are repeated until there are as many as the homework has.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from digitspot.config import Config, DataConfig, load_recipe, parse_size
from digitspot.dataset.splits import open_training
from digitspot.preprocess import MEAN, STD
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.loader import RemainingBatches, plan_batches, start_loading
from digitspot.training.memory import processes_below, size_text
from memory import follow
from memory_limit import limited

RECIPES = Path(__file__).parents[1] / "recipes"
NUM_PARTS, WORKERS, BATCH, PAUSE_SECONDS = 10, 4, 4, 20.0
"""The report's."""
HOMEWORK = 33_402
Target = dict[str, Tensor]


@dataclass
class Progress:
    """What a way has loaded so far; it is written down often, since the process may be killed.

    Attributes:
        start_seconds: Until the first batch.
        images: Loaded since.
        seconds: Since then, without the changes of part.
        cpu_seconds: Of the process and all below it, with the changes.
        changes: Seconds from the last batch of a part to the first of the next.
    """

    start_seconds: float = 0.0
    images: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    changes: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="data, part files and results go here")
    parser.add_argument("--images", type=int, default=HOMEWORK)
    parser.add_argument("--seconds", type=float, default=120, help="of loading, after the first batch")
    parser.add_argument(
        "--part-images",
        type=int,
        default=1000,
        help="the report's parts end after these, to see a change",
    )
    parser.add_argument("--limit", default="2GiB")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["DIGITSPOT_CACHE"] = str(options.output / "cache")
    if options.way:
        measure(options)
        return
    data = options.output / "data"
    if not data.exists():
        repeat_sample(options.data, data, options.images)
    samples = open_training(data, Config()).samples
    parts = options.output / "parts"
    if not (parts / f"{NUM_PARTS - 1}.pt").exists():
        write_parts(options, parts)
    stored = sum(path.stat().st_size for path in parts.iterdir())
    print(f"{len(samples):,} images: {size_text(int(samples.num_bytes.sum()))} in the pack, "
          f"{size_text(stored)} in part files of float32 tensors.\n")  # fmt: skip
    print("| way | limit | first batch | img/s | a CPU second | change of part | peak | it |")
    print("| --- " * 8 + "|")
    for name in options.ways:
        for limit in (None, options.limit):
            print(row(options, name, limit), flush=True)


def row(options: argparse.Namespace, name: str, limit: str | None) -> str:
    """Run a way in a process of its own and describe what became of it."""
    kept = options.output / f"{name}-{limit or 'free'}.json"
    kept.unlink(missing_ok=True)
    command = [sys.executable, *sys.argv, "--way", name]
    with limited(parse_size(limit)) if limit else nullcontext() as group:
        os.environ["PROGRESS"] = str(kept)
        rows = follow(group.command(command) if group else command)
        killed = group.kills() if group else 0
    progress = json.loads(kept.read_text()) if kept.exists() else {}
    peak = max(used for _, used in rows)
    shown = [WAYS[name][0], limit or "none", *figures(progress), size_text(peak)]
    ended = f"was killed after {rows[-1][0]:.0f} s" if killed else "went on"
    return "| " + " | ".join([*shown, ended]) + " |"


def figures(progress: dict[str, Any]) -> tuple[str, ...]:
    if not progress:
        return "never", "", "", ""
    images, seconds = progress["images"], max(1e-9, progress["seconds"])
    changes = ", ".join(f"{each:.2g} s" for each in progress["changes"]) or "none reached"
    rates = f"{images / seconds:.1f}", f"{images / max(1e-9, progress['cpu_seconds']):.1f}"
    return f"{progress['start_seconds']:.1f} s", *rates, changes


def measure(options: argparse.Namespace) -> None:
    """Load in this process until the time is over, writing down how far it is."""
    begun = time.monotonic()
    progress, part, previous, cpu = Progress(), None, 0.0, 0.0
    for part_now, images in WAYS[options.way][1](options):
        now = time.monotonic()
        if part is None:
            progress.start_seconds, cpu = now - begun, cpu_seconds()
        elif part_now != part:
            progress.changes.append(now - previous)
        else:
            progress.images += images
            progress.seconds += now - previous
        part, previous = part_now, time.monotonic()
        progress.cpu_seconds = cpu_seconds() - cpu
        Path(os.environ["PROGRESS"]).write_text(json.dumps(asdict(progress)))
        if progress.seconds > options.seconds:
            return


def cpu_seconds() -> float:
    """Return what this process and all below it have computed, those that have ended included."""
    ticks = 0
    for pid in processes_below(os.getpid()):
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(map(int, stat[11:15]))  # own user and system time, and that of ended children
    return ticks / os.sysconf("SC_CLK_TCK")


def seed_whole(options: argparse.Namespace) -> Iterator[tuple[Any, int]]:
    """Hold every image's tensor."""
    samples = [each for part in range(NUM_PARTS) for each in read_part(options, part)]
    while True:
        yield from seed_batches(samples, part=0)


def seed_in_parts(options: argparse.Namespace) -> Iterator[tuple[Any, int]]:
    """Hold one part's tensors, drop them, pause, read the next."""
    cycle = 0
    while True:
        for part in range(NUM_PARTS):
            samples = read_part(options, part)
            batches = seed_batches(samples, (cycle, part))
            yield from islice(batches, options.part_images // BATCH)
            batches.close()
            del samples, batches
            gc.collect()
            time.sleep(PAUSE_SECONDS)
        cycle += 1


def read_part(options: argparse.Namespace, part: int) -> list[tuple[Tensor, Target]]:
    return torch.load(options.output / "parts" / f"{part}.pt", weights_only=True)


def seed_batches(samples: list[tuple[Tensor, Target]], part: Any) -> Iterator[tuple[Any, int]]:
    """Go through the tensors once, resized as torchvision's detectors do it."""
    resize = GeneralizedRCNNTransform(800, 1333, MEAN.tolist(), STD.tolist())
    loader = DataLoader(samples, BATCH, shuffle=True, num_workers=WORKERS, collate_fn=as_lists)  # type: ignore[arg-type]
    for images, targets in loader:
        resize(images, targets)
        yield part, len(images)


def as_lists(batch: list[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    images, targets = zip(*batch, strict=True)
    return list(images), list(targets)


def ours(recipe: str) -> Callable[[argparse.Namespace], Iterator[tuple[Any, int]]]:
    """Load by `parts` with a recipe's own size, batch and workers."""

    def load(options: argparse.Namespace) -> Iterator[tuple[Any, int]]:
        config = load_recipe(RECIPES / f"{recipe}.yaml")
        config = replace(config, data=replace(config.data, strategy="parts", parts=NUM_PARTS))
        samples = open_training(options.output / "data", config).samples
        plan = plan_batches(samples, config)
        remaining = RemainingBatches(plan, 1, 0, 0, config.train.epochs)
        loaded = start_loading(samples, config, remaining)
        keep_freed_memory()
        for batch, tensors in zip(remaining, loaded, strict=True):
            yield (batch.epoch, batch.part), len(tensors.image_ids)

    return load


def repeat_sample(sample: Path, folder: Path, num: int) -> None:
    """Write labels in which the sample's training images stand again and again."""
    folder.mkdir(parents=True)
    for name in ("train", "valid"):
        (folder / name).symlink_to((sample / name).resolve())
    (folder / "valid.json").write_text((sample / "valid.json").read_text())
    document = json.loads((sample / "train.json").read_text())
    images, boxes = document["images"], document["annotations"]
    offset = 1 + max(image["id"] for image in images)
    copies = range(-(-num // len(images)))
    document["images"] = [image | {"id": image["id"] + copy * offset} for copy in copies for image in images]
    document["images"] = document["images"][:num]
    kept = {image["id"] for image in document["images"]}
    repeated = [box | {"image_id": box["image_id"] + copy * offset} for copy in copies for box in boxes]
    chosen = [box for box in repeated if box["image_id"] in kept]
    document["annotations"] = [box | {"id": number} for number, box in enumerate(chosen, 1)]
    (folder / "train.json").write_text(json.dumps(document))


def write_parts(options: argparse.Namespace, folder: Path) -> None:
    """Write ten files of float32 tensors in 0..1 with their targets."""
    folder.mkdir(exist_ok=True)
    samples = open_training(options.output / "data", Config(data=DataConfig(parts=NUM_PARTS))).samples
    for part in range(NUM_PARTS):
        stored = []
        for i in range(part, len(samples), NUM_PARTS):
            image = torch.from_numpy(samples.image(i)).permute(2, 0, 1).float() / 255
            boxes, labels = torch.from_numpy(samples.boxes(i)), torch.from_numpy(samples.labels(i))
            stored.append((image.contiguous(), {"boxes": boxes, "labels": labels}))
        torch.save(stored, folder / f"{part}.pt")


WAYS: dict[str, tuple[str, Callable[[argparse.Namespace], Iterator[tuple[Any, int]]]]] = {
    "seed-whole": ("the report's, everything in memory, 800/1333", seed_whole),
    "seed-parts": ("the report's, a part at a time, 800/1333", seed_in_parts),
    "ours-seed": ("`parts`, `recipes/seed.yaml`, 800/1333", ours("seed")),
    "ours-nano": ("`parts`, `recipes/nano.yaml`", ours("nano")),
}


if __name__ == "__main__":
    main()
