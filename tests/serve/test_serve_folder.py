"""A folder labelled over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from command_line import held_elsewhere
from digitspot.errors import DataError
from digitspot.labels.coco import read_labels
from digitspot.reader import Reader
from digitspot.serve.app import create_app
from digitspot.serve.folder import LabelFolder, LabelledDigit
from digitspot.serve.settings import ServeSettings


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load("general", threads=1)


@pytest.fixture
def client(reader: Reader, small_data: Path, tmp_path: Path) -> TestClient:
    folder = LabelFolder(small_data / "test", tmp_path / "labels", reader)
    return TestClient(create_app(ServeSettings(), reader, folder))


def test_labels_are_kept_and_gone_on_with(
    client: TestClient, reader: Reader, small_data: Path, tmp_path: Path
) -> None:
    told = client.get("/v1/folder").json()["images"]
    sure = [each["read"]["probability"] for each in told]
    assert sure == sorted(sure)
    assert len(told) == 8
    assert client.get("/v1/folder/0/image").content == (small_data / "test" / told[0]["name"]).read_bytes()
    digits = [{"text": "4", "box": [1, 2, 8, 14]}, {"text": "0", "box": [9, 2, 16, 14.5]}]
    assert client.put("/v1/folder/0/labels", json={"digits": digits}).status_code == 200
    assert client.put("/v1/folder/1/labels", json={"digits": []}).status_code == 200
    assert client.put("/v1/folder/0/labels", json={"digits": digits[:1]}).status_code == 200
    stored = read_labels(tmp_path / "labels" / "train.json").images
    assert {each.file_name: each.number for each in stored} == {told[0]["name"]: "4", told[1]["name"]: None}
    assert (tmp_path / "labels" / "train" / told[1]["name"]).is_file()
    again = LabelFolder(small_data / "test", tmp_path / "labels", reader)
    confirmed = {again.names[index]: again.confirmed(index) for index in range(len(again))}
    [digit] = confirmed[told[0]["name"]] or []
    assert (digit.text, digit.box) == ("4", (1, 2, 8, 14))
    assert confirmed[told[1]["name"]] == []
    assert confirmed[told[2]["name"]] is None


@pytest.mark.parametrize(
    ("digits", "index", "status"),
    [
        ([{"text": "x", "box": [1, 2, 8, 14]}], 0, 422),
        ([{"text": "1", "box": [8, 2, 1, 14]}], 0, 422),
        ([{"text": "1", "box": [1, 2, 9999, 14]}], 0, 422),
        ([{"text": "1", "box": [1, 2, 8]}], 0, 422),
        ([], 99, 404),
        ([], -1, 404),
    ],
)
def test_labels_that_cannot_be(
    client: TestClient, digits: object, index: int, status: int, tmp_path: Path
) -> None:
    assert client.put(f"/v1/folder/{index}/labels", json={"digits": digits}).status_code == status
    assert not (tmp_path / "labels" / "train.json").exists()


def test_two_folders_with_the_same_names(reader: Reader, small_data: Path, tmp_path: Path) -> None:
    """What was labelled in one is not taken for the other's, nor overwritten."""
    names = sorted(path.name for path in (small_data / "test").glob("*.png"))[:2]
    for folder, source in (("a", "test"), ("b", "train")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes((small_data / source / name).read_bytes())
    digits = [LabelledDigit("4", (1, 2, 8, 14))]
    for folder in "ab":
        images = LabelFolder(tmp_path / folder, tmp_path / "all", reader)
        index = next(i for i, (path, _) in enumerate(images.reads) if path.name == names[0])
        assert images.confirmed(index) is None
        images.confirm(index, digits)
    stored = read_labels(tmp_path / "all" / "train.json").images
    assert [each.file_name for each in stored] == [names[0], f"b/{names[0]}"]
    for folder, each in zip("ab", stored, strict=True):
        image = tmp_path / "all" / "train" / each.file_name
        assert image.read_bytes() == (tmp_path / folder / names[0]).read_bytes()
    again = LabelFolder(tmp_path / "b", tmp_path / "all", reader)
    assert sum(again.confirmed(index) is not None for index in range(len(again))) == 1


def test_one_process_labels_at_a_time(reader: Reader, small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    with (
        held_elsewhere(tmp_path / "labels" / ".lock"),
        pytest.raises(DataError, match="another process labels"),
    ):
        LabelFolder(small_data / "test", tmp_path / "labels", reader)


def test_no_image(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="no image that can be read"):
        LabelFolder(tmp_path, tmp_path / "labels", reader)


def test_what_cannot_be_labelled_is_told(reader: Reader, small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "1.png").write_bytes((small_data / "test" / "1.png").read_bytes())
    images = LabelFolder(tmp_path, tmp_path / "labels", reader)
    assert len(images) == 1
    assert ["cut.png" in str(error) for error in images.unread] == [True]
    assert [path.name for path in images.skipped] == ["notes.txt"]


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "digitspot" in answer.text
    for name in ("page.js", "page.css", "icon.svg"):
        assert f'"{name}"' in answer.text
        content = client.get(f"/{name}")
        assert content.status_code == 200
        assert "http://" not in content.text.replace("http://www.w3.org/", "")
        assert "https://" not in content.text
