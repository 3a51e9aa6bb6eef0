"""On one GPU, a training that torchrun starts is the plain one: python benchmarks/torchrun_gpu.py FOLDER

It trains `recipes/nano.yaml` on generated images: twice plainly, which shows how much CUDA itself varies,
and once by torchrun. Then it kills the process of a fourth one once, under --max-restarts. It prints the
largest differences of the weights to the first, and the seconds; about five minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch

from digitspot.training.checkpoint import load_training
from digitspot.training.runlog import Run

PLAIN = [sys.executable]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
RECIPE = Path(__file__).parents[1] / "recipes" / "nano.yaml"
SETTINGS = ["--train.device", "cuda", "--train.precision", "fp32", "--train.epochs", "3",
            "--train.validate-every-epochs", "3", "--schedule.branch-epochs", "[]"]  # fmt: skip


def train(launch: list[str], data: Path, output: Path, kill: bool = False) -> float:
    """Train; return the seconds that it took, with a kill at the first checkpoint if asked."""
    command = [*launch, "-m", "digitspot", "train", str(RECIPE), "--data", str(data), "--output", str(output)]
    start = time.monotonic()
    often = ["--train.checkpoint-every-seconds", "2"] if kill else []
    with subprocess.Popen([*command, *SETTINGS, *often]) as process:
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


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("needs a GPU")
    folder = Path(sys.argv[1])
    data = folder / "data"
    made = ["data", "synth", str(data), "--images", "4000", "--seed", "1"]
    subprocess.run([sys.executable, "-m", "digitspot", *made], check=True)
    again = [*TORCHRUN, "--max-restarts", "1"]
    ways = {"plain": PLAIN, "plain again": PLAIN, "torchrun": TORCHRUN, "torchrun, killed once": again}
    for number, (name, launch) in enumerate(ways.items()):
        seconds = train(launch, data, folder / f"run{number}", kill=launch is again)
        figures = {
            "way": name,
            "seconds": round(seconds, 1),
            "largest_difference": largest_difference(folder / "run0", folder / f"run{number}"),
            "loss": [row["loss"] for row in Run(folder / f"run{number}").metrics() if row["kind"] == "round"],
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
