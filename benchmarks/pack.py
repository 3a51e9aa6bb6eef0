"""Measure packs: building, reading, finding again, and the memory of two forked workers.

    python benchmarks/pack.py --data data/svhn > benchmarks/results/pack.md

Timings are medians of several runs with the page cache warm; the best stands beside it, since a
shared machine only ever slows down. Memory is proportional set size (PSS)
from /proc/PID/smaps_rollup, in which a page shared by three processes counts a third for each; pages
of files are left out where noted, since other programs that use torch share those too.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import PIL
from PIL import Image

from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_build import open_or_build
from digitspot.images import decode_image
from digitspot.labels.coco import find_split, read_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet

Row = tuple[str, str]
PHOTO_HW = (3000, 4000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train.json and train/")
    parser.add_argument("--split", default="train")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    split = find_split(args.data, args.split)
    labels = read_labels(split.labels_path)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(labels, split.images_dir, Path(folder), args.repeats))
    print(f"{describe_machine()}; `{args.split}` of {args.data.name}, {len(labels):,} images.\n")
    print("| what | measured |\n| --- | --- |")
    print("\n".join(f"| {what} | {figure} |" for what, figure in rows))


def measure(labels: LabelSet, images_dir: Path, folder: Path, repeats: int) -> Iterator[Row]:
    paths = [images_dir / image.file_name for image in labels.images]
    yield "decode only, 2 threads", rate(lambda: decode(ThreadPoolExecutor(2), paths), len(paths), repeats)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        decode(pool, paths[:256])  # the start of the processes is not measured
        yield "decode only, 2 processes", rate(lambda: decode(pool, paths), len(paths), repeats)
    yield from measure_build(labels, images_dir, folder, repeats)
    yield from measure_photos(folder, repeats)
    pack = open_or_build(labels, images_dir, folder)
    yield from measure_reading(pack, repeats)
    yield from measure_memory(pack)


def measure_build(labels: LabelSet, images_dir: Path, folder: Path, repeats: int) -> Iterator[Row]:
    for workers in (1, 2):
        roots = (folder / f"build-{workers}-{i}" for i in range(repeats))
        build = partial(build_next, roots, labels, images_dir, workers, None)
        yield f"build, {workers} thread{'s'[: workers - 1]}", rate(build, len(labels), repeats)
    open_or_build(labels, images_dir, folder)
    seconds = median(timed(lambda: open_or_build(labels, images_dir, folder), repeats))
    yield "find and open, source unchanged", f"{1000 * seconds:.0f} ms"
    moved = folder / "moved"
    moved.mkdir()
    for image in labels.images:
        (moved / image.file_name).symlink_to(images_dir.resolve() / image.file_name)

    def find_moved() -> None:
        # A folder of another name each time: every content is hashed, nothing is built.
        open_or_build(labels, moved, folder, announce=refuse)
        open_or_build(labels, images_dir, folder, announce=refuse)

    yield "find and open, source moved (all hashed)", f"{500 * median(timed(find_moved, repeats)):.0f} ms"


def build_next(
    roots: Iterator[Path], labels: LabelSet, images_dir: Path, workers: int, longest_side: int | None
) -> None:
    open_or_build(labels, images_dir, next(roots), workers=workers, longest_side=longest_side)


def measure_photos(folder: Path, repeats: int) -> Iterator[Row]:
    labels = write_photos(folder / "photos", num=16)
    for workers in (1, 2):
        roots = (folder / f"photos-{workers}-{i}" for i in range(repeats))
        build = partial(build_next, roots, labels, folder / "photos", workers, 1024)
        what = f"build from 12-megapixel JPEG, longest side 1024, {workers} thread{'s'[: workers - 1]}"
        yield what, rate(build, len(labels), repeats)


def measure_reading(pack: Pack, repeats: int) -> Iterator[Row]:
    order = np.random.default_rng(0).permutation(len(pack)).tolist()
    for verify in (True, False):
        read = partial(read_all, pack, order, verify)
        what = f"random images, one thread, {'checksum compared' if verify else 'not compared'}"
        yield what, rate(read, len(pack), repeats)


def read_all(pack: Pack, order: Sequence[int], verify: bool) -> None:
    for i in order:
        pack.image(i, verify=verify)


def measure_memory(pack: Pack) -> Iterator[Row]:
    """Read the whole pack twice with two forked DataLoader workers and follow their PSS."""
    if importlib.util.find_spec("torch") is None or not Path("/proc/self/smaps_rollup").exists():
        yield "memory of two forked workers", "not measured: needs torch and Linux"
        return
    import torch
    from torch.utils.data import DataLoader

    loader = DataLoader(
        range(len(pack)),  # type: ignore[arg-type]
        batch_size=16,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="fork",
        collate_fn=lambda places: [torch.from_numpy(pack.image(i)) for i in places],
    )
    before = pss_mib(os.getpid(), files=False)
    each, total, seen = 0.0, 0.0, 0
    for _ in range(2):
        for step, batch in enumerate(loader):
            seen += len(batch)
            if step % 25 == 0:
                workers = [child.pid or 0 for child in multiprocessing.active_children()]
                each = max(each, *map(pss_mib, workers))
                total = max(total, sum(pss_mib(pid, files=False) for pid in [*workers, os.getpid()]))
    assert seen == 2 * len(pack)
    yield (
        "PSS of one of two forked DataLoader workers, torch's libraries included, largest",
        f"{each:.0f} MiB",
    )
    yield (
        "PSS without libraries that a worker adds, batches on their way included",
        (f"{(total - before) / 2:.0f} MiB"),
    )


def decode(pool: Executor, paths: Sequence[Path]) -> None:
    chunks = [paths[i : i + 64] for i in range(0, len(paths), 64)]
    assert sum(pool.map(decode_chunk, chunks)) == len(paths)


def decode_chunk(paths: Sequence[Path]) -> int:
    return sum(decode_image(path).shape[2] == 3 for path in paths)


def write_photos(folder: Path, num: int) -> LabelSet:
    """Save smooth noise as large JPEG images without a digit."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize(PHOTO_HW[::-1]).save(stream, "JPEG")
    for i in range(num):
        (folder / f"{i}.jpg").write_bytes(stream.getvalue())
    images = (
        LabelledImage(
            image_id=i,
            file_name=f"{i}.jpg",
            size_hw=PHOTO_HW,
            boxes=np.zeros((0, 4), np.float32),
            labels=np.zeros(0, np.int64),
            areas=np.zeros(0),
            crowd=np.zeros(0, np.bool_),
        )
        for i in range(num)
    )
    return LabelSet.of(images, categories=CategoryMap.homework(), path=folder / "labels.json")


def refuse(_: object) -> None:
    raise AssertionError("built again")


def rate(function: Callable[[], object], num: int, repeats: int) -> str:
    seconds = timed(function, repeats)
    return f"{num / median(seconds):,.0f} img/s (best {num / min(seconds):,.0f})"


def timed(function: Callable[[], object], repeats: int) -> list[float]:
    """Return the seconds of each call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def pss_mib(pid: int, *, files: bool = True) -> float:
    """Return a process's proportional set size, with or without pages of files (mostly libraries)."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    kib = {name: int(value) for name, value, *_ in lines}
    return (kib["Pss:"] if files else kib["Pss_Anon:"] + kib["Pss_Shmem:"]) / 1024


def describe_machine() -> str:
    versions = f"Python {platform.python_version()}, Pillow {PIL.__version__}, numpy {np.__version__}"
    return f"{os.cpu_count()} cores, {versions}"


if __name__ == "__main__":
    main()
