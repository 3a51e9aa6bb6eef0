"""The examples do what they say, on generated images."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ExifTags, Image

from command_line import environment
from digitspot.labels.coco import read_labels
from digitspot.synth.generate import Generated, make_image, subject_of
from digitspot.types import ImageArray
from mqtt_broker import hearing, mqtt_broker, wait_for  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path for path in ROOT.iterdir() if path.suffix in (".py", ".sh"))


def run(name: str, *arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an example as its first lines say, with the digitspot of this interpreter."""
    starter = "sh" if name.endswith(".sh") else sys.executable
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [starter, str(ROOT / name), *map(str, arguments)],
        cwd=cwd,
        env={**environment(), "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return done


def generated(domain: str, num: int) -> list[tuple[ImageArray, str]]:
    """Return images and the numbers on them."""
    made = [make_image(5, "test", index, subject_of("test", domain)) for index in range(num)]
    return [(each.image, number_of(each)) for each in made]


def number_of(made: Generated) -> str:
    return "".join(str(label - 1) for label in made.labels[made.numbers == 0])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_short_and_listed(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert path.name in (ROOT / "README.md").read_text(encoding="utf-8")
    assert any(f"examples/{path.name}" in line for line in lines), "how to run it"


def test_there_are_five() -> None:
    assert len(EXAMPLES) == 5


def test_water_meter(broker: int, tmp_path: Path) -> None:
    """Ten photographs are two values; a second start reads nothing twice."""
    (tmp_path / "photos").mkdir()
    image, number = generated("meters", 1)[0]
    for index in range(10):
        Image.fromarray(image).save(tmp_path / "photos" / f"{index}.png")
    variables = {
        "CAMERA": "photos",
        "BROKER": f"127.0.0.1:{broker}",
        "LENGTH": str(len(number)),
        "DECIMALS": "1",
    }
    with hearing(broker) as heard:
        printed = run("water_meter.sh", "--once", cwd=tmp_path, **variables).stdout.splitlines()
        wait_for(heard, 4)
    value = f"{number[:-1]}.{number[-1]}"
    assert [(json.loads(line)["value"], json.loads(line)["frames"]) for line in printed] == [(value, 5)] * 2
    assert heard["digitspot/water/value"] == value
    told = json.loads(heard["homeassistant/sensor/digitspot_water/config"])
    assert (told["device_class"], told["unit_of_measurement"]) == ("water", "m³")
    assert run("water_meter.sh", "--once", cwd=tmp_path, **variables).stdout == ""
    assert len((tmp_path / "water.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_house_numbers(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    truth = {f"{index}.png": number for index, (_, number) in enumerate(generated("plates", 12))}
    for name, (image, _) in zip(truth, generated("plates", 12), strict=True):
        Image.fromarray(image).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no photograph")
    told = run("house_numbers.py", "photos", "numbers.csv", cwd=tmp_path).stdout.splitlines()
    with open(tmp_path / "numbers.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13
    assert {row["file"] for row in rows} == {*truth, "notes.txt"}
    looked_at = [row for row in rows if row["look"] == "yes"]
    assert "notes.txt" in {row["file"] for row in looked_at}
    assert told[0] == f"13 photographs, {len(looked_at)} to look at"
    assert {line.split(":")[0] for line in told[1:]} == {row["file"] for row in looked_at}
    sure = [row for row in rows if row["look"] == "no"]
    right = [row["number"] == truth[row["file"]] for row in sure]
    assert len(sure) >= 6
    assert np.mean(right) >= 0.8
    assert all(float(row["probability"]) >= 0.9 and float(row["left"]) < float(row["right"]) for row in sure)
    numbers = [int(row["number"]) for row in rows if row["number"]]
    assert numbers == sorted(numbers)
    assert not any(row["number"] for row in rows[len(numbers) :])


def photo_of(images: list[ImageArray]) -> Image.Image:
    """Return two images in the left and the right half of a large one."""
    photo = Image.new("RGB", (800, 500), (120, 124, 118))
    for index, image in enumerate(map(Image.fromarray, images)):
        image = image.resize((120, round(120 * image.height / image.width)))
        photo.paste(image, (150 + 380 * index, 100 + 180 * index))
    return photo


def test_race_bibs(tmp_path: Path) -> None:
    """Two runners a photograph; times by EXIF for the first, by file for the others."""
    (tmp_path / "photos").mkdir()
    runners = [each for each in generated("jerseys", 24) if len(each[1]) >= 2][:8]
    start = datetime(2026, 5, 3, 10, 0, 0).timestamp()
    for index in range(4):
        path = tmp_path / "photos" / f"{index}.jpg"
        exif = Image.Exif()
        if index == 0:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:05:03 12:30:00"
        if index == 1:  # a clock that was never set
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "0000:00:00 00:00:00"
        pair = [image for image, _ in runners[2 * index : 2 * index + 2]]
        photo_of(pair).save(path, quality=95, exif=exif)
        os.utime(path, (start + index, start + index))
    (tmp_path / "photos" / "cut.jpg").write_bytes((tmp_path / "photos" / "0.jpg").read_bytes()[:300])
    names = {number: f"Runner {index}" for index, (_, number) in enumerate(runners)} | {"99999": "Nobody"}
    with open(tmp_path / "starters.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("bib", "name"), *names.items()])
    done = run("race_bibs.py", "photos", "starters.csv", cwd=tmp_path)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert all(names[row["bib"]] == row["name"] for row in rows)
    there = {(number, f"{index // 2}.jpg") for index, (_, number) in enumerate(runners)}
    seen = {(row["bib"], row["photo"]) for row in rows}
    assert len(seen & there) >= 6, "most are read"
    assert len(seen - there) <= 1
    times = {row["photo"]: row["time"] for row in rows}
    assert times.get("0.jpg", "2026-05-03 12:30:00") == "2026-05-03 12:30:00"
    assert all(time.endswith(f"10:00:0{photo[0]}") for photo, time in times.items() if photo != "0.jpg")
    assert "not seen: 99999 Nobody" in done.stderr
    assert "cut.jpg" in done.stderr


def test_scoreboard(tmp_path: Path) -> None:
    """Nine seconds; the home score changes after three, the guests' after six; one frame shows nothing."""
    plates = dict.fromkeys(number for _, number in generated("plates", 12) if len(number) == 2)
    images = {number: image for image, number in generated("plates", 12)}
    one, two, three = list(plates)[:3]
    with av.open(str(tmp_path / "match.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.bit_rate = 800, 500, 4_000_000
        for index in range(36):
            score = [one if index < 12 else two, one if index < 24 else three]
            shown = [] if index == 20 else [images[each] for each in score]
            film.mux(stream.encode(av.VideoFrame.from_image(photo_of(shown))))
        film.mux(stream.encode())
    regions = ["--home", "0,0,0.5,1", "--guest", "0.5,0,0.5,1"]
    told = run("scoreboard.py", "match.mp4", *regions, cwd=tmp_path).stdout.splitlines()
    assert [line[:5] for line in told] == ["00:00", "00:03", "00:06"]
    assert [line.split("  ")[1] for line in told] == [
        f"{one} : {one}", f"{two} : {one}", f"{two} : {three}",
    ]  # fmt: skip


def test_label_studio(small_data: Path, tmp_path: Path) -> None:
    """What was proposed is corrected to what is there, and trained on."""
    shutil.copytree(small_data / "train", tmp_path / "photos")
    run("label_studio.py", "propose", "photos", cwd=tmp_path)
    tasks = json.loads((tmp_path / "photos-proposed" / "label-studio.json").read_text(encoding="utf-8"))
    assert len(tasks) == 24
    assert tasks[0]["data"]["image"].startswith("/data/local-files/?d=photos/")
    assert '<Label value="9"/>' in (tmp_path / "photos-proposed" / "setup.xml").read_text(encoding="utf-8")
    truth = {image.file_name: image for image in read_labels(small_data / "train.json").images}
    for task in tasks:
        image = truth[task["data"]["image"].rpartition("/")[2]]
        height, width = image.size_hw
        shape = {"type": "rectanglelabels", "original_width": width, "original_height": height}
        task["annotations"] = [{"result": []}]
        for (left, top, right, bottom), label in zip(image.boxes, image.labels, strict=True):
            value = {
                "x": 100 * float(left) / width,
                "y": 100 * float(top) / height,
                "width": 100 * float(right - left) / width,
                "height": 100 * float(bottom - top) / height,
                "rectanglelabels": [str(label - 1)],
            }
            task["annotations"][0]["result"].append({**shape, "value": value})
    (tmp_path / "photos" / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    small = ["--input.short-side", "64", "--input.long-side", "192", "--input.train-short-sides", "64"]
    short = ["--generated", "0", "--train.epochs", "1", "--data.workers", "0", "--output", "run", *small]
    cache = {"DIGITSPOT_CACHE": str(tmp_path / "cache")}
    done = run("label_studio.py", "learn", "photos/export.json", *short, cwd=tmp_path, **cache)
    corrected = read_labels(tmp_path / "photos-corrected" / "train.json")
    assert sorted(each.number or "" for each in corrected.images) == sorted(
        each.number or "" for each in truth.values()
    )
    assert done.stdout.splitlines()[-1] == "run"
    assert "held-out images" in done.stderr.replace("\n", " ")
    assert (tmp_path / "run" / "best.pt").exists()
