"""Files are whole or not there, and what goes wrong is said in words."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import held_elsewhere
from digitspot.errors import DigitspotError
from digitspot.files import check_writable, claiming, writing_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_as_given(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    with writing_whole(path) as file:
        file.write("käse\nline\r\n")
        assert not path.exists()
    assert path.read_bytes() == "käse\nline\r\n".encode()
    assert names(path.parent) == ["a.txt"]


def test_bytes_replace_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old, and longer")
    with writing_whole(path, "wb") as file:
        file.write(b"new")
        assert path.read_bytes() == b"old, and longer"
    assert (path.read_bytes(), names(tmp_path)) == (b"new", ["a.bin"])


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with writing_whole(path) as file:
            file.write("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_an_error_of_the_disk_is_said_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    said = r"cannot write .*a\.txt: No space left"
    with pytest.raises(DigitspotError, match=said) as raised, writing_whole(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.hint
    assert names(tmp_path) == []


def where_nothing_can_be_written(tmp_path: Path) -> list[tuple[Path, str]]:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    return [
        (tmp_path / "file" / "a.txt", "below a regular file"),
        (tmp_path / "file" / "b" / "a.txt", "further below it"),
        (tmp_path / "folder", "a folder stands there"),
        (tmp_path / ("n" * 255), "the name aside is too long"),
        (Path("/proc/self/a.txt"), "a file system that takes no files"),
    ]


def test_unwritable_places(tmp_path: Path) -> None:
    for path, reason in where_nothing_can_be_written(tmp_path):
        if path.parts[1] == "proc" and not path.parent.exists():
            continue
        with pytest.raises(DigitspotError, match="cannot write") as raised, writing_whole(path) as file:
            file.write("x")
        assert str(path) in str(raised.value), reason
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "x"


LIMITED = """
import resource, signal, sys
from pathlib import Path
from digitspot.errors import DigitspotError
from digitspot.files import writing_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    with writing_whole(Path(sys.argv[1]), "wb") as file:
        {write}
except DigitspotError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize(
    "write",
    ["file.write(b'x' * 100_000)", "for _ in range(6): file.write(b'x' * 1000)"],
    ids=["once", "bit by bit"],
)
def test_no_space(tmp_path: Path, write: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    script = LIMITED.format(write=write)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {path}: "), done.stdout + done.stderr
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["a.bin"])


def test_check_writable_leaves_things_as_they_were(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert names(tmp_path) == []
    (tmp_path / "c").mkdir()
    check_writable(tmp_path / "c")
    assert (names(tmp_path), names(tmp_path / "c")) == (["c"], [])
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(DigitspotError, match="cannot write"):
            check_writable(folder)


def test_a_claim_is_one_process_s_and_ends_with_it(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with held_elsewhere(lock):
        with claiming(lock) as mine:
            assert not mine
        assert lock.exists(), "whoever was refused removes nothing"
    with claiming(lock) as mine:
        assert mine, "a killed process holds nothing"
        with pytest.raises(BlockingIOError), held_elsewhere(lock):
            pass
    assert not lock.parent.exists(), "nothing is left behind"
