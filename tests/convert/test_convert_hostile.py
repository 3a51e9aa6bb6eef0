"""Files made to harm, or broken: exit code 3, the value and the place, nothing written."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from digit_struct_file import FIELDS, Writer, put_references, write_digit_struct
from foreign_formats import Photo, make_photos, voc_xml, write_coco, write_csv, write_tianchi, write_yolo

from digitspot.cli import run

ONE = Photo("1.png", "train", 50, 40, ((1, 2, 3, 20, 30),))
BOX = (1.0, 2.0, 3.0, 4.0, 5.0)


def mat(change: Callable[[h5py.File, Writer], list[tuple[Any, Any]] | None]) -> Callable[[Path], Path]:
    """Return a way to write a `digitStruct.mat`, from what `change` returns as names and boxes."""

    def write(folder: Path) -> Path:
        with h5py.File(folder / "digitStruct.mat", "w", userblock_size=512) as file:
            pairs = change(file, Writer(file))
            if pairs is not None:
                put_references(file, pairs)
        return folder / "digitStruct.mat"

    return write


def huge_count(file: h5py.File, writer: Writer) -> None:
    group = file.create_group("digitStruct")
    for field in ("name", "bbox"):
        group.create_dataset(field, shape=(10**12, 1), dtype=h5py.ref_dtype, chunks=(1000, 1))


def huge_field(file: h5py.File, writer: Writer) -> list[tuple[Any, Any]]:
    reference = writer.boxes([BOX])
    del file[reference]["label"]
    file[reference].create_dataset("label", shape=(10**11, 1), dtype="f8", chunks=(1000, 1))
    return [(writer.name("1.png"), reference)]


def cycle(file: h5py.File, writer: Writer) -> list[tuple[Any, Any]]:
    """A label that refers to itself."""
    reference = writer.boxes([BOX])
    group = file[reference]
    del group["label"]
    label = group.create_dataset("label", shape=(2, 1), dtype=h5py.ref_dtype)
    label[0, 0] = label[1, 0] = label.ref
    return [(writer.name("1.png"), reference)]


def cycle_to_group(file: h5py.File, writer: Writer) -> list[tuple[Any, Any]]:
    reference = writer.boxes([BOX, BOX])
    file[reference]["top"][0, 0] = file[reference].ref
    return [(writer.name("1.png"), reference)]


def shared_boxes(file: h5py.File, writer: Writer) -> list[tuple[Any, Any]]:
    """Few bytes that claim many digits: every image has the same 9,000."""
    group = file["#refs#"].create_group("shared")
    for field in FIELDS:
        group.create_dataset(field, data=np.ones((9000, 1)), chunks=(9000, 1), compression="gzip")
    return [(writer.name(f"{number}.png"), group.ref) for number in range(400)]


def uneven(file: h5py.File, writer: Writer) -> list[tuple[Any, Any]]:
    reference = writer.boxes([BOX, BOX])
    del file[reference]["top"]
    file[reference].create_dataset("top", data=np.ones((1, 1)))
    return [(writer.name("1.png"), reference)]


def elsewhere(file: h5py.File, writer: Writer) -> None:
    file["digitStruct"] = h5py.ExternalLink("/etc/passwd", "/")


def external_values(file: h5py.File, writer: Writer) -> list[tuple[Any, Any]]:
    reference = writer.boxes([BOX])
    del file[reference]["top"]
    file[reference].create_dataset("top", (1, 1), "f8", external=[("/etc/passwd", 0, 8)])
    return [(writer.name("1.png"), reference)]


def named(name: str) -> Callable[[h5py.File, Writer], list[tuple[Any, Any]]]:
    return lambda file, writer: [(writer.name(name), writer.boxes([BOX]))]


def labelled(label: float) -> Callable[[h5py.File, Writer], list[tuple[Any, Any]]]:
    return lambda file, writer: [(writer.name("7.png"), writer.boxes([(label, *BOX[1:])]))]


def cut_mat(folder: Path) -> Path:
    path = folder / "digitStruct.mat"
    write_digit_struct(path, [(f"{number}.png", [BOX, BOX]) for number in range(50)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def voc(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "Annotations").mkdir()
        (folder / "Annotations" / "1.xml").write_text(text)
        return folder

    return write


LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
BOMB = f'<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a0 "ha">{LAUGHS}]><annotation>&a9;</annotation>'
SECRET = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'
)


def zipped(name: str, *, link: bool = False, size: int = 10) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (0o120777 if link else 0o100644) << 16
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.writestr(info, b"/etc" if link else bytes(size))
        return folder / "a.zip"

    return write


def tarred(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        info.size = 4 if kind == tarfile.REGTYPE else 0
        with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
            archive.addfile(info, io.BytesIO(b"data"))
        return folder / "a.tar.gz"

    return write


def linked_many_times(folder: Path) -> Path:
    """A file that one link after the other makes larger."""
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("x")
        info.size = 2 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
        for number in range(100):
            link = tarfile.TarInfo(f"{number}")
            link.type, link.linkname = tarfile.SYMTYPE, "x"
            archive.addfile(link)
    return folder / "a.tar.gz"


def changed(
    write: Callable[[list[Photo], Path], None], name: str, change: Callable[[str], str]
) -> Callable[[Path], Path]:
    """Return a way to write a data set and to change the text of one of its files."""

    def spoiled(folder: Path) -> Path:
        write(make_photos(), folder)
        (folder / name).write_text(change((folder / name).read_text()))
        return folder

    return spoiled


def yolo(name: str, text: str) -> Callable[[Path], Path]:
    return changed(write_yolo, name, lambda old: text)


def coco(name: str) -> Callable[[Path], Path]:
    return changed(write_coco, "train.json", lambda old: old.replace('"1.png"', json.dumps(name)))


ROTATED = "1 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6\n"
HOSTILE: list[tuple[str, Callable[[Path], Path], str]] = [
    ("mat: a count beyond the file", mat(huge_count), r"/digitStruct/name claims 1,000,000,000,000 entries"),
    ("mat: a field beyond any image", mat(huge_field), r"entry 1: label has 100,000,000,000 values"),
    ("mat: a reference to itself", mat(cycle), r"entry 1: label refers to further references"),
    ("mat: a reference back to its group", mat(cycle_to_group), r"entry 1: top refers to a group"),
    ("mat: boxes shared by all", mat(shared_boxes), r"more digits than a file of [0-9,]+ bytes can hold"),
    ("mat: fields of unequal length", mat(uneven), r"entry 1 \('1.png'\): the fields differ.*1 top"),
    ("mat: a link to another file", mat(elsewhere), r"/digitStruct is ExternalLink"),
    ("mat: values in another file", mat(external_values), r"entry 1, top: its values lie in another file"),
    ("mat: a name that leads out", mat(named("../../x.png")), r"entry 1 .*'../../x.png' leads out of"),
    ("mat: an absolute name", mat(named("/etc/x.png")), r"entry 1 .*'/etc/x.png' leads out of"),
    ("mat: a label that is no digit", mat(labelled(11)), r"entry 1 \('7.png'\): label 11"),
    ("mat: a label that is no number", mat(labelled(np.nan)), r"entry 1 \('7.png'\): label nan"),
    ("mat: cut off", cut_mat, r"digitStruct\.mat: cannot be read as HDF5"),
    ("xml: a billion laughs", voc(BOMB), r"1\.xml: declares a document type or an entity"),
    ("xml: a file of the system", voc(SECRET), r"1\.xml: declares a document type or an entity"),
    ("xml: a name that leads out", voc(voc_xml(ONE).replace("1.png", "../../1.png")), "'../../1.png' leads"),
    ("xml: an infinite corner", voc(voc_xml(ONE).replace(">20<", ">inf<")), r"1\.xml: box 1 .*inf"),
    ("xml: no number", voc(voc_xml(ONE).replace(">20<", ">twenty<")), r"object 1: xmax is 'twenty'"),
    ("xml: a rotated box", voc(voc_xml(ONE).replace("bndbox", "robndbox")), r"object 1: has a rotated box"),
    ("xml: cut off", voc(voc_xml(ONE)[:-20]), r"1\.xml: is not XML"),
    ("coco: a name that leads out", coco("../1.png"), r"image 100: '../1.png' leads out"),
    ("coco: an absolute name", coco("C:\\x.png"), r"image 100: .*leads out"),
    ("yolo: rotated boxes", yolo("train/labels/3.txt", ROTATED), r"3\.txt: line 1: rotated boxes \(OBB\)"),
    ("yolo: rotated boxes of DOTA", yolo("train/labels/3.txt", ROTATED[2:-1] + " 1 0"), r"DOTA's form"),
    ("yolo: polygons", yolo("train/labels/3.txt", "1" + " 0.5" * 12), r"line 1: polygons"),
    ("yolo: a class without a name", yolo("train/labels/3.txt", "77 .5 .5 .1 .1"), r"line 1: class 77 has"),
    ("yolo: pixels", yolo("train/labels/3.txt", "1 50 50 10 10"), r"line 1: '1 50 50 10 10': a row is"),
    ("yolo: not a number", yolo("train/labels/3.txt", "1 nan 0.5 0.1 0.1"), r"line 1: '1 nan 0.5"),
    ("yolo: an absolute folder", yolo("data.yaml", "train: /etc\nnames: ['1']"), r"train: '/etc' leads out"),
    ("yolo: a folder above", yolo("data.yaml", "train: ../../x\nnames: ['1']"), r"'../../x' leads out"),
    ("yolo: code", yolo("data.yaml", "names: !!python/object/apply:os.system [ls]"), r"is not YAML"),
    ("yolo: an alias bomb", yolo("data.yaml", "names: &a [*a, *a]\ntrain: train"), r"yaml: names has 0"),
    (
        "tianchi: a name that leads out",
        changed(write_tianchi, "mchar_train.json", lambda old: old.replace("2.png", "../2.png")),
        r"'../2.png' leads out",
    ),
    (
        "tianchi: lists of unequal length",
        changed(write_tianchi, "mchar_train.json", lambda s: s.replace('"label": [0]', '"label": [0, 1]')),
        r"'2.png': the lists differ in length: 1 left.* 2 label",
    ),
    (
        "csv: a name that leads out",
        changed(write_csv, "boxes.csv", lambda old: old.replace("2.png", "../2.png")),
        r"'../2.png' leads out",
    ),
    (
        "csv: ten for zero",
        changed(write_csv, "boxes.csv", lambda old: old.replace("2.png,0,", "2.png,10,")),
        r"line 3: class '10' is not a digit",
    ),
    ("zip: a member above", zipped("../x.json"), r"member '../x.json' leads out"),
    ("zip: an absolute member", zipped("/x.json"), r"member '/x.json' leads out"),
    ("zip: a link", zipped("x.json", link=True), r"member 'x.json' is a link"),
    ("zip: a bomb", zipped("x.json", size=200 << 20), r"unpacks to 209,715,200 bytes and more"),
    ("tar: a member above", tarred("a/../../x.json"), r"member 'a/../../x.json' leads out"),
    ("tar: an absolute member", tarred("/x.json"), r"member '/x.json' leads out"),
    ("tar: a link", tarred("x", tarfile.SYMTYPE, "/etc"), r"member 'x' is a link to '/etc'"),
    ("tar: a hard link", tarred("x", tarfile.LNKTYPE, "/etc/passwd"), r"member 'x' is a link"),
    ("tar: a link to itself", tarred("x", tarfile.SYMTYPE, "x"), r"is damaged"),
    ("tar: a bomb of links", linked_many_times, r"unpacks to 69,206,016 bytes and more"),
    ("tar: a pipe", tarred("x", tarfile.FIFOTYPE), r"member 'x' is a device"),
    ("tar: a device", tarred("x", tarfile.CHRTYPE), r"member 'x' is a device"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_refused_with_the_value_and_the_place(
    write: Callable[[Path], Path], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import re

    (tmp_path / "in").mkdir()
    source = write(tmp_path / "in")
    assert run(["data", "convert", str(source), str(tmp_path / "out")]) == 3
    out, err = capfd.readouterr()
    assert re.search(message, err), err
    assert (out, "Traceback" in err) == ("", False)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
