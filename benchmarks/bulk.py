"""How fast and how safely `digitspot predict --engine ray` reads very many images.

python benchmarks/bulk.py --folder /tmp/bulk --images 20000 --model models/nano-svhn.onnx

Makes generated images of 64 pixels at most, no two alike and some of them broken. Then come:

1. two processes of `digitspot predict`, each with one thread and a half of the images;
2. `--engine ray` with two workers, whose own memory (USS) is taken as they go;
3. with `--kill`, the same once more on a cluster, where a worker is killed after a quarter of the rows, and
   the process that drives them after half; then the same command again.

Answers are compared to the last digit, by image. The last line of the table is 1's seconds over 2's.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from digitspot.synth.generate import make_image, subject_of

FILES = ("pred.csv", "readings.csv", "errors.csv")
PORT = 6399
NUM_DRAWN = 200


def make(folder: Path, num: int, num_broken: int) -> None:
    """Write images named 1.png and so on: drawn ones again and again, with a pixel that counts."""
    folder.mkdir(parents=True)
    drawn = []
    for index in range(min(num, NUM_DRAWN)):
        image = Image.fromarray(make_image(0, "test", index, subject_of("test", "houses")).image)
        image.thumbnail((64, 64))
        drawn.append(np.asarray(image))
    broken = set(np.random.default_rng(0).choice(num, num_broken, replace=False).tolist())
    for index in range(num):
        pixels = drawn[index % len(drawn)].copy()
        pixels[0, 0] = index % 256, index // 256 % 256, index // 65536
        path = folder / f"{index + 1}.png"
        Image.fromarray(pixels).save(path)
        if index in broken:
            path.write_bytes(path.read_bytes()[:200])


def predict(model: str, images: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    words = ["predict", model, str(images), "--output", str(output), *options]
    return subprocess.Popen(
        [sys.executable, "-m", "digitspot", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def plain(model: str, images: Path, folder: Path, num: int) -> float:
    """Read both halves side by side; return the seconds."""
    halves = []
    for half in range(2):
        listed = images / f"half{half}.txt"
        listed.write_text("".join(f"{i}.png\n" for i in range(half + 1, num + 1, 2)))
        halves.append(listed)
    start = time.monotonic()
    running = [predict(model, each, folder / each.stem) for each in halves]
    codes = [each.wait() for each in running]
    assert set(codes) <= {0, 3}, codes
    return time.monotonic() - start


def answers(*folders: Path) -> dict[str, object]:
    """Return all that stands in answers, by file and image."""
    found: dict[str, object] = {}
    for folder in folders:
        for name in FILES:
            rows = list(csv.reader((folder / name).open())) if (folder / name).exists() else []
            for row in rows[1:]:
                assert f"{name} {row[0]}" not in found, f"{folder}: {row[0]} stands twice in {name}"
                found[f"{name} {row[0]}"] = row
        for row in json.loads((folder / "pred.json").read_text()):
            found.setdefault(f"boxes {row['image_id']}", []).append(row)  # type: ignore[attr-defined]
    return found


def num_rows(output: Path) -> int:
    """Return how many images are done."""
    import pyarrow.parquet as pq

    total = 0
    for path in (output / "checkpoint").glob("*.parquet"):
        with suppress(OSError):  # renamed meanwhile
            total += pq.read_metadata(path).num_rows if "pending" not in path.name else 0
    return total


def workers() -> list[psutil.Process]:
    """Return the processes that hold a reader."""
    found = []
    for each in psutil.process_iter(["cmdline"]):
        if "MapBatches(_Worker)" in " ".join(each.info["cmdline"] or []):
            found.append(each)
    return found


def own_mib() -> float:
    """Return the largest worker's memory that it shares with nobody."""
    sizes = [0.0]
    for each in workers():
        with suppress(psutil.Error):
            sizes.append(each.memory_full_info().uss / 2**20)
    return max(sizes)


def bulk(model: str, images: Path, output: Path) -> tuple[float, str]:
    """Read with two workers; return the seconds, and a table of time and memory by images done."""
    start = time.monotonic()
    process = predict(model, images, output, "--engine", "ray", "--workers", "2")
    memory: dict[int, float] = {}
    seconds: dict[int, float] = {}
    while process.poll() is None:
        time.sleep(2)
        done = num_rows(output)
        memory[done] = max(memory.get(done, 0.0), own_mib())
        seconds.setdefault(done, time.monotonic() - start)
    assert process.returncode in (0, 3), process.returncode
    rows = [f"| {done} | {seconds[done]:.0f} | {memory[done]:.0f} |" for done in memory]
    return time.monotonic() - start, "\n".join(rows)


@contextmanager
def cluster() -> Iterator[None]:
    """Start Ray on this machine, as `ray start` does on each of several."""
    options = [
        "--head",
        f"--port={PORT}",
        "--num-cpus=4",
        "--include-dashboard=false",
        "--disable-usage-stats",
    ]
    ray = Path(sys.executable).with_name("ray")
    os.environ["RAY_AUTH_MODE"] = "disabled"
    subprocess.run([ray, "start", *options], check=True, capture_output=True)
    os.environ["RAY_ADDRESS"] = f"127.0.0.1:{PORT}"
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]
        subprocess.run([ray, "stop", "--force"], check=True, capture_output=True)


def killed(model: str, images: Path, output: Path, num: int) -> str:
    """Kill a worker, then the driver; run the command again. Return what happened."""
    options = ("--engine", "ray", "--workers", "2")
    with cluster():
        process = predict(model, images, output, *options)
        wait_for(output, num // 4, process)
        victim = workers()[0]
        victim.kill()
        at_worker = num_rows(output)
        wait_for(output, num // 2, process)
        process.kill()
        process.wait()
        at_driver = num_rows(output)
        code = predict(model, images, output, *options).wait()
    return (
        f"worker {victim.pid} killed at {at_worker} rows, the driver at {at_driver}; "
        f"the second run ended with exit code {code}"
    )


def wait_for(output: Path, num: int, process: subprocess.Popen[bytes]) -> None:
    while num_rows(output) < num:
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.5)


def told(expected: dict[str, object], output: Path) -> str:
    """Compare answers, and count the rows of each image."""
    import pyarrow.parquet as pq

    rows = pq.read_table(output / "rows", columns=["id", "error"])
    times = Counter(Counter(rows["id"].to_pylist()).values())
    num_errors = len(rows) - rows["error"].null_count
    same = answers(output) == expected
    return f"rows of an image: {dict(times)}; {num_errors} error rows; answers equal: {same}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="new, for images and answers")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--broken", type=int, default=50)
    parser.add_argument("--model", default="models/nano-svhn.onnx")
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    images, num, model = options.folder / "images", options.images, options.model
    make(images, num, options.broken)
    print(f"# Bulk prediction\n\n`bulk.py --images {num}`, {os.cpu_count()} cores.\n", flush=True)
    two = plain(model, images, options.folder, num)
    expected = answers(options.folder / "half0", options.folder / "half1")
    print("| | seconds | images/s |\n| --- | --- | --- |")
    print(f"| two processes | {two:.1f} | {num / two:.1f} |", flush=True)
    if options.kill:
        print(f"\n{killed(model, images, options.folder / 'killed', num)}")
        print(told(expected, options.folder / "killed"), "\n", flush=True)
    took, memory = bulk(model, images, options.folder / "ray")
    print(f"| Ray, two workers | {took:.1f} | {num / took:.1f} |\n| ratio | {two / took:.2f} | |\n")
    print(told(expected, options.folder / "ray"))
    print("\n| images done | after seconds | MiB of the larger worker |\n| --- | --- | --- |")
    print(memory)


if __name__ == "__main__":
    main()
