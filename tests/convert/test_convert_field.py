"""Label files as people have them: read with the same boxes, or refused with the cause; nothing is lost."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_formats import Photo, save_image, voc_xml
from PIL import Image

from digitspot.cli import run
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels

PHOTOS = [
    Photo(f"p{n}.png", "train", 60 + n, 40, ((n, 5, 6 + n, 15, 24), (9 - n, 20.5, 7, 31, 26)))
    for n in range(1, 5)
]
Build = Callable[[Path], Path]
"""Writes a source into a folder and returns what to convert."""


def images(folder: Path, name: str = "{stem}.png", photos: Iterable[Photo] = PHOTOS) -> None:
    """Save the images under other names; Pillow needs an ending that it knows."""
    for photo in photos:
        path = folder / name.format(stem=Path(photo.name).stem, number=photo.name[1])
        save_image(photo, path.with_suffix(".png"))
        path.with_suffix(".png").rename(path)


def document(name: str = "{stem}.png", photos: Iterable[Photo] = PHOTOS) -> dict[str, Any]:
    """COCO labels of the images."""
    made: dict[str, Any] = {"images": [], "annotations": []}
    made["categories"] = [{"id": digit, "name": str(digit)} for digit in range(10)]
    for number, photo in enumerate(photos, 1):
        file_name = name.format(stem=Path(photo.name).stem, number=photo.name[1])
        size = {"width": photo.width, "height": photo.height}
        made["images"].append({"id": number, "file_name": file_name, **size})
        for digit, x1, y1, x2, y2 in photo.boxes:
            row = {"id": len(made["annotations"]) + 1, "image_id": number, "category_id": digit}
            made["annotations"].append(row | {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0})
    return made


def coco(
    labels: str, named: str, stored: str, change: Callable[[dict[str, Any]], object] | None = None
) -> Build:
    """COCO at a path, its names, and where the images are."""

    def build(folder: Path) -> Path:
        made = document(named)
        if change:
            change(made)
        (folder / labels).parent.mkdir(parents=True, exist_ok=True)
        (folder / labels).write_text(json.dumps(made))
        images(folder, stored)
        return folder

    return build


def each(part: str, **values: Any) -> Callable[[dict[str, Any]], object]:
    """Return a change of every record; None removes a key, a function makes the value."""

    def change(made: dict[str, Any]) -> None:
        for row in made[part]:
            for key, value in values.items():
                row[key] = value(row) if callable(value) else value
                if value is None:
                    del row[key]

    return change


def relative(made: dict[str, Any]) -> None:
    sizes = {row["id"]: (row["width"], row["height"]) for row in made["images"]}
    for row in made["annotations"]:
        width, height = sizes[row["image_id"]]
        x, y, w, h = row["bbox"]
        row["bbox"] = [x / width, y / height, w / width, h / height]


def swapped(made: dict[str, Any]) -> None:
    for row in made["images"]:
        row["width"], row["height"] = row["height"], row["width"]


def yolo_rows(photo: Photo, names: str = "0123456789") -> str:
    rows = []
    for digit, x1, y1, x2, y2 in photo.boxes:
        x, y = (x1 + x2) / 2 / photo.width, (y1 + y2) / 2 / photo.height
        size = f"{(x2 - x1) / photo.width:.7f} {(y2 - y1) / photo.height:.7f}"
        rows.append(f"{names.index(str(digit))} {x:.7f} {y:.7f} {size}\r\n")
    return "".join(rows)


def yolo(labels: str, stored: str, classes: str | None, **more: str) -> Build:
    """YOLO label files and images at paths, a class file, and more text files by `name__ending`."""

    def build(folder: Path) -> Path:
        images(folder, stored)
        for photo in PHOTOS:
            path = folder / labels.format(stem=Path(photo.name).stem, number=photo.name[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yolo_rows(photo))
        if classes:
            (folder / classes).parent.mkdir(parents=True, exist_ok=True)
            (folder / classes).write_text("\n".join("0123456789") + "\n")
        for name, text in more.items():
            (folder / name.replace("__", ".")).write_text(text)
        return folder

    return build


YAML = 'train: {0}\nval: {0}\nnames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]\n'


def two_yolo(folder: Path) -> Path:
    """Two exports that number their classes differently."""
    for name, order, photos in (("a", "0123456789", PHOTOS[:2]), ("b", "9876543210", PHOTOS[2:])):
        images(folder / name / "train" / "images", photos=photos)
        (folder / name / "train" / "labels").mkdir()
        for photo in photos:
            path = folder / name / "train" / "labels" / photo.name
            path.with_suffix(".txt").write_text(yolo_rows(photo, order))
        text = f"train: ../train/images\nval: ../valid/images\nnames: {json.dumps(list(order))}\n"
        (folder / name / "data.yaml").write_text(text)
    return folder


def voc(
    name: str = "{stem}.png", stored: str = "JPEGImages/{stem}.png", encoding: str = "utf-8", note: str = ""
) -> Build:
    def build(folder: Path) -> Path:
        images(folder, stored)
        (folder / "Annotations").mkdir()
        for photo in PHOTOS:
            stem = Path(photo.name).stem
            xml = voc_xml(photo).replace(photo.name, name.format(stem=stem)).replace("Unknown", f"x{note}")
            data = f'<?xml version="1.0" encoding="{encoding}"?>\n{xml}'.encode(encoding)
            (folder / "Annotations" / f"{stem}.xml").write_bytes(data)
        return folder

    return build


HEADER = ["filename", "class", "xmin", "ymin", "xmax", "ymax"]


def table(mark: str = ",", encoding: str = "utf-8", decimal: str = ".", **style: Any) -> Build:
    """A CSV of corners beside `images/`."""

    def build(folder: Path) -> Path:
        images(folder / "images")
        lines = [*style.get("before", []), mark.join(style.get("header", HEADER))]
        for photo in PHOTOS:
            for digit, *corners in photo.boxes:
                cells = [str(float(corner)).replace(".", decimal) for corner in corners]
                row = [photo.name, style.get("label", "{}").format(digit), *cells]
                lines.append(mark.join(row))
        ending = style.get("ending", "csv")
        data = style.get("newline", "\n").join([*lines, *style.get("after", [])])
        (folder / f"labels.{ending}").write_bytes(data.encode(encoding))
        return folder

    return build


def packed(name: str, inside: str = "", backslashes: bool = False) -> Build:
    """An archive whose name says nothing; its images lie in `train`."""

    def build(folder: Path) -> Path:
        made = coco("made/train.json", "{stem}.png", "made/train/{stem}.png")(folder) / "made"
        files = sorted(path for path in made.rglob("*") if path.is_file())
        if ".tar" in name:
            with tarfile.open(folder / name, "w:gz") as tar:
                tar.add(made, arcname=inside or ".")
            return folder / name
        with zipfile.ZipFile(folder / name, "w") as archive:
            if backslashes:
                archive.writestr("train\\", "")
            for path in files:
                member = zipfile.ZipInfo(inside + str(path.relative_to(made)))
                if backslashes:
                    member.filename = member.filename.replace("/", "\\")
                archive.writestr(member, path.read_bytes())
        return folder / name

    return build


def with_all(folder: Path) -> Path:
    """A file of all images beside those of the splits."""
    for name, photos in (("annotations", PHOTOS), ("train", PHOTOS[:3]), ("val", PHOTOS[3:])):
        (folder / f"{name}.json").write_text(json.dumps(document(photos=photos)))
    images(folder / "images")
    return folder


NFD = unicodedata.normalize("NFD", "Zähler {stem}.png")
NFC = unicodedata.normalize("NFC", NFD)
FOUND = "Images have another name or folder than in their labels: 4 "

READ: list[tuple[str, Build, str]] = [
    ("percent encoding", coco("train.json", "z%C3%A4 {stem}.png", "train/zä {stem}.png"), FOUND),
    ("percent encoding, twice", coco("train.json", "z%2520{stem}.png", "train/z {stem}.png"), FOUND),
    ("plus signs for spaces", coco("train.json", "z+{stem}.png", "train/z {stem}.png"), FOUND),
    ("another case of the ending", coco("train.json", "{stem}.png", "train/{stem}.PNG"), FOUND),
    ("another case of the folder", coco("train.json", "Imgs/{stem}.png", "imgs/{stem}.png"), FOUND),
    ("NFC here, NFD there", coco("train.json", NFC, f"train/{NFD}"), FOUND),
    ("another ending", coco("train.json", "{stem}.jpg", "train/{stem}.png"), FOUND),
    ("no ending", coco("train.json", "{stem}", "train/{stem}.png"), FOUND),
    (
        "a number for a name",
        coco(
            "train.json",
            "{stem}",
            "train/{number}.png",
            lambda made: [row.update(file_name=int(row["file_name"][1])) for row in made["images"]],
        ),
        FOUND,
    ),
    ("spaces around the name", coco("train.json", " {stem}.png ", "train/{stem}.png"), FOUND),
    ("a folder of another machine", coco("a.json", "/home/me/x/{stem}.png", "imgs/{stem}.png"), FOUND),
    ("a drive of Windows", coco("a.json", "C:\\Users\\me\\{stem}.png", "imgs/{stem}.png"), FOUND),
    ("an address", coco("a.json", "https://h.example/d/{stem}.png?sig=a%2F", "imgs/{stem}.png"), FOUND),
    (
        "Label Studio: a project's folder",
        coco("result.json", "images\\1/{stem}.png", "images/{stem}.png"),
        FOUND,
    ),
    (
        "Label Studio: an upload",
        coco("r.json", "/data/upload/3/0a1b2c3d-{stem}.png", "images/{stem}.png"),
        FOUND,
    ),
    ("Label Studio: kept as uploaded", coco("r.json", "{stem}.png", "images/0a1b2c3d-{stem}.png"), FOUND),
    (
        "Label Studio: local files",
        coco("r.json", "/data/local-files/?d=a%2F{stem}.png", "i/{stem}.png"),
        FOUND,
    ),
    ("images beside the folder of labels", coco("annotations/a.json", "{stem}.png", "images/{stem}.png"), ""),
    ("a way up to the images", coco("annotations/a.json", "../i/{stem}.png", "i/{stem}.png"), ""),
    ("FiftyOne's data folder", coco("labels.json", "{stem}.png", "data/{stem}.png"), ""),
    ("images beside the label file", coco("labels.json", "{stem}.png", "{stem}.png"), ""),
    ("a folder for each image", coco("train.json", "{stem}.png", "train/{stem}/{stem}.png"), FOUND),
    ("labels far down", coco("a/b/c/d/labels.json", "{stem}.png", "a/b/c/images/{stem}.png"), ""),
    (
        "a name of two splits",
        coco("annotations/train_val.json", "{stem}.png", "images/{stem}.png"),
        "two splits",
    ),
    ("a name of two splits in one word", coco("trainval.json", "{stem}.png", "i/{stem}.png"), "two splits"),
    (
        "all in one beside the splits",
        with_all,
        "Entries repeat an image with the same labels and were left out: 4 ",
    ),
    (
        "annotation ids twice",
        coco("train.json", "{stem}.png", "train/{stem}.png", each("annotations", id=1)),
        "Annotation ids were missing or stood twice; all got new ids: ",
    ),
    (
        "annotation ids missing",
        coco("train.json", "{stem}.png", "train/{stem}.png", each("annotations", id=None)),
        "Annotation ids were missing or stood twice; all got new ids: ",
    ),
    (
        "annotation ids as text",
        coco("train.json", "{stem}.png", "train/{stem}.png", each("annotations", id="a")),
        "Annotation ids were missing or stood twice; all got new ids: ",
    ),
    (
        "width and height swapped",
        coco("train.json", "{stem}.png", "train/{stem}.png", swapped),
        "Images had width and height swapped in their labels: 4 ",
    ),
    (
        "sizes of zero",
        coco("train.json", "{stem}.png", "train/{stem}.png", each("images", width=0)),
        "Images have no usable size in their labels; it was taken from them: 4 ",
    ),
    (
        "sizes missing",
        coco("train.json", "{stem}.png", "train/{stem}.png", each("images", height=None)),
        "Images have no usable size in their labels; it was taken from them: 4 ",
    ),
    (
        "boxes as fractions",
        coco("train.json", "{stem}.png", "train/{stem}.png", relative),
        "Boxes were fractions of their image and are pixels now: 8 ",
    ),
    (
        "classes as 6.0",
        coco(
            "train.json",
            "{stem}.png",
            "train/{stem}.png",
            each("categories", name=lambda row: float(row["name"])),
        ),
        "",
    ),
    ("YOLO: labels in annotations", yolo("annotations/{stem}.txt", "images/{stem}.png", "classes.txt"), ""),
    ("YOLO: capitals", yolo("Labels/{stem}.txt", "Images/{stem}.PNG", "Classes.txt"), ""),
    ("YOLO: labels in a folder of any name", yolo("mine/{stem}.txt", "door/{stem}.png", "classes.txt"), ""),
    (
        "YOLO: classes among the labels",
        yolo("labels/{stem}.txt", "images/{stem}.png", "labels/classes.txt"),
        "",
    ),
    (
        "YOLO: a folder each of a split",
        yolo("train_labels/{stem}.txt", "train_images/{stem}.png", "c.names"),
        "",
    ),
    ("YOLO: the image's ending kept", yolo("{stem}.png.txt", "{stem}.png", "classes.txt"), ""),
    (
        "YOLO of Roboflow for darknet",
        yolo("train/{stem}.txt", "train/{stem}.png", "train/_darknet.labels"),
        "",
    ),
    (
        "YOLO of CVAT",
        yolo(
            "obj_train_data/{stem}.txt",
            "obj_train_data/{stem}.png",
            "obj.names",
            obj__data="x",
            train__txt="\n".join(f"data/obj_train_data/p{n}.png" for n in range(1, 5)),
        ),
        "",
    ),
    ("YOLO: .jfif", yolo("labels/{stem}.txt", "images/{stem}.jfif", "classes.txt"), ""),
    (
        "YOLO: one folder for both splits",
        yolo("labels/{stem}.txt", "images/{stem}.png", None, data__yaml=YAML.format("images")),
        "",
    ),
    (
        "YOLO: a path of Colab",
        yolo(
            "train/labels/{stem}.txt",
            "train/images/{stem}.png",
            None,
            data__yaml=YAML.format("/content/set/train/images"),
        ),
        "",
    ),
    (
        "YOLO: a list of paths of Windows",
        yolo(
            "labels/{stem}.txt",
            "images/{stem}.png",
            None,
            data__yaml=YAML.format("list.txt"),
            list__txt="\r\n".join(f"C:\\x\\images\\p{n}.png" for n in range(1, 5)),
        ),
        "",
    ),
    ("YOLO: two exports side by side", two_yolo, "Folders that data.yaml names are not there: 2 "),
    ("VOC in gb2312", voc(encoding="gb2312", note="图片"), ""),
    ("VOC in Big5", voc(encoding="big5", note="圖片"), ""),
    ("VOC in Shift JIS", voc(encoding="shift_jis", note="写真"), ""),
    ("VOC in EUC-KR", voc(encoding="euc-kr", note="사진"), ""),
    ("VOC in Latin 1", voc(encoding="iso-8859-1", note="Zähler"), ""),
    ("VOC in UTF-16", voc(encoding="utf-16", note="图片"), ""),
    ("VOC: no ending", voc("{stem}"), FOUND),
    ("VOC: renamed together with the image", voc("IMG_0001.jpg"), FOUND),
    ("CSV of pandas", table(label="{}.0", after=["p4.png,nan,nan,nan,nan,nan"]), ""),
    ("CSV of a European Excel", table(";", "utf-8-sig", ",", label="{},0"), ""),
    ("CSV with Excel's hint", table(";", before=["sep=;"]), ""),
    ("CSV with tabs", table("\t"), ""),
    ("TSV", table("\t", ending="TSV"), ""),
    ("CSV in UTF-16", table("\t", "utf-16"), ""),
    (
        "CSV in capitals, with spaces",
        table(header=["File Name", " Class", "XMIN", "YMIN", "XMAX", "YMAX "]),
        "",
    ),
    ("CSV with quotes", table(label='"{}"', newline="\r\n"), ""),
    ("CSV of an old Mac", table(newline="\r"), ""),
    ("a zip by another name", packed("a.rar"), ""),
    ("a zip in capitals", packed("A.ZIP"), ""),
    ("a zip of Windows PowerShell", packed("a.zip", backslashes=True), ""),
    ("a zip of a folder in a folder", packed("a.zip", "x/y/"), ""),
    ("a tar named zip", packed("a.tar.zip"), ""),
    ("a tar of a dot", packed("a.tgz.tar"), ""),
]


@pytest.mark.parametrize(("build", "note"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_read_with_every_box(
    build: Build, note: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    code = run(["data", "convert", str(build(tmp_path / "in")), str(tmp_path / "out")])
    err = capfd.readouterr().err
    assert (code, re.search(note, err) is not None) == (0, True), err
    found = []
    for path in (path for path in (tmp_path / "out").glob("*.json") if path.stem != "conversion"):
        for image in read_labels(path, clip=False).images:
            digits = (image.labels - 1).tolist()
            found.append((image.size_hw, sorted(zip(digits, image.boxes.round(1).tolist(), strict=True))))
            assert (path.with_suffix("") / image.file_name).is_file()
    told = [
        (
            (photo.height, photo.width),
            sorted((digit, np.round(box, 1).tolist()) for digit, *box in photo.boxes),
        )
        for photo in PHOTOS
    ]
    assert sorted(found) == sorted(told)


def without(build: Build, *names: str) -> Build:
    def spoiled(folder: Path) -> Path:
        source = build(folder)
        for name in names:
            (folder / name).unlink()
        return source

    return spoiled


def damaged_member(folder: Path) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.json", "0123456789" * 1000)
    content = bytearray(path.read_bytes())
    content[45:60] = bytes(15)
    path.write_bytes(content)
    return path


def bytes_of(name: str, data: bytes) -> Build:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(data.ljust(600, b"\0"))
        return folder / name

    return build


def also(build: Build, name: str, text: str) -> Build:
    def spoiled(folder: Path) -> Path:
        source = build(folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        return source

    return spoiled


def turned(folder: Path) -> Path:
    """Images that a viewer turns, with labels of the pixels as they are stored."""
    made = coco("train.json", "{stem}.jpg", "train/{stem}.png")(folder)
    for photo in PHOTOS:
        path = folder / "train" / photo.name
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"), exif=exif)
        path.unlink()
    return made


def copied_splits(folder: Path) -> Path:
    """A file of all images with images of its own, beside the splits with theirs."""
    made = COCO(folder)
    (folder / "all.json").write_text(json.dumps(document()))
    images(folder / "images")
    return made


def archive_in_folder(folder: Path) -> Path:
    packed("a.zip")(folder)
    shutil.rmtree(folder / "made")
    return folder


def of_another_kind(folder: Path) -> Path:
    YOLO(folder)
    (folder / "images" / "p2.png").write_bytes(b"no image")
    (folder / "images" / "p2.png").rename(folder / "images" / "p2.heic")
    return folder


def two_splits_one_name(folder: Path) -> Path:
    """Both splits have a p1.png; the one of `train` is gone."""
    for split in ("train", "valid"):
        images(folder / split)
        (folder / split / "_annotations.coco.json").write_text(json.dumps(document()))
    (folder / "train" / "p1.png").unlink()
    return folder


def twice_under_one_name(folder: Path) -> Path:
    images(folder / "a")
    images(folder / "b")
    (folder / "labels.json").write_text(json.dumps(document()))
    return folder


def contradicting(folder: Path) -> Path:
    made = with_all(folder)
    other = document(photos=PHOTOS[:3])
    other["annotations"][0]["bbox"][0] += 1
    (folder / "train.json").write_text(json.dumps(other))
    return made


YOLO = yolo("labels/{stem}.txt", "images/{stem}.png", "classes.txt")
COCO = coco("train.json", "{stem}.png", "train/{stem}.png")
REFUSED: list[tuple[str, Build, str]] = [
    (
        "no image",
        without(COCO, *(f"train/p{n}.png" for n in range(1, 5))),
        r"no image was found.*\n.*in/train/p1\.png \(tried also .*in/p1\.png\)",
    ),
    ("the first image is gone", two_splits_one_name, r"1 of 8 images are missing:\n.*train/p1\.png"),
    ("YOLO: an image of a kind that is not read", of_another_kind, r"p2\.txt \(p2\.heic is none that can"),
    ("a folder with an archive", archive_in_folder, r"no labels found, but archives: a\.zip"),
    ("YOLO: a label without its image", without(YOLO, "images/p2.png"), r"1 of 4 .*\n.*image of .*p2\.txt"),
    ("YOLO: no label file", without(YOLO, *(f"labels/p{n}.txt" for n in range(1, 5))), r"no labels found"),
    ("YOLO: no class file", without(YOLO, "classes.txt"), r"p1\.txt: nothing names its classes"),
    (
        "labels without boxes",
        coco("train.json", "{stem}.png", "train/{stem}.png", lambda made: made["annotations"].clear()),
        r"none of 4 images has a box",
    ),
    ("one name, two images", twice_under_one_name, r"'p1\.png' may be .*a/p1\.png or .*b/p1\.png"),
    ("two files contradict each other", contradicting, r"p1\.png: .*annotations\.json.* and .*train\.json.*"),
    (
        "one image in two splits",
        also(COCO, "val.json", json.dumps(document("train/{stem}.png"))),
        r"p1\.png: is in train by .* and in valid by .*val\.json",
    ),
    (
        "sizes of other images",
        coco("train.json", "{stem}.png", "train/{stem}.png", each("images", width=640)),
        r"4 images are not of the size that their labels state:\n.*p1\.png: the image is 61 x 40",
    ),
    (
        "labels from before the EXIF turn",
        turned,
        r"4 images have an EXIF orientation(.|\n)*--exif-boxes stored",
    ),
    (
        "XML that is not in its encoding",
        also(
            voc(encoding="utf-8"),
            "Annotations/x.xml",
            "<?xml version='1.0' encoding='klingon'?><annotation/>",
        ),
        r"x\.xml: .*unknown encoding 'klingon'",
    ),
    ("RAR", bytes_of("a.zip", b"Rar!\x1a\x07"), r"is a RAR archive, which is not read\n.*Unpack it"),
    ("7-Zip", bytes_of("a.zip", b"7z\xbc\xaf\x27\x1c"), r"is a 7-Zip archive"),
    ("gzip of one file", bytes_of("a.json.gz", b"\x1f\x8b\x08"), r"single packed file or damaged\n.*Unpack"),
    ("a zip with a damaged member", damaged_member, r"a\.zip: is damaged and cannot be unpacked\n.*again"),
    ("a zip that is not one", bytes_of("a.zip", b"hello"), r"a\.zip: is damaged or no zip or tar archive"),
]


@pytest.mark.parametrize(
    ("build", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused_with_the_cause(
    build: Build, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    assert run(["data", "convert", str(build(tmp_path / "in")), str(tmp_path / "out")]) == 3
    err = capfd.readouterr().err
    assert re.search(message, err), err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("named_by", ["COCO", "YOLO"])
def test_boxes_from_before_the_exif_turn_are_turned(named_by: str, tmp_path: Path) -> None:
    """A bright square stays under its box, however the image is stored."""
    for orientation in range(1, 9):
        source = tmp_path / f"in{orientation}"
        (source / "train").mkdir(parents=True)
        pixels = np.zeros((40, 60, 3), np.uint8)
        pixels[8:20, 10:16] = 255
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(source / "train" / "1.png", exif=exif)
        made = document("1.png", [Photo("1.png", "train", 60, 40, ((7, 10, 8, 16, 20),))])
        if named_by == "COCO":
            (source / "train.json").write_text(json.dumps(made))
        else:
            (source / "train" / "1.txt").write_text(f"7 {13 / 60} {14 / 40} {6 / 60} {12 / 40}")
            (source / "classes.txt").write_text("\n".join("0123456789"))
        output = tmp_path / f"out{orientation}"
        flags = ["--exif-boxes", "stored", "--valid-fraction", "0"]
        assert run(["data", "convert", str(source), str(output), *flags]) == 0
        (image,) = read_labels(output / "train.json", clip=False).images
        x1, y1, x2, y2 = image.boxes[0].round().astype(int).tolist()
        upright = decode_image(output / "train" / "1.png")
        assert upright.shape[:2] == image.size_hw
        assert upright[y1:y2, x1:x2].min() == 255
        assert upright.astype(bool).sum() == (y2 - y1) * (x2 - x1) * 3


def test_what_is_not_used_is_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    COCO(tmp_path / "in")
    images(tmp_path / "in" / "more", photos=PHOTOS[:1])
    (tmp_path / "in" / "more" / "notes.txt").write_text("dear diary")
    (tmp_path / "in" / "more" / "x.heic").write_text("?")
    assert run(["data", "convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    err = capfd.readouterr().err
    assert "Images are named by no label and were left out: 1 (such as more/p1.png)" in err
    assert "Text or label files were not read: 1 (such as more/notes.txt)" in err
    assert "Other files were left out: 1 (such as more/x.heic)" in err


def test_crowds_stay_marked(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    build = coco("train.json", "{stem}.png", "train/{stem}.png", each("annotations", iscrowd=1))
    flags = ["--valid-fraction", "0"]
    assert run(["data", "convert", str(build(tmp_path / "in")), str(tmp_path / "out"), *flags]) == 0
    assert read_labels(tmp_path / "out" / "train.json").crowd.all()
