"""Reading with each runtime: files to answers, one image at a time, and a cold start.

python benchmarks/reading.py runs/mine --labels data/test.json --data data > benchmarks/results/reading.md
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from compare import interleave
from digitspot.answers import read_answers
from digitspot.cores import num_cores
from digitspot.evaluation.answers import evaluate_answers
from digitspot.labels.coco import read_labels, write_labels
from digitspot.labels.labels import LabelSet
from digitspot.reader import Reader
from digitspot.runtime.opening import Precision, RuntimeName

DIGITSPOT = [sys.executable, "-c", "from digitspot.cli import main; main()"]


@dataclass(frozen=True)
class Way:
    """A model, what computes it, and how."""

    model: Path
    runtime: RuntimeName
    precision: Precision

    @property
    def options(self) -> list[str]:
        return ["--runtime", self.runtime, "--precision", self.precision, "--device", "cpu"]

    def load(self) -> Reader:
        return Reader.load(self.model, "cpu", self.runtime, self.precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder whose model can be exported")
    parser.add_argument("--labels", type=Path, required=True, help="images are in the folder beside it")
    parser.add_argument("--data", type=Path, default=None, help="calibrates int8, which is left out without")
    parser.add_argument("--num", type=int, default=None, help="the first images only")
    parser.add_argument("--single", type=int, default=200, help="images read one at a time")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        labels = first_labels(options.labels, folder, options.num)
        images = [folder / "test" / image.file_name for image in labels.images]
        ways = make_ways(options.run, folder, options.data)
        answers = {name: folder / name for name in ways}
        whole = {name: partial(predict, way, labels.path, answers[name]) for name, way in ways.items()}
        cold = {name: partial(read_one, way, images[0]) for name, way in ways.items()}
        files = interleave(whole, options.turns)
        starts = interleave(cold, 2 * options.turns)
        single = one_at_a_time(ways, images[: options.single])
        scores = {name: score(labels, place) for name, place in answers.items()}
    print("# Reading\n")
    print(
        f"`{Path(__file__).name}`, cores: {num_cores()}. {len(labels)} files to pred.json and pred.csv, start"
    )
    print(f"included, median of {options.turns} turns in which the ways alternate; one image from its file,")
    print(
        f"after loading, median of {len(single['torch'])}; `digitspot read` of one image, start included.\n"
    )
    print("| way | files/s | one image | cold read | mAP | accuracy |\n| --- | --- | --- | --- | --- | --- |")
    for name in ways:
        print(
            f"| {name} | {files.rate(name, len(labels)):.0f} | {1e3 * median(single[name]):.1f} ms "
            f"| {median(starts.seconds[name]):.2f} s | {scores[name][0]:.4f} | {scores[name][1]:.4f} |"
        )


def make_ways(run: Path, folder: Path, data: Path | None) -> dict[str, Way]:
    exported = export(run, folder / "model.onnx")
    ways = {
        "torch": Way(run, "torch", "fp32"),
        "torch, bf16": Way(run, "torch", "bf16"),
        "ONNX Runtime": Way(exported, "onnx", "fp32"),
        "OpenVINO": Way(exported, "openvino", "fp32"),
        "OpenVINO, bf16": Way(exported, "openvino", "bf16"),
    }
    if data is not None:
        quantized = export(run, folder / "int8.onnx", "--precision", "int8", "--data", str(data))
        ways["ONNX Runtime, int8"] = Way(quantized, "onnx", "fp32")
        ways["OpenVINO, int8"] = Way(quantized, "openvino", "fp32")
    return ways


def export(run: Path, output: Path, *options: str) -> Path:
    line = [*DIGITSPOT, "export", str(run), "--output", str(output), *options]
    subprocess.run(line, check=True, stdout=sys.stderr)
    return output


def first_labels(path: Path, folder: Path, num: int | None) -> LabelSet:
    """Write the first labels into a folder beside a link to the images; return them."""
    labels = read_labels(path, clip=False)
    write_labels(labels.with_images(labels.images[:num]), folder / "test.json")
    (folder / "test").symlink_to(path.with_suffix("").resolve())
    return read_labels(folder / "test.json", clip=False)


def predict(way: Way, labels: Path, output: Path) -> None:
    run_quietly("predict", way.model, labels, "--output", output, *way.options)


def read_one(way: Way, image: Path) -> None:
    run_quietly("read", image, "--model", way.model, *way.options)


def run_quietly(*arguments: object) -> None:
    subprocess.run([*DIGITSPOT, *map(str, arguments)], check=True, capture_output=True)


def one_at_a_time(ways: Mapping[str, Way], images: Sequence[Path]) -> dict[str, list[float]]:
    """Return the seconds that each way takes for each image, from the file to the number."""
    readers = {name: way.load() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for image in [images[0], *images]:
        for name, reader in readers.items():
            start = time.perf_counter()
            reader.read(image)
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


def score(labels: LabelSet, answers: Path) -> tuple[float, float]:
    """Return mAP and accuracy of what was written."""
    scores = evaluate_answers(labels, read_answers(answers, labels), num_resamples=0)
    return scores.boxes.mean_ap, scores.numbers.accuracy


if __name__ == "__main__":
    main()
