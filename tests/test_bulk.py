"""Bulk prediction with Ray Data answers as `predict` does, wherever images are and whatever is killed."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")
pa = pytest.importorskip("pyarrow")
import fsspec  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from digitspot.bulk import BulkOptions, predict_bulk  # noqa: E402
from digitspot.bulk_sources import MAX_IMAGES, find_bulk  # noqa: E402
from digitspot.cli import run  # noqa: E402
from digitspot.errors import ConfigError, DataError  # noqa: E402
from digitspot.reader import Reader  # noqa: E402

FILES = ("pred.json", "pred.csv", "readings.csv", "errors.csv", "images.csv")
BROKEN = b"no image"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Serve an empty bucket at this machine, and let s3fs find it."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(scope="module")
def cluster(bucket: str) -> Iterator[None]:
    """Start Ray once: two workers and two CPUs to spare. Its processes know of the bucket."""
    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def photos(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name images by words, so that ids are counted, and break one."""
    folder = tmp_path_factory.mktemp("bulk") / "photos"
    folder.mkdir()
    for number, path in enumerate(sorted((small_data / "test").glob("*.png"))[:8]):
        (folder / f"door{number}.png").write_bytes(BROKEN if number == 5 else path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def plain(photos: Path, nano_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    assert run(["predict", str(nano_onnx), str(photos), "--output", str(folder)]) == 3
    return folder


def bulk(model: Path, source: object, output: object, *more: str) -> int:
    options = ["--output", str(output), "--engine", "ray", "--workers", "2", *more]
    return run(["predict", str(model), str(source), *options])


def pack(paths: list[Path], target: Path) -> Path:
    """Put images into a WebDataset's tar file."""
    with tarfile.open(target, "w") as tar:
        for each in paths:
            tar.add(each, each.name)
            tar.addfile(
                tarfile.TarInfo(f"{each.stem}.json"), io.BytesIO()
            )  # of the same sample, and no image
    return target


def test_a_folder_gives_the_same_files(
    cluster: None, photos: Path, plain: Path, nano_onnx: Path, tmp_path: Path
) -> None:
    assert bulk(nano_onnx, photos, tmp_path) == 3
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (plain / name).read_bytes(), name
    rows = pq.read_table(tmp_path / "rows").sort_by("id").to_pylist()
    assert [row["file_name"] for row in rows if row["error"]] == ["door5.png"]


def test_an_interrupted_job_goes_on(
    cluster: None, photos: Path, plain: Path, nano_onnx: Path, tmp_path: Path
) -> None:
    """What was written and not committed, since the process was killed, is written again."""
    paths, output = sorted(photos.iterdir()), tmp_path / "out"
    for number, start in enumerate(range(0, len(paths), 3)):
        pack(paths[start : start + 3], tmp_path / f"{number}.tar")
    options = BulkOptions(workers=2, rows_a_file=2)
    reader, source = Reader.load(nano_onnx, threads=1), find_bulk(str(tmp_path))
    assert predict_bulk(reader, source, str(output), options).num_images == len(paths)
    before = {path.name: path.stat().st_mtime_ns for path in (output / "rows").iterdir()}
    assert len(before) == 3
    committed = min((output / "checkpoint").iterdir())
    committed.rename(committed.with_suffix(".pending.parquet"))
    done = predict_bulk(reader, source, str(output), options)
    assert (done.num_images, done.num_errors) == (len(paths), 1)
    after = {path.name: path.stat().st_mtime_ns for path in (output / "rows").iterdir()}
    assert len(before.items() & after.items()) == 2
    assert sum(pq.read_metadata(path).num_rows for path in (output / "rows").iterdir()) == len(paths)
    mine, others = (list(csv.reader((each / "readings.csv").open())) for each in (output, plain))
    assert [row[1:] for row in mine] == [row[1:] for row in others]
    with pytest.raises(ConfigError, match="of another job: abstain_below differ"):
        predict_bulk(reader, source, str(output), replace(options, job={"abstain_below": 0.5}))


def test_an_object_store_gives_the_same_files(
    cluster: None, bucket: str, photos: Path, plain: Path, nano_onnx: Path
) -> None:
    store = fsspec.filesystem("s3")
    store.put(str(photos), f"{bucket}/photos", recursive=True)
    assert bulk(nano_onnx, f"{bucket}/photos", f"{bucket}/out") == 3
    for name in ("pred.json", "pred.csv", "readings.csv", "images.csv"):
        assert store.cat_file(f"{bucket}/out/{name}") == (plain / name).read_bytes(), name
    assert b"bucket/photos/door5.png: not an image" in store.cat_file(f"{bucket}/out/errors.csv")


def read(source: Path) -> list[dict[str, object]]:
    return [row for task in find_bulk(str(source)).tasks for table in task() for row in table.to_pylist()]


def test_ids_of_files(photos: Path, tmp_path: Path) -> None:
    table = pa.table({"id": [7, 3], "image": [{"bytes": b"a"}, {"bytes": None}]})
    pq.write_table(table, tmp_path / "1.parquet")
    rows = [(row["id"], row["file_name"], row["data"]) for row in read(tmp_path)]
    assert rows == [(7, "1.parquet/0", b"a"), (3, "1.parquet/1", b"")]
    pq.write_table(pa.table({"name": ["a", "b"], "bytes": [b"a", b"b"]}), tmp_path / "1.parquet")
    assert [(row["id"], row["file_name"]) for row in read(tmp_path)] == [(0, "a"), (1, "b")]
    (tmp_path / "tars").mkdir()
    for name in ("10.tar", "9.tar"):
        pack(sorted(photos.iterdir()), tmp_path / "tars" / name)
    rows = read(tmp_path / "tars")
    assert [row["id"] for row in rows] == [*range(8), *range(MAX_IMAGES, MAX_IMAGES + 8)]
    assert rows[8]["file_name"] == "10.tar/door0.png"


def test_sources_that_cannot_be_read(photos: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    tar = pack(sorted(photos.iterdir()), mixed / "a.tar")
    (mixed / "a.png").write_bytes(BROKEN)
    with pytest.raises(DataError, match="1 Parquet or tar files and 1 images"):
        find_bulk(str(mixed))
    cut = tmp_path / "cut.tar"
    with tarfile.open(tar) as whole:
        second = whole.getmembers()[2].offset
    for end in (700, second, second + 200):  # within a member, between two, within a header
        cut.write_bytes(tar.read_bytes()[:end])
        with pytest.raises(DataError, match="no whole tar file"):
            read(cut)
    pq.write_table(pa.table({"id": [1, None], "bytes": [BROKEN] * 2}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match="row 1 has no id"):
        read(tmp_path / "1.parquet")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match="no column bytes or image"):
        read(tmp_path / "2.parquet")
    with pytest.raises(DataError, match="no such"):
        find_bulk(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="cannot be opened"):
        find_bulk("s4://bucket/photos")


def test_a_bucket_that_is_not_there(bucket: str, nano_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be listed|has no image"):
        find_bulk("s3://nothing/photos")
