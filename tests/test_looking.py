"""Looking at a data set: the figures are right, the sheets show what they say."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from digitspot.cli import run
from digitspot.labels.coco import read_labels
from digitspot.labels.statistics import GRID, measure
from digitspot.plots import SERIES, save
from digitspot.preview import choose_images
from digitspot.statistics_plot import statistics_plot

BOXES = {1: [], 2: [[10, 10, 5, 20]], 3: [[0, 0, 30, 40], [50, 0, 50, 40]]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images 100 x 40 with 0, 1 and 2 digits; the last has a crowd, too."""
    (tmp_path / "train").mkdir()
    images = [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 40} for i in BOXES]
    rows = [
        {"id": 10 * i + n, "image_id": i, "category_id": 1 + n, "bbox": box}
        for i, boxes in BOXES.items()
        for n, box in enumerate(boxes)
    ]
    rows.append({"id": 99, "image_id": 3, "category_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 1})
    (tmp_path / "train.json").write_text(json.dumps({"images": images, "annotations": rows}))
    for image in images:
        Image.new("RGB", (100, 40), (90, 90, 90)).save(tmp_path / "train" / image["file_name"])
    return tmp_path


def test_measured_by_hand(data: Path) -> None:
    found = measure(read_labels(data / "train.json"))
    assert found.num_images == 3
    assert found.heights.tolist() == [20, 40, 40]
    assert found.shares.tolist() == [0.5, 1, 1]
    assert found.aspects.tolist() == [0.25, 0.75, 1.25]
    assert found.digits.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert found.lengths.tolist() == [1, 1, 1]
    assert found.short_sides.tolist() == [40, 40, 40]
    assert found.positions.shape == GRID
    assert found.positions[:, -1].tolist() == pytest.approx([1 / 3] * GRID[0])  # the right half: one of three
    assert found.positions[12, 6] == pytest.approx(2 / 3)


def test_the_figure_takes_any_split(data: Path) -> None:
    full = measure(read_labels(data / "train.json"))
    document = json.loads((data / "train.json").read_text())
    (data / "valid.json").write_text(json.dumps(document | {"annotations": []}))
    bare = measure(read_labels(data / "valid.json"))
    file = io.BytesIO()
    save(statistics_plot("mine", {"train": full, "valid": bare, "test": full}), file, "png")
    image = Image.open(file).convert("RGB")
    colours = {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in image.getcolors(1 << 24) or []}
    assert set(SERIES[:3]) <= colours


def test_stats_on_the_command_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "stats", str(data), "--output", str(data / "figure.png")]) == 0
    assert "0, 1, 2 ... digits" in capsys.readouterr().out
    with Image.open(data / "figure.png") as figure:
        assert figure.width > 1000
    assert run(["data", "stats", str(data), "--output", str(data / "figure.txt")]) == 2
    assert run(["data", "stats", str(data / "gone"), "--output", str(data / "figure.png")]) == 3


def test_preview_as_labelled_and_augmented(data: Path) -> None:
    sheet, wide = data / "sheet.png", data / "wide.png"
    assert run(["data", "preview", str(data), "--images", "2", "--output", str(sheet)]) == 0
    augmented = ["--augmented", "3", "--output", str(wide)]
    assert run(["data", "preview", str(data), "--images", "2", *augmented]) == 0
    with Image.open(sheet) as one, Image.open(wide) as four:
        assert four.width > 1.8 * one.width  # four views in a row, in the place of two images
    before = wide.read_bytes()
    assert run(["data", "preview", str(data), "--images", "2", *augmented]) == 0
    assert wide.read_bytes() == before
    assert run(["data", "preview", str(data), "--images", "0"]) == 2


def test_the_choice_is_seeded(data: Path) -> None:
    labels = read_labels(data / "train.json")
    assert [image.image_id for image in choose_images(labels, 9, 0)] == [1, 2, 3]
    chosen = {tuple(image.image_id for image in choose_images(labels, 1, seed)) for seed in range(20)}
    assert chosen == {(1,), (2,), (3,)}
