"""Converting: the same digits at the same places, whatever the format; the source untouched."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from digit_struct_file import write_digit_struct
from foreign_formats import (
    Photo,
    make_photos,
    voc_xml,
    write_coco,
    write_csv,
    write_cvat,
    write_label_studio,
    write_tianchi,
    write_voc,
    write_yolo,
)

import digitspot.convert.write
from digitspot.cli import run
from digitspot.convert.archives import unpack
from digitspot.convert.convert import ConversionOptions, convert
from digitspot.errors import DataError
from digitspot.labels.check import check_data
from digitspot.labels.coco import read_labels
from digitspot.reader import Reader
from digitspot.sources import find_images

SHUFFLED = ["7", "3", "0", "9", "1", "2", "8", "4", "6", "5"]
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def write_mat(photos: list[Photo], folder: Path) -> None:
    for split in ("train", "valid", "test"):
        own = [photo for photo in photos if photo.split == split]
        (folder / split).mkdir(parents=True, exist_ok=True)
        entries = [
            (photo.name, [(d or 10, x1, y1, x2 - x1, y2 - y1) for d, x1, y1, x2, y2 in photo.boxes])
            for photo in own
        ]
        write_digit_struct(folder / split / "digitStruct.mat", entries)
        for photo in own:
            write_coco([photo], folder)
            (folder / f"{split}.json").unlink()


FORMATS: list[tuple[str, str, Callable[[list[Photo], Path], None]]] = [
    ("our own COCO", "coco", write_coco),
    ("COCO from Roboflow", "coco", lambda photos, folder: write_coco(photos, folder, roboflow=True)),
    ("YOLO", "yolo", write_yolo),
    ("YOLO, classes in another order", "yolo", lambda photos, folder: write_yolo(photos, folder, SHUFFLED)),
    ("VOC", "voc", write_voc),
    ("VOC of the challenge", "voc", lambda p, f: write_voc(p, f, database="The VOC2007 Database", first=1)),
    ("CVAT for images", "cvat", write_cvat),
    ("Label Studio", "label-studio", write_label_studio),
    ("Tianchi", "tianchi", write_tianchi),
    ("CSV of left, top, width, height", "csv", write_csv),
    ("CSV of corners and sizes", "csv", lambda photos, folder: write_csv(photos, folder, corners=True)),
    ("digitStruct.mat", "digitstruct", write_mat),
]


def assert_same(photos: list[Photo], folder: Path, tolerance: float, *, clipped: bool = False) -> None:
    """Our layout in `folder` holds these images and boxes."""
    for split in ("train", "valid", "test"):
        told = {photo.name: photo for photo in photos if photo.split == split}
        labels = read_labels(folder / f"{split}.json", clip=False)
        assert {image.file_name for image in labels.images} == set(told)
        for image in labels.images:
            photo = told[image.file_name]
            assert image.size_hw == (photo.height, photo.width)
            assert (image.labels - 1).tolist() == [box[0] for box in photo.boxes]
            wanted = np.array([box[1:] for box in photo.boxes]).reshape(-1, 4)
            if clipped:
                wanted = wanted.clip(0, [photo.width, photo.height] * 2)
            assert np.abs(image.boxes - wanted).max(initial=0) <= tolerance
            assert (folder / split / image.file_name).is_file()


@pytest.mark.parametrize(("kind", "write"), [case[1:] for case in FORMATS], ids=[case[0] for case in FORMATS])
def test_every_format_arrives_in_ours(
    kind: str, write: Callable[[list[Photo], Path], None], tmp_path: Path
) -> None:
    photos = make_photos()
    write(photos, tmp_path / "in")
    before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()}
    done = convert(tmp_path / "in", tmp_path / "out")
    assert done.format == kind
    assert done.counts["train"] == (5, sum(len(photo.boxes) for photo in photos[:5]))
    assert_same(photos, tmp_path / "out", 0.01)
    assert check_data(tmp_path / "out").can_train
    assert {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()} == before


def test_there_and_back(tmp_path: Path) -> None:
    """COCO to YOLO to COCO: half a pixel at most, in fact far less; YOLO cuts boxes to the frame."""
    photos = make_photos()
    write_coco(photos, tmp_path / "coco")
    done = convert(tmp_path / "coco", tmp_path / "yolo", ConversionOptions(to="yolo", image_mode="copy"))
    assert done.notes == {"boxes were cut to the frame": 1}
    convert(tmp_path / "yolo", tmp_path / "back")
    assert_same(photos, tmp_path / "back", 0.01, clipped=True)


def test_names_decide_not_their_order(tmp_path: Path) -> None:
    write_yolo(make_photos(), tmp_path / "in")
    path = tmp_path / "in" / "data.yaml"
    path.write_text(path.read_text().split("names")[0] + f"names: {json.dumps(WORDS)}\n")
    assert convert(tmp_path / "in", tmp_path / "out").classes == {
        WORDS[digit]: digit for digit in {box[0] for photo in make_photos() for box in photo.boxes}
    }
    assert_same(make_photos(), tmp_path / "out", 0.01)
    path.write_text(path.read_text().split("names")[0])
    with pytest.raises(DataError, match="names no classes"):
        convert(tmp_path / "in", tmp_path / "second")


def test_a_class_that_is_no_digit(tmp_path: Path) -> None:
    photo = Photo("1.png", "train", 50, 40, ((1, 2, 3, 20, 30),))
    write_voc([photo], tmp_path / "in")
    path = tmp_path / "in" / "Annotations" / "1.xml"
    other = voc_xml(photo).replace("<name>1<", "<name>plate<").split("<object>")[1]
    path.write_text(voc_xml(photo).replace("</annotation>", f"<object>{other}"))
    with pytest.raises(DataError, match=r"1\.xml: object 2: class 'plate' is not a digit") as caught:
        convert(tmp_path / "in", tmp_path / "out")
    assert "--skip plate" in str(caught.value.hint)
    assert convert(tmp_path / "in", tmp_path / "out", ConversionOptions(skip=["plate"])).counts == {
        "train": (1, 1)
    }


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives(kind: str, tmp_path: Path) -> None:
    photos = make_photos()
    write_yolo(photos, tmp_path / "in" / "export")
    path = tmp_path / f"export.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for each in sorted((tmp_path / "in").rglob("*")):
                archive.write(each, each.relative_to(tmp_path / "in"))
    else:
        with tarfile.open(path, "w:gz") as tar:
            tar.add(tmp_path / "in" / "export", "export")
    convert(path, tmp_path / "out")
    assert_same(photos, tmp_path / "out", 0.01)
    assert not any(each.is_symlink() for each in (tmp_path / "out").rglob("*"))
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"export.{kind}", "in", "out"]


def test_links_of_a_tar_become_files(tmp_path: Path) -> None:
    write_yolo(make_photos(), tmp_path / "in")
    with tarfile.open(tmp_path / "export.tar", "w") as tar:
        for path in sorted(each for each in (tmp_path / "in").rglob("*") if each.is_file()):
            name = path.relative_to(tmp_path / "in")
            if path.suffix == ".png":
                tar.add(path, f"all/extra/{path.name}")
                link = tarfile.TarInfo(f"all/{name}")
                link.type, link.linkname = (
                    tarfile.SYMTYPE,
                    "../" * len(name.parents) + f"all/extra/{path.name}",
                )
                tar.addfile(link)
            else:
                tar.add(path, f"all/{name}")
    folder = tmp_path / "unpacked"
    unpack(tmp_path / "export.tar", folder, lambda *_: None)
    for path in (each for each in (tmp_path / "in").rglob("*") if each.is_file()):
        one = folder / "all" / path.relative_to(tmp_path / "in")
        assert not one.is_symlink()
        assert one.read_bytes() == path.read_bytes()


def test_images_linked_copied_or_left(tmp_path: Path) -> None:
    write_coco(make_photos(), tmp_path / "in")
    for how in ("link", "copy", "none"):
        convert(tmp_path / "in", tmp_path / how, ConversionOptions(image_mode=how))  # type: ignore[arg-type]
    assert (tmp_path / "link" / "train" / "1.png").is_symlink()
    copied = tmp_path / "copy" / "train" / "1.png"
    assert not copied.is_symlink()
    assert copied.read_bytes() == (tmp_path / "in" / "train" / "1.png").read_bytes()
    assert not (tmp_path / "none" / "train").exists()


def test_missing_images(tmp_path: Path) -> None:
    write_coco(make_photos(), tmp_path / "in")
    (tmp_path / "in" / "train" / "3.png").unlink()
    with pytest.raises(DataError, match=r"1 of 9 images are missing:\n.*3\.png"):
        convert(tmp_path / "in", tmp_path / "out")
    assert (
        convert(tmp_path / "in", tmp_path / "out", ConversionOptions(skip_missing=True)).counts["train"][0]
        == 4
    )
    for path in (tmp_path / "in").rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"no image was found.*\n.*test/8\.png \(tried also .*in/8\.png\)"):
        convert(tmp_path / "in", tmp_path / "second")
    done = convert(tmp_path / "in", tmp_path / "labels", ConversionOptions(image_mode="none"))
    assert done.notes == {"images are missing; their sizes are those of the labels or boxes": 9}


def test_a_split_for_validation_keeps_copies_together(tmp_path: Path) -> None:
    """Augmented copies by Roboflow's names, and near-repeats by their pixels, stay on one side."""
    names = [f"{number}_jpg.rf.{copy:032x}.png" for number in range(20) for copy in range(3)]
    photos = [Photo(name, "train", 40 + i, 30, ((1, 5, 5, 15, 25),)) for i, name in enumerate(names)]
    write_coco(photos, tmp_path / "in")
    repeated = tmp_path / "in" / "train" / names[0]
    (tmp_path / "in" / "train" / names[30]).write_bytes(repeated.read_bytes())
    document = json.loads((tmp_path / "in" / "train.json").read_text())
    document["images"][30]["width"] = 40
    (tmp_path / "in" / "train.json").write_text(json.dumps(document))
    sides = []
    for seed in range(5):
        output = tmp_path / f"out{seed}"
        done = convert(tmp_path / "in", output, ConversionOptions(valid_fraction=0.3, seed=seed))
        assert done.counts["train"][0] + done.counts["valid"][0] == 60
        assert 12 <= done.counts["valid"][0] <= 18
        labels = read_labels(output / "valid.json")
        valid = {image.file_name for image in labels.images}
        for start in range(0, 60, 3):
            assert len(valid & set(names[start : start + 3])) in (0, 3)
        assert (names[0] in valid) == (names[30] in valid)
        sides.append(frozenset(valid))
    assert len(set(sides)) > 1
    convert(tmp_path / "in", tmp_path / "again", ConversionOptions(valid_fraction=0.3, seed=0))
    assert (tmp_path / "again" / "valid.json").read_bytes() == (tmp_path / "out0" / "valid.json").read_bytes()


def test_output_that_holds_something(tmp_path: Path) -> None:
    write_coco(make_photos(), tmp_path / "in")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(DataError, match="no earlier conversion"):
        convert(tmp_path / "in", tmp_path / "mine", ConversionOptions(overwrite=True))
    convert(tmp_path / "in", tmp_path / "out", ConversionOptions(to="yolo"))
    with pytest.raises(DataError, match="holds an earlier conversion"):
        convert(tmp_path / "in", tmp_path / "out")
    convert(tmp_path / "in", tmp_path / "out", ConversionOptions(overwrite=True))
    assert (tmp_path / "out" / "train.json").is_file()
    assert not (tmp_path / "out" / "data.yaml").exists()
    for inside in (tmp_path / "in", tmp_path / "in" / "out", tmp_path):
        with pytest.raises(DataError, match="is the source, inside it or around it"):
            convert(tmp_path / "in", inside, ConversionOptions(overwrite=True))


def test_interrupted_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_coco(make_photos(), tmp_path / "in")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(digitspot.convert.write, "write_labels", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_several_formats_in_one_folder(tmp_path: Path) -> None:
    photos = make_photos()
    write_coco(photos, tmp_path / "in")
    write_voc(photos, tmp_path / "in")
    with pytest.raises(DataError, match=r"several formats: coco \(test.json\), voc"):
        convert(tmp_path / "in", tmp_path / "out")
    assert convert(tmp_path / "in", tmp_path / "out", ConversionOptions(source_format="voc")).format == "voc"


def test_classes_txt_beside_the_images(tmp_path: Path) -> None:
    """As labelImg and Label Studio write them: no data.yaml, no splits."""
    photos = [photo for photo in make_photos() if photo.split == "train"]
    write_yolo(photos, tmp_path / "made")
    for name in ("images", "labels"):
        (tmp_path / "made" / "train" / name).rename(tmp_path / "made" / name)
    (tmp_path / "made" / "data.yaml").unlink()
    (tmp_path / "made" / "classes.txt").write_text("\n".join(str(digit) for digit in range(10)))
    (tmp_path / "made" / "labels" / "5.txt").unlink()
    done = convert(tmp_path / "made", tmp_path / "out", ConversionOptions(valid_fraction=0))
    digits = sum(len(photo.boxes) for photo in photos if photo.name != "5.png")
    assert done.counts == {"train": (5, digits)}
    assert done.notes == {"images have no label file and count as images without digits": 1}


def test_the_command_tells_what_it_did(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_coco(make_photos(), tmp_path / "in")
    write_voc(make_photos(), tmp_path / "in")
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--from", "voc", "--to", "yolo", "--skip", "7"]
    assert run(["data", "convert", *arguments]) == 0
    out, err = capfd.readouterr()
    assert "train" in out
    assert "read as voc; class=digit: 0=0" in err
    assert (tmp_path / "out" / "data.yaml").is_file()
    assert run(["data", "convert", *arguments]) == 3
    assert "--overwrite" in capfd.readouterr().err
    assert run(["data", "convert", *arguments, "--overwrite"]) == 0


@pytest.mark.parametrize(("tool", "name"), [("label-studio", "label-studio.json"), ("cvat", "cvat.xml")])
def test_what_is_proposed_comes_back_as_labels(
    tool: str, name: str, tmp_path: Path, small_data: Path, nano_onnx: Path
) -> None:
    """A person accepts all that was read: the same digits are labels then."""
    answers, source = tmp_path / "answers", tmp_path / "source"
    options = ["--output", str(answers), "--propose", tool]
    assert run(["predict", str(nano_onnx), str(small_data / "test.json"), *options]) == 0
    shutil.copytree(small_data / "test", source / "test")
    shutil.copy(answers / name, source / name)
    if tool == "label-studio":
        tasks = json.loads((answers / name).read_text())
        assert all(0 <= each["predictions"][0]["score"] <= 1 for each in tasks)
        accepted = [{"data": each["data"], "annotations": each["predictions"]} for each in tasks]
        (source / name).write_text(json.dumps(accepted))
    images = find_images(small_data / "test.json")
    read = {images.names[key]: Reader.load(nano_onnx).read(path) for key, path in images.paths.items()}
    assert any(each.digits for each in read.values())
    convert(source, tmp_path / "back", ConversionOptions(valid_fraction=0))
    labels = read_labels(tmp_path / "back" / "test.json", clip=False)
    for image in labels.images:
        digits = read[image.file_name].digits
        assert [str(label - 1) for label in image.labels] == [digit.text for digit in digits]
        np.testing.assert_allclose(image.boxes, np.array([d.box for d in digits]).reshape(-1, 4), atol=0.02)


def test_turned_rectangles_of_label_studio_are_refused(tmp_path: Path) -> None:
    write_label_studio(make_photos(), tmp_path / "source")
    path = tmp_path / "source" / "train.json"
    path.write_text(path.read_text().replace('"rotation": 0', '"rotation": 12', 1))
    with pytest.raises(DataError, match="turned by 12 degrees"):
        convert(tmp_path / "source", tmp_path / "out")


def test_names_with_spaces_stand_in_the_lists_of_voc(tmp_path: Path) -> None:
    photos = [replace(photo, name=f"IMG {index}.png") for index, photo in enumerate(make_photos())]
    write_voc(photos, tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out", ConversionOptions())
    for split in ("train", "valid", "test"):
        names = {
            Path(image.file_name).name for image in read_labels(tmp_path / "out" / f"{split}.json").images
        }
        assert names == {photo.name for photo in photos if photo.split == split}
