"""Checking a data set: everything that is wrong is found at once."""

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from digitspot.commands import data_check
from digitspot.config import Config, DataConfig
from digitspot.dataset.splits import open_training
from digitspot.errors import DataError
from digitspot.labels.check import CheckReport, check_data


def make_split(data: Path, name: str, num: int = 3) -> dict[str, Any]:
    """Write a split of `num` images 30 x 20 with a box each; return its labels."""
    (data / name).mkdir(parents=True)
    rng = np.random.default_rng(list(name.encode()))
    images, annotations = [], []
    for image_id in range(1, num + 1):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(data / name / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "width": 30, "height": 20})
        annotations.append({"id": image_id, "image_id": image_id, "category_id": 1, "bbox": [1, 1, 5, 8]})
    labels = {"images": images, "annotations": annotations}
    write(data, name, labels)
    return labels


def write(data: Path, name: str, labels: Any) -> None:
    (data / f"{name}.json").write_text(json.dumps(labels))


def counts(report: CheckReport) -> dict[tuple[str, str, str], int]:
    return {(row.split, row.severity, row.kind): row.count for row in report.rows()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_split(tmp_path, "train")
    make_split(tmp_path, "valid", 1)
    return tmp_path


def test_a_good_folder(data: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = check_data(data, progress=lambda done, total: calls.append((done, total)))
    assert (report.findings, report.can_train) == ((), True)
    assert [(split.name, split.images, split.boxes, split.images) for split in report.splits] == [
        ("train", 3, 3, 3),
        ("valid", 1, 1, 1),
    ]
    assert report.splits[0].categories == "0=1 1=2 2=3 3=4 4=5 5=6 6=7 7=8 8=9 9=10"
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert json.loads(json.dumps(report.to_dict()))["can_train"] is True


def test_all_is_found_at_once(data: Path) -> None:
    labels = make_split(data / "more", "train", 8)
    images, annotations = labels["images"], labels["annotations"]
    images[0]["width"] = 31
    annotations[1]["bbox"] = [25, 1, 10, 8]
    annotations[2]["bbox"] = [30, 1, 10, 8]
    annotations[3]["bbox"] = [1, 1, -3, 8]
    annotations[4]["category_id"] = 11
    annotations[5]["image_id"] = 99
    images[7]["height"] = "20"
    write(data / "more", "train", labels)
    folder = data / "more" / "train"
    (folder / "2.png").unlink()
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:200])
    (folder / "4.png").write_bytes(b"")
    (folder / "extra.jpg").write_bytes(b"not read")
    report = check_data(data / "more" / "train.json", workers=2)
    assert counts(report) == {
        ("train", "error", "bad height"): 1,
        ("train", "error", "annotations of unknown images"): 1,
        ("train", "error", "unknown categories"): 1,
        ("train", "error", "boxes without area"): 1,
        ("train", "error", "sizes unlike the image"): 1,
        ("train", "error", "missing images"): 1,
        ("train", "error", "unreadable images"): 2,
        ("train", "warning", "boxes clipped to the frame"): 1,
        ("train", "warning", "boxes dropped, empty after clipping"): 1,
        ("train", "warning", "images without boxes"): 4,
        ("train", "warning", "images without labels"): 2,  # 8.png too: its record is unusable
    }
    assert not report.can_train
    shown = "\n".join(map(str, report.findings))
    assert "annotation 2 [25, 1, 35, 9] leaves the frame of 30 x 20 (image 2, 2.png)" in shown
    assert "1.png: the image is 30 x 20 pixels, the label file says 31 x 20" in shown
    assert "2.png: no such file" in shown
    assert "belongs to image 8" not in shown  # it is listed, if badly: said once
    assert [row.severity for row in report.rows()] == ["error"] * 7 + ["warning"] * 4
    assert json.loads(json.dumps(report.to_dict()))["splits"][0]["findings"][0]["kind"]


def test_a_lone_label_file_needs_no_images(data: Path, tmp_path: Path) -> None:
    path = (data / "train.json").rename(tmp_path / "alone.json")
    report = check_data(path)
    assert (report.can_train, report.splits[0].name, report.splits[0].files) == (True, "alone", 0)
    assert counts(report) == {("alone", "warning", "missing folders"): 1}
    assert str(report.findings[0]) == (
        f"{tmp_path / 'alone'}: no such folder beside alone.json: no image was checked"
    )


def test_label_files_in_capitals(data: Path) -> None:
    make_split(data, "test", 1)
    for name in ("train", "test"):
        (data / f"{name}.json").rename(data / f"{name}.JSON")
    assert check_data(data).findings == ()
    assert [split.boxes for split in check_data(data).splits] == [3, 1, 1]
    assert check_data(data / "train.JSON").splits[0].images == 3


def test_an_image_is_no_data_set(data: Path) -> None:
    (data / "UP.PNG").write_bytes(b"")
    for path in (data / "train" / "1.png", data / "UP.PNG"):
        with pytest.raises(DataError, match="is an image, not labels") as caught:
            check_data(path)
        assert "train.json" in (caught.value.hint or "")


def test_compressed_labels_are_named(data: Path) -> None:
    packed = data / "train.json.gz"
    packed.write_bytes(gzip.compress((data / "train.json").read_bytes()))
    findings = check_data(packed).findings
    assert [str(finding) for finding in findings] == [f"{packed}: is compressed (gzip)"]


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ({"images": [], "annotations": []}, "empty splits", "lists no images"),
        ([], "wrong shape", "not COCO labels"),
        ({"images": [{"id": 1}], "annotations": []}, "missing keys", "image 1 has no file_name"),
    ],
)
def test_a_split_without_any_usable_image_is_an_error(
    data: Path, labels: Any, kind: str, message: str
) -> None:
    write(data, "valid", labels)
    report = check_data(data)
    assert not report.can_train
    assert any(finding.kind == kind and message in str(finding) for finding in report.findings)


def test_a_split_whose_folder_is_empty_is_an_error(data: Path) -> None:
    (data / "valid" / "1.png").unlink()
    assert counts(check_data(data)) == {("valid", "error", "missing images"): 1}
    (data / "test").mkdir()
    assert counts(check_data(data))[("test", "error", "empty splits")] == 1


def in_subfolders(data: Path) -> None:
    labels = json.loads((data / "train.json").read_text())
    for number, image in enumerate(labels["images"]):
        image["file_name"] = f"{number % 2}/{number}.png"
        (data / "train" / str(number % 2)).mkdir(exist_ok=True)
        (data / "train" / f"{number + 1}.png").rename(data / "train" / image["file_name"])
    write(data, "train", labels)


def unknown_ending(data: Path) -> None:
    labels = json.loads((data / "valid.json").read_text())
    labels["images"][0]["file_name"] = "1.dat"
    (data / "valid" / "1.png").rename(data / "valid" / "1.dat")
    write(data, "valid", labels)


def without_boxes(data: Path) -> None:
    write(data, "train", json.loads((data / "train.json").read_text()) | {"annotations": []})


def boxes_of(data: Path, split: str, **values: Any) -> None:
    labels = json.loads((data / f"{split}.json").read_text())
    for row in labels["annotations"]:
        row.update(values)
    write(data, split, labels)


def turned(data: Path, orientation: int) -> None:
    """Replace the images of `train` by ones that are shown upright with their sides swapped."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    labels = json.loads((data / "train.json").read_text())
    for image in labels["images"]:
        image["file_name"] = image["file_name"].replace(".png", ".jpg")
        Image.new("RGB", (30, 20)).save(data / "train" / image["file_name"], exif=exif)
    write(data, "train", labels)


def swapped(data: Path) -> None:
    labels = json.loads((data / "train.json").read_text())
    for image in labels["images"]:
        image.update(width=20, height=30)
    write(data, "train", labels)


FRACTIONS = [0.1, 0.2, 0.3, 0.4]
AS_FRACTIONS = r"annotation 1 \[0\.1, 0\.2, 0\.3, 0\.4\]; they must be pixels: multiply x and width by"

BOTH_SAY: list[tuple[str, Callable[[Path], None], str | None]] = [
    ("images in subfolders", in_subfolders, None),
    ("an ending that no image has", unknown_ending, None),
    ("crowds in train", lambda data: boxes_of(data, "train", iscrowd=1), "all 3 boxes have iscrowd 1"),
    ("crowds in valid", lambda data: boxes_of(data, "valid", iscrowd=1), "all 1 boxes have iscrowd 1"),
    ("fractions in train", lambda data: boxes_of(data, "train", bbox=FRACTIONS), AS_FRACTIONS),
    ("fractions in valid", lambda data: boxes_of(data, "valid", bbox=FRACTIONS), AS_FRACTIONS),
    (
        "all boxes outside of train",
        lambda data: boxes_of(data, "train", bbox=[40, 0, 5, 5]),
        "no image has a usable box",
    ),
    ("all boxes outside of valid", lambda data: boxes_of(data, "valid", bbox=[40, 0, 5, 5]), None),
    ("one small box", lambda data: boxes_of(data, "valid", bbox=[0, 0, 1, 1.5]), None),
    (
        "labels before the EXIF turn",
        lambda data: turned(data, 6),
        r"before the image's EXIF turn \(orientation 6",
    ),
    ("mirrored, too", lambda data: turned(data, 7), r"EXIF turn \(orientation 7\); .*--exif-boxes stored"),
    ("upside down keeps its size", lambda data: turned(data, 3), None),
    ("sides swapped", swapped, "width and height are swapped, which `digitspot data convert` repairs"),
    ("no valid", lambda data: (data / "valid.json").unlink(), "no valid.json"),
    ("no box", without_boxes, "no image has a usable box"),
]
"""What is done to a data set, and why it cannot be trained on; None where it can."""


@pytest.mark.parametrize(("reason", "change", "message"), BOTH_SAY, ids=[row[0] for row in BOTH_SAY])
def test_check_refuses_what_training_refuses(
    reason: str, change: Callable[[Path], None], message: str | None, data: Path, tmp_path: Path
) -> None:
    change(data)
    report = check_data(data)
    errors = [str(finding) for finding in report.findings if finding.severity == "error"]
    config = Config(data=DataConfig(strategy="files", pack_root=str(tmp_path / "packs")))
    if message is None:
        assert (errors, report.can_train) == ([], True), reason
        open_training(data, config)
        return
    assert not report.can_train, reason
    assert any(re.search(message, error) for error in errors), errors
    with pytest.raises(DataError, match=message):
        open_training(data, config)


def test_corners_instead_of_sides_are_named(data: Path) -> None:
    boxes_of(data, "train", bbox=[18, 8, 26, 18])
    [finding] = [each for each in check_data(data).findings if each.kind == "boxes as corners"]
    assert finding.severity == "warning"
    assert "3 of 3 boxes leave the frame of their image: are they x1, y1, x2, y2" in str(finding)


def test_a_packed_split_is_not_called_incomplete(data: Path) -> None:
    (data / "train").rename(data / "train.pack")
    report = check_data(data)
    assert counts(report) == {("train", "warning", "packed splits"): 1}
    assert (report.can_train, report.splits[0].boxes) == (True, 3)


def test_labels_without_one_box_cannot_train(data: Path) -> None:
    without_boxes(data)
    assert counts(check_data(data)) == {("train", "error", "splits without boxes"): 1}


def test_cut_off_json_does_not_hide_the_rest(data: Path) -> None:
    text = (data / "train.json").read_text()
    (data / "train.json").write_text(text[: len(text) // 2])
    (data / "train" / "1.png").write_bytes(b"no image")
    assert counts(check_data(data)) == {
        ("train", "error", "unreadable labels"): 1,
        ("train", "error", "unreadable images"): 1,
    }


def test_missing_parts(data: Path, tmp_path: Path) -> None:
    (data / "valid.json").unlink()
    report = check_data(data)
    assert counts(report) == {("valid", "error", "incomplete splits"): 1}
    assert "no valid.json; there is train.json, train/, valid/" in str(report.findings[0])
    with pytest.raises(DataError, match="no such file or folder"):
        check_data(tmp_path / "gone")


def test_test_split_may_lack_labels_and_does_not_stop_training(data: Path) -> None:
    make_split(data, "test", 2)
    (data / "test.json").unlink()
    assert check_data(data).findings == ()
    (data / "test" / "1.png").write_bytes(b"")
    report = check_data(data)
    assert counts(report) == {("test", "error", "unreadable images"): 1}
    assert report.can_train
    assert report.splits[2].categories is None


@pytest.mark.svhn
def test_svhn_sample_has_oddities_but_no_errors() -> None:
    report = check_data(Path(os.environ["DIGITSPOT_SVHN"]))
    assert {level for _, level, _ in counts(report)} == {"warning"}
    assert [(split.images, split.boxes) for split in report.splits] == [
        (8119, 18546),
        (900, 2057),
        (3000, 5995),
    ]


def test_one_category_problem_is_said_once(data: Path) -> None:
    labels = json.loads((data / "train.json").read_text()) | {"categories": [{"id": 1, "name": "house"}]}
    write(data, "train", labels)
    report = check_data(data)
    assert counts(report)[("train", "error", "bad categories")] == 1
    assert ("train", "error", "unknown categories") not in counts(report)


def test_escape_codes_in_names_do_not_reach_the_terminal(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = json.loads((data / "train.json").read_text())
    labels["images"][0]["file_name"] = "\x1b[31mred\x1b[0m.png"
    write(data, "train", labels)
    with pytest.raises(DataError, match="training could not run"):
        data_check.run([str(data)])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"\x1b[31m" in shown
