"""A reader in other processes: after a fork it goes on reading, and it can be pickled."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from digitspot.cores import MAX_CORES, cpu_quota, num_cores
from digitspot.reader import Reader
from digitspot.reading import Rules
from digitspot.types import ImageArray

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
PATIENCE = 60
"""Seconds; a child that hangs is killed after them."""


@pytest.fixture(scope="module")
def images() -> list[ImageArray]:
    random = np.random.default_rng(4)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in random.integers(20, 200, (20, 2))]


def texts(reader: Reader, images: list[ImageArray]) -> list[str | None]:
    return [reading.text for reading in reader.read_many(images, batch_size=20)]


def exit_code_of_fork(work: Callable[[], bool]) -> int:
    """Run work in a forked child; 0 is true."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise TimeoutError("the child hangs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("runtime", ["onnx", "torch", "openvino"])
def test_a_forked_child_reads(
    runtime: str, nano_onnx: Path, nano_run: Path, images: list[ImageArray]
) -> None:
    if runtime == "openvino" and not HAS_OPENVINO:
        pytest.skip("needs OpenVINO")
    reader = Reader.load(nano_run if runtime == "torch" else nano_onnx, runtime=runtime, threads=2)  # type: ignore[arg-type]
    expected = texts(reader, images)
    assert exit_code_of_fork(lambda: texts(reader, images) == expected) == 0
    assert exit_code_of_fork(lambda: reader.read(images[0]).text == expected[0]) == 0
    assert texts(reader, images) == expected, "the parent goes on"


def read_in_child(reader: Reader, images: list[ImageArray], found: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    found.put(texts(reader, images))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_reader_goes_to_a_process(method: str, nano_onnx: Path, images: list[ImageArray]) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("the system has no fork")
    reader = Reader.load(nano_onnx, threads=2)
    expected = texts(reader, images)
    context = multiprocessing.get_context(method)
    found = context.Queue()
    process = context.Process(target=read_in_child, args=(reader, images, found), daemon=True)  # type: ignore[attr-defined]
    process.start()
    try:
        assert found.get(timeout=PATIENCE) == expected
    finally:
        process.kill()


def test_a_pickled_reader_keeps_what_it_was_told(nano_onnx: Path) -> None:
    reader = Reader.load(nano_onnx, threads=3)
    reader.rules, reader.abstain_below = Rules(length=2), 0.25
    copy = pickle.loads(pickle.dumps(reader))
    assert (copy.rules, copy.abstain_below, copy.num_threads) == (reader.rules, 0.25, 3)
    assert (copy.settings, copy.categories, copy.seen) == (reader.settings, reader.categories, reader.seen)
    with pytest.raises(TypeError, match=r"Reader\.load"):
        pickle.dumps(Reader(reader.runtime, reader.settings, reader.categories))


@pytest.mark.parametrize(
    ("asked", "expected", "reason"),
    [("3", 3, "as asked"), ("2,4", 2, "the outer level"), ("64", 64, "above the cap where it is asked for")],
)
def test_omp_num_threads_is_obeyed(
    asked: str, expected: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert num_cores() == expected, reason


def test_no_more_threads_than_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert 1 <= num_cores() <= MAX_CORES


@pytest.mark.parametrize(
    ("files", "expected", "reason"),
    [
        ({}, None, "no control groups"),
        ({"cpu.max": "max 100000\n"}, None, "no limit"),
        ({"cpu.max": "150000 100000\n"}, 2, "one and a half cores"),
        ({"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "100000 100000\n"}, 1, "the parent's is smaller"),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3, "version 1"),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None, "version 1, no limit"),
        ({"cpu.max": "broken"}, None, "what cannot be read is no limit"),
    ],
)
def test_a_containers_quota(files: dict[str, str], expected: int | None, reason: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    (tmp_path / "own").write_text("0::/a/b\n")
    assert cpu_quota(tmp_path / "root", tmp_path / "own") == expected, reason
