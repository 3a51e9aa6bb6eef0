"""Sizes, what is measured, and the guard over it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from digitspot.config import parse_size
from digitspot.errors import ConfigError
from digitspot.training.memory import Memory, can_measure, size_text, used_bytes

needs_linux = pytest.mark.skipif(not can_measure(), reason="needs /proc/self/smaps_rollup")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2GiB", 2**31), ("800 MiB", 800 * 2**20), ("1.5gb", 1_500_000_000), ("123", 123), (" 1 kib ", 1024)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "2 Gigs", "-1GiB", "GiB", "2..5GiB", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size of memory"):
        parse_size(text)


def test_sizes_in_words() -> None:
    assert (size_text(2**31), size_text(251.4 * 2**20)) == ("2.00 GiB", "251 MiB")


TOUCHED = """
import mmap
from digitspot.training.memory import used_bytes
before = used_bytes()
pages = mmap.mmap(-1, 2**26)
print(used_bytes() - before)
pages.write(b"x" * 2**26)
print(used_bytes() - before)
"""


@needs_linux
def test_what_is_touched_is_used() -> None:
    """In a process of its own: what tests before this one left is handed back at any time."""
    untouched, touched = map(int, _printed(TOUCHED).split())
    assert untouched < 2**22, "memory that nobody wrote to is not used"
    assert abs(touched - 2**26) < 2**24


SHARED = """
import mmap, multiprocessing
from digitspot.training.memory import used_bytes
pages = mmap.mmap(-1, 2**26)
pages.write(bytes(range(256)) * 2**18)
alone = used_bytes()
context = multiprocessing.get_context("fork")
ready, done = context.Event(), context.Event()
def look():
    sum(pages[::4096])
    ready.set()
    done.wait()
child = context.Process(target=look)
child.start()
ready.wait()
print(used_bytes() - alone)
done.set()
"""


@needs_linux
def test_shared_pages_count_once() -> None:
    assert 0 < int(_printed(SHARED)) < 2**25


BLURS = """
import torch
from torchvision import tv_tensors
from digitspot.dataset.transforms import Blur
from digitspot.training.memory import used_bytes
blur, boxes = Blur(3), tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(1, 1))
def blur_sizes(heights):
    for height in heights:
        for width in range(100, 150):
            blur(torch.zeros(3, height, width, dtype=torch.uint8), boxes)
blur_sizes(range(100, 102))
before = used_bytes()
blur_sizes(range(102, 116))
print(used_bytes() - before)
"""


@needs_linux
def test_a_blur_of_each_size_leaves_nothing_in_memory() -> None:
    """With oneDNN, 700 sizes leave 100 MiB. What the allocator keeps of other work was up to 29 MiB."""
    assert int(_printed(BLURS)) < 3 * 2**24


@needs_linux
def test_the_guard() -> None:
    used = used_bytes()
    for budget, exceeded in ((None, False), (10 * used, False), (used // 10, True)):
        memory = Memory(budget)
        assert not memory.exceeded, "before the first look"
        memory.look()
        assert memory.exceeded == exceeded
        assert memory.peak >= memory.used > 0
    assert str(Memory(2**31, used=2**20)) == "1 MiB of 2.00 GiB"
    assert str(Memory(None, used=2**20)) == "1 MiB"
    assert str(Memory(2**31)) == ""


FREED = """
import ctypes
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.memory import Memory, used_bytes
assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
pieces = [libc.malloc(2**20) for _ in range(200)]
for piece in pieces:
    ctypes.memset(piece, 1, 2**20)
for piece in pieces[:-1]:
    libc.free(piece)
full = used_bytes()
memory = Memory(full)
memory.look()
print(full, memory.peak, memory.used, memory.exceeded)
"""


@needs_linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_that_can_be_handed_back_stops_no_training() -> None:
    full, peak, used, exceeded = _printed(FREED).split()
    assert int(peak) > 0.95 * int(full)
    assert int(used) < int(full) - 150 * 2**20
    assert exceeded == "False"


def _printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
