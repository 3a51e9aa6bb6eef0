"""Watching: each frame once whatever happens, values that follow the ones before, and where they go."""

from __future__ import annotations

import csv
import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from command_line import command, digitspot, environment, held_elsewhere
from digitspot.cli import run
from digitspot.errors import ConfigError, DataError
from digitspot.reader import Reader
from digitspot.reads import Read
from digitspot.sinks import COLUMNS, to_csv, to_mqtt, to_webhook
from digitspot.synth.generate import make_image, subject_of
from digitspot.types import Detections, Digit, Reading
from digitspot.watch import Frame, Watch, frames_of
from digitspot.watch_store import Store
from mqtt_broker import hearing, mqtt_broker, wait_for  # noqa: F401 - a fixture

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Told(Reader):
    """A reader that reads what the first pixel of an image says: its value, or nothing for 255."""

    def __init__(self) -> None:
        self.rules = None
        self.abstain_below = 0.0

    def with_options(self, **changes: Any) -> Told:
        other = Told()
        vars(other).update({**vars(self), **changes})
        return other

    def read_each(self, sources: Any, batch_size: int = 32) -> Iterator[Read | DataError]:
        for source in sources:
            text = "".join(str(digit) for digit in source[0, :3, 0])
            allowed = self.rules is None or self.rules.allows(text)
            digits = tuple(Digit(text=each, box=(0, 0, 1, 1), score=0.9, probability=0.9) for each in text)
            reading = Reading(
                text=text if allowed else None,
                probability=0.9 if allowed else 0.01,
                digits=digits,
                decision="accepted" if allowed else "abstained",
                reason="seen" if allowed else "rules",
            )
            yield Read(Detections.empty(), reading)


def frames(*values: int) -> Iterator[Frame]:
    for number, value in enumerate(values):
        image = IMAGE.copy()
        image[0, :3, 0] = [value // 100, value // 10 % 10, value % 10]
        yield Frame(str(number), image, float(number))


def watched(tmp_path: Path, values: Iterator[Frame], **options: Any) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    Watch(reader=Told(), store=Store(tmp_path / "watch.db", "meter"), **options).run(
        values, {"told": told.append}
    )
    return told


def test_values_follow_the_one_before(tmp_path: Path) -> None:
    told = watched(tmp_path, frames(100, 101, 99, 150, 103), max_change=Decimal(5), may_fall=False)
    assert [each["value"] for each in told] == ["100", "101", None, None, "103"]
    assert [each["decision"] for each in told] == [
        "accepted",
        "accepted",
        "abstained",
        "abstained",
        "accepted",
    ]


def test_the_change_that_is_allowed_grows_with_values_that_are_missing(tmp_path: Path) -> None:
    told = watched(tmp_path, frames(100, 118, 118, 118, 118), max_change=Decimal(5))
    assert [each["value"] for each in told] == ["100", None, None, None, "118"]


def test_another_start_replaces_a_wrong_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules: dict[str, Any] = {"max_change": Decimal(5), "may_fall": False}
    told = watched(tmp_path, frames(901, 101, 102, 103, 104, 105), **rules)
    assert [each["value"] for each in told] == ["901", *[None] * 5]
    assert "5 values have no answer since 901" in capsys.readouterr().err
    for key in "67":  # the same command again, as after a restart
        store = Store(tmp_path / "watch.db", "meter")
        store.start_from("105")
        again = iter([replace(frame, key=key) for frame in frames(107)])
        Watch(reader=Told(), store=store, **rules).run(again, {"told": told.append})
        store.close()
    assert [each["value"] for each in told[6:]] == ["107", "107"]
    assert Store(tmp_path / "watch.db", "meter").previous() == ("107", 0)


def test_frames_are_voted(tmp_path: Path) -> None:
    told = watched(tmp_path, frames(12, 12, 99, 13, 13, 13, 14), num_frames=3)
    assert [(each["value"], each["first"], each["last"]) for each in told] == [
        ("012", "0", "2"), ("013", "3", "5"), ("014", "6", "6"),
    ]  # fmt: skip


def test_what_could_not_be_published_is_published_later(tmp_path: Path) -> None:
    store, out = Store(tmp_path / "watch.db", "meter"), list[int]()

    def fail(record: dict[str, Any]) -> None:
        raise OSError("no network")

    def tell(record: dict[str, Any]) -> None:
        out.append(record["id"])

    assert Watch(reader=Told(), store=store).run(frames(1, 2), {"down": fail, "up": tell}) == 2
    assert out == [1, 2], "a sink that is down holds up no other"
    for _ in range(2):
        Watch(reader=Told(), store=store).run(frames(), {"down": tell, "up": tell})
    assert out == [1, 2, 1, 2], "each gets every value once"


def test_a_group_over_several_looks_at_a_folder(tmp_path: Path, small_data: Path) -> None:
    """Its first frame is not kept yet when the folder is looked at again."""
    folder, store = tmp_path / "photos", Store(tmp_path / "watch.db", "meter")
    folder.mkdir()

    def frames() -> Iterator[Frame]:
        for number, frame in enumerate(frames_of(str(folder), store, 0.01, follow=True), 2):
            yield frame
            if number == 4:
                return
            shutil.copy(small_data / "test" / "1.png", folder / f"{number}.png")
            os.utime(folder / f"{number}.png", (number, number))

    shutil.copy(small_data / "test" / "1.png", folder)
    os.utime(folder / "1.png", (1, 1))
    told: list[dict[str, Any]] = []
    Watch(reader=Told(), store=store, num_frames=2).run(frames(), {"told": told.append})
    assert [(each["first"], each["last"]) for each in told] == [("1.png", "2.png"), ("3.png", "3.png")]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 seconds of a plate whose number changes every 20 seconds, two frames a second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    plates = [make_image(0, "train", index, subject_of("train", "plates")).image for index in (1, 4, 7)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.bit_rate = 192, 96, 2_000_000
        for number in range(120):
            image = Image.fromarray(plates[number // 40]).resize((192, 96))
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def _values(store: Path) -> list[tuple[str, str | None]]:
    with sqlite3.connect(store) as db:
        records = [json.loads(row[0]) for row in db.execute("SELECT record FROM readings ORDER BY id")]
    return [(each["first"], each["value"]) for each in records]


@pytest.mark.timeout(120)
def test_a_film_killed_in_the_middle_is_gone_on_with(film: Path, tmp_path: Path) -> None:
    """Every frame once, and the values of a run that was never killed."""
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    options = [film, "--every", 0.5, "--frames", 4, "--model", "general", "--store"]
    lines = digitspot("watch", *options, whole).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(1, 31))
    process = subprocess.Popen(command("watch", *options, killed), env=environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(7):
        process.stdout.readline()
    process.kill()
    process.wait()
    assert 7 <= len(_values(killed)) < 30
    digitspot("watch", *options, killed)
    assert _values(killed) == _values(whole)
    with sqlite3.connect(killed) as db:
        keys = [row[0] for row in db.execute("SELECT key FROM frames")]
    assert sorted(map(int, keys)) == list(range(120))


def test_a_folder_gets_more_files(tmp_path: Path, small_data: Path) -> None:
    folder, store = tmp_path / "photos", Store(tmp_path / "watch.db", "meter")
    folder.mkdir()
    shutil.copy(small_data / "test" / "1.png", folder)
    (folder / "broken.png").write_bytes(b"no image")
    watch = Watch(reader=Told(), store=store)
    told: list[dict[str, Any]] = []
    reader_sees = [frame.key for frame in frames_of(str(folder), store, 0.1, follow=False)]
    assert sorted(reader_sees) == ["1.png", "broken.png"]
    assert watch.run(frames_of(str(folder), store, 0.1, follow=False), {"told": told.append}) == 2
    assert [each["value"] for each in told if each["first"] == "broken.png"] == [None]
    shutil.copy(small_data / "test" / "2.png", folder)
    assert [frame.key for frame in frames_of(str(folder), store, 0.1, follow=False)] == ["2.png"]


def test_a_file_that_is_still_arriving_is_waited_for(tmp_path: Path, small_data: Path) -> None:
    folder, store = tmp_path / "photos", Store(tmp_path / "watch.db", "meter")
    folder.mkdir()
    whole = (small_data / "test" / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[:100])

    def arrive() -> None:
        time.sleep(0.5)
        (folder / "1.png").write_bytes(whole)

    threading.Thread(target=arrive).start()
    [frame] = frames_of(str(folder), store, 0.1, follow=False)
    assert frame.image is not None
    (folder / "0.png").write_bytes(whole[:100])
    os.utime(folder / "0.png", (time.time() - 30,) * 2)
    assert next(frames_of(str(folder), store, 0.1, follow=True)).key == "1.png", "0.png may be completed"
    os.utime(folder / "0.png", (time.time() - 90,) * 2)
    assert next(frames_of(str(folder), store, 0.1, follow=True)).image is None


def test_a_file_name_that_is_not_utf8(tmp_path: Path, small_data: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(small_data / "test" / "1.png", os.fsencode(tmp_path / "photos") + b"/z\xe4hler.png")
    store, csv_path = Store(tmp_path / "watch.db", "meter"), tmp_path / "values.csv"
    seen = frames_of(str(tmp_path / "photos"), store, 0.1, follow=False)
    assert Watch(reader=Told(), store=store).run(seen, {"csv": to_csv(csv_path)}) == 1
    assert r"z\udce4hler.png" in csv_path.read_text()
    assert not list(frames_of(str(tmp_path / "photos"), store, 0.1, follow=False))


def test_a_film_without_times(tmp_path: Path) -> None:
    """Cameras write raw H.264, whose frames say no time."""
    path = tmp_path / "garage.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = 64, 64
        for _ in range(30):
            for packet in stream.encode(av.VideoFrame(64, 64, "yuv420p")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    store = Store(tmp_path / "watch.db", "garage")
    assert len(list(frames_of(str(path), store, 0.01, follow=False))) == 30


@pytest.mark.parametrize("source", ["nothing", "text.mp4"])
def test_sources_that_cannot_be(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    assert run(["watch", str(tmp_path / source), "--store", str(tmp_path / "watch.db")]) == 3
    assert source in capsys.readouterr().err
    assert (tmp_path / "watch.db").exists() == (source == "text.mp4"), "a wrong name leaves no store"


def test_a_camera_that_sends_one_image_is_asked_again(small_data: Path, tmp_path: Path) -> None:
    """After `every` seconds, and a failure in between does not end it."""
    asked: list[float] = []
    picture = (small_data / "test" / "1.png").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(time.monotonic())
            self.send_response(503 if len(asked) == 2 else 200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store = Store(tmp_path / "watch.db", "camera")
    address = f"http://127.0.0.1:{server.server_port}/now.png"
    got = list(islice(frames_of(address, store, 0.4, follow=True), 3))
    server.shutdown()
    assert [frame.image is not None for frame in got] == [True] * 3
    assert got[1].at - got[0].at >= 0.4
    assert len(asked) <= 8, "not as fast as it answers"


def test_csv_has_every_value_once(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    record = dict.fromkeys(COLUMNS, "x") | {"value": None, "explanation": "left out"}
    for _ in range(2):
        sink = to_csv(path)
        for number in (1, 2, 2, 3):
            sink({**record, "id": number})
    to_csv(path)({**record, "id": 1, "first": "of another store"})
    with open(path, encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["1", "2", "3", "1"]
    path.write_text(path.read_text()[:-9])  # cut off by a power failure
    sink = to_csv(path)
    sink({**record, "id": 4})
    sink({**record, "id": 5})
    assert [row[0] for row in csv.reader(path.read_text().splitlines())] == [
        "id",
        "1",
        "2",
        "3",
        "1",
        "4",
        "5",
    ]
    path.write_text("other,columns\n")
    with pytest.raises(ConfigError, match="other columns"):
        to_csv(path)
    with pytest.raises(ConfigError, match="cannot be used"):
        to_csv(tmp_path / "missing" / "values.csv")


def test_a_webhook_gets_json() -> None:
    bodies: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if bodies[-1]["id"] == 2 else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sink = to_webhook(f"http://127.0.0.1:{server.server_port}/")
    sink({"id": 1, "value": "7"})
    with pytest.raises(OSError, match="500"):
        sink({"id": 2})
    server.shutdown()
    assert bodies == [{"id": 1, "value": "7"}, {"id": 2}]
    for wrong in ("file:///etc/passwd", "http://host:abc/", "http:///path", "http://a b/", "http://host/ä"):
        with pytest.raises(ConfigError, match="no address of http"):
            to_webhook(wrong)


def test_mqtt_and_home_assistant(broker: int) -> None:
    with hearing(broker) as heard:
        sink = to_mqtt(f"127.0.0.1:{broker}", "water", device_class="water", unit="m³")
        sink({"id": 1, "value": "01234.5"})
        sink({"id": 2, "value": None})
        wait_for(heard, 4)
    assert heard["digitspot/water/value"] == "01234.5"
    assert json.loads(heard["digitspot/water/record"])["id"] == 2
    told = json.loads(heard["homeassistant/sensor/digitspot_water/config"])
    assert told["state_topic"] == "digitspot/water/value"
    assert heard[told["availability_topic"]] == "online"
    assert (told["device_class"], told["unit_of_measurement"]) == ("water", "m³")


def test_a_broker_that_is_not_there() -> None:
    with pytest.raises(OSError):
        to_mqtt("127.0.0.1:1", "water")
    for broker, name in (("127.0.0.1", "../water"), ("127.0.0.1:0", "water"), ("127.0.0.1:99999", "water")):
        with pytest.raises(ConfigError, match="plain name"):
            to_mqtt(broker, name)


def test_a_store_is_of_one_source(tmp_path: Path) -> None:
    """The frames of two films have the same numbers."""
    Store(tmp_path / "watch.db", "one.mp4").close()
    Store(tmp_path / "watch.db", "one.mp4").close()
    with pytest.raises(DataError, match=r"is of one\.mp4, not of other\.mp4"):
        Store(tmp_path / "watch.db", "other.mp4")


def test_a_store_is_of_one_process(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    with held_elsewhere(tmp_path / "watch.db.lock"), pytest.raises(DataError, match="another process uses"):
        Store(path, "one")
    store = Store(path, "one")
    with pytest.raises(BlockingIOError), held_elsewhere(tmp_path / "watch.db.lock"):
        pass
    store.close()


def test_a_disk_without_room_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path / "watch.db", "meter")
    store._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(DataError, match="cannot be used as a store"):
        store.add({"long": "x" * 1_000_000}, None, ["1"])
