"""The application in this process: answers, parameters, limits."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitspot.commands.serve import _key_in
from digitspot.errors import ConfigError
from digitspot.reader import Reader
from digitspot.reading import Rules
from digitspot.serve.app import create_app
from digitspot.serve.settings import ServeSettings
from digitspot.synth.generate import make_image, subject_of

Start = Callable[..., TestClient]


def png(index: int, domain: str = "plates") -> bytes:
    held = io.BytesIO()
    Image.fromarray(make_image(0, "train", index, subject_of("train", domain)).image).save(held, "PNG")
    return held.getvalue()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load("svhn", threads=1)


@pytest.fixture(scope="module")
def client(reader: Reader) -> Iterator[TestClient]:
    with TestClient(create_app(ServeSettings(model="svhn"), reader), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def start(reader: Reader) -> Iterator[Start]:
    """Start an application with other settings."""
    opened: list[TestClient] = []

    def make(**changes: Any) -> TestClient:
        client = TestClient(create_app(ServeSettings(**changes), reader), raise_server_exceptions=False)
        opened.append(client.__enter__())
        return opened[-1]

    yield make
    for client in opened:
        client.__exit__()


def post(client: TestClient, data: bytes, **params: Any) -> httpx.Response:
    return client.post("/v1/read", content=data, headers={"content-type": "image/png"}, params=params)


def post_files(client: TestClient, *files: bytes) -> httpx.Response:
    return client.post("/v1/read", files=[("files", (f"{i}.png", each)) for i, each in enumerate(files)])


def test_answers_equal_the_readers_alone_and_together(client: TestClient, reader: Reader) -> None:
    """To the last digit: number, probability, boxes, scores."""
    images = [png(index) for index in range(8)]
    alone = [post(client, image).json()["images"][0]["numbers"] for image in images]
    together = [each["numbers"] for each in post_files(client, *images).json()["images"]]
    assert together == alone
    for image, [answer] in zip(images, alone, strict=True):
        reading = reader.read(image)
        assert (answer["number"], answer["probability"]) == (reading.text, reading.probability)
        assert [tuple(digit["box"]) for digit in answer["digits"]] == [digit.box for digit in reading.digits]
        assert answer["explanation"] == reading.explanation
    assert any(answer["number"] for [answer] in alone)


def test_all_numbers(client: TestClient, reader: Reader) -> None:
    image = png(3, "displays")
    numbers = post(client, image, all=True).json()["images"][0]["numbers"]
    assert [each["number"] for each in numbers] == [each.reading.text for each in reader.read_all(image)]


def test_parameters_are_the_readers(client: TestClient, reader: Reader) -> None:
    image = png(1)
    asked = reader.with_options(rules=Rules(length=3, decimals=1), turned=True, region=(0, 0, 1, 0.9))
    [answer] = post(client, image, length=3, decimals=1, turned=True, region="0,0,1,0.9").json()["images"][0][
        "numbers"
    ]
    assert (answer["number"], answer["probability"]) == (
        asked.read(image).text,
        asked.read(image).probability,
    )
    assert reader.rules is None
    [unsure] = post(client, image, min_probability=1).json()["images"][0]["numbers"]
    assert (unsure["number"], unsure["decision"], unsure["reason"]) == (None, "abstained", "unsure")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"length": 0}, "length"),
        ({"at_least": 500, "at_most": 100}, "no number meets"),
        ({"pattern": "(1+)+2"}, "pattern"),
        ({"pattern": "1*2*3*4*"}, "pattern"),
        ({"known": ["1", "x"]}, "^[0-9]{1,24}$"),
        ({"region": "1,2,3"}, "region"),
        ({"region": "900,900,10,10"}, "outside"),
        ({"min_probability": 2}, "min_probability"),
    ],
)
def test_parameters_that_cannot_be(client: TestClient, params: dict[str, Any], said: str) -> None:
    answer = post(client, png(0), **params)
    assert answer.status_code == 422
    assert said in answer.text


def test_other_methods_are_told_the_right_one(client: TestClient) -> None:
    answer = client.get("/v1/read")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert client.get("/no-such-page").status_code == 404


def test_what_is_no_image(client: TestClient) -> None:
    assert post(client, b"no image").status_code == 422
    assert post(client, b"").status_code == 422
    assert client.post("/v1/read", content=png(0), headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/v1/read", data={"files": "x"}).status_code == 415
    assert client.post("/v1/read", files={"other": b"x"}).status_code == 422
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/read", content=b"--x\r\nnonsense", headers=broken).status_code in (400, 422)
    mixed = post_files(client, png(0), b"no image").json()["images"]
    assert [bool(each["error"]) for each in mixed] == [False, True]


def test_limits(start: Start) -> None:
    small = start(max_bytes=1000, max_pixels=100, max_images=2)
    assert post(small, b"x" * 1001).status_code == 413
    stream = client_stream(small, b"x" * 600, b"x" * 600)
    assert stream.status_code == 413, "counted while it arrives"
    held = io.BytesIO()
    Image.new("L", (11, 10)).save(held, "PNG")
    assert post(small, held.getvalue()).status_code == 413
    assert post_files(small, b"1", b"2", b"3").status_code == 413
    full = start(max_waiting=1)
    answer = post_files(full, png(0), png(1))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert post(full, png(0)).status_code == 200
    hurried = start(max_seconds=1e-4)
    assert post(hurried, png(0)).status_code in (408, 503)


def client_stream(client: TestClient, *parts: bytes) -> httpx.Response:
    return client.post("/v1/read", content=iter(parts), headers={"content-type": "image/png"})


def test_the_key(start: Start) -> None:
    closed = start(api_key="secret")
    assert post(closed, png(0)).status_code == 401
    headers = {"content-type": "image/png", "x-api-key": "secret"}
    assert closed.post("/v1/read", content=png(0), headers=headers).status_code == 200
    assert closed.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"secret\n", "secret"),
        (b"\xef\xbb\xbfsecret\r\n", "secret"),
        ("secret".encode("utf-16"), None),
        ("schlüssel".encode(), None),
        (b" \n", None),
    ],
    ids=["plain", "with a byte order mark", "UTF-16", "not ASCII", "empty"],
)
def test_the_key_is_in_a_file(content: bytes, key: str | None, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_bytes(content)
    if key is not None:
        assert _key_in(tmp_path / "key.txt") == key
        return
    with pytest.raises(ConfigError, match=r"key\.txt"):
        _key_in(tmp_path / "key.txt")


def test_state_and_metrics(client: TestClient) -> None:
    post(client, png(0))
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json()["status"] == "ready"
    told = client.get("/metrics").text
    assert 'digitspot_requests_total{path="/v1/read",status="200"}' in told
    assert "digitspot_request_seconds_bucket" in told


def test_it_describes_itself(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    [operation] = document["paths"]["/v1/read"].values()
    assert {"200", "401", "413", "415", "422", "503"} <= operation["responses"].keys()
    assert "multipart/form-data" in operation["requestBody"]["content"]
    json.dumps(document)


PLATE = png(2)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, len(PLATE) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(PLATE)),
)
def test_no_image_breaks_it(client: TestClient, flips: list[tuple[int, int]], length: int) -> None:
    data = bytearray(PLATE[: length or None])
    for place, value in flips:
        data[place % len(data)] = value
    assert post(client, bytes(data)).status_code in (200, 413, 422)


def test_bombs_are_refused_before_they_are_decoded(client: TestClient) -> None:
    held = io.BytesIO()
    Image.fromarray(np.zeros((9000, 9000), np.uint8)).save(held, "PNG")
    assert len(held.getvalue()) < 200_000
    assert post(client, held.getvalue()).status_code == 413
