"""A training that torchrun starts is the plain one: its weights, its accuracy, its seconds.

python benchmarks/torchrun.py FOLDER                     # on one GPU, about five minutes
python benchmarks/torchrun.py FOLDER --device cpu --processes 2 --ways plain torchrun \\
    --data SVHN --weights models/nano-generated.pt       # two processes on two cores

It trains `nano`: plainly, plainly again, which shows how much CUDA itself varies, by torchrun, and by
torchrun with a process killed once, under --max-restarts. It prints the largest difference of the weights
to the first, and the accuracy on `valid` with its interval.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import psutil
from scipy.stats import binomtest

from digitspot import Reader
from digitspot.labels.coco import find_split, read_labels
from digitspot.training.checkpoint import load_training
from digitspot.training.runlog import Run

WAYS = ("plain", "plain again", "torchrun", "torchrun, killed once")


def train(options: argparse.Namespace, way: str, output: Path) -> float:
    """Train; return the seconds that it took, with a kill at the first checkpoint if that is the way."""
    launch, kill = [sys.executable], "killed" in way
    if "torchrun" in way:
        processes = ["--standalone", "--nproc-per-node", str(options.processes)]
        launch += ["-m", "torch.distributed.run", *processes, *(["--max-restarts", "1"] if kill else [])]
    command = [
        *launch,
        "-m",
        "digitspot",
        "train",
        "nano",
        "--data",
        str(options.data),
        "--output",
        str(output),
    ]
    command += ["--train.device", options.device, "--train.precision", "fp32", "--train.epochs", "3"]
    command += ["--train.validate-every-epochs", "3", "--schedule.branch-epochs"]
    command += [
        "--data.images",
        str(options.images),
        "--train.checkpoint-every-seconds",
        "2" if kill else "60",
    ]
    command += ["--model.weights", options.weights] if options.weights else []
    start = time.monotonic()
    with subprocess.Popen(command) as process:
        while kill and not Run(output).last.exists():
            time.sleep(0.1)
        if kill:
            psutil.Process(process.pid).children()[0].kill()
        if process.wait():
            raise SystemExit(f"failed: {' '.join(command)}")
    return time.monotonic() - start


def largest_difference(first: Path, second: Path) -> float:
    one, other = (load_training(Run(path).last)["learner"]["model"] for path in (first, second))
    return max(float((one[name] - other[name]).abs().max()) for name in one if one[name].is_floating_point())


def accuracy(run: Path, data: Path) -> str:
    split = find_split(data, "valid")
    images = read_labels(split.labels_path, clip=False).images
    answers = Reader.load(run).read_many(split.images_dir / image.file_name for image in images)
    right = sum(answer.text == image.number for answer, image in zip(answers, images, strict=True))
    low, high = binomtest(right, len(images)).proportion_ci(method="wilson")
    return f"{right / len(images):.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="by default 4,000 generated images")
    parser.add_argument("--images", type=int, default=2000, help="of an epoch; there are three")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--weights", help="where all start")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    if options.data is None:
        options.data = options.folder / "data"
        made = ["data", "synth", str(options.data), "--images", "4000", "--seed", "1"]
        subprocess.run([sys.executable, "-m", "digitspot", *made], check=True)
    print(f"# torchrun\n\n`nano`, {options.device}, {options.processes} processes.")
    print(f"3 epochs of {options.images} images.\n")
    print(
        "| way | seconds | largest difference of a weight | accuracy on `valid` |\n| --- | --- | --- | --- |"
    )
    runs = [options.folder / way.replace(" ", "-") for way in options.ways]
    for way, run in zip(options.ways, runs, strict=True):
        seconds = train(options, way, run)
        cells = [
            way,
            f"{seconds:.0f}",
            f"{largest_difference(runs[0], run):.2g}",
            accuracy(run, options.data),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
