"""Parts in memory: the right images, whoever asks and however far ahead; nothing overwritten too early."""

from __future__ import annotations

import mmap
import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack_split import write_split

from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_build import open_or_build
from digitspot.dataset.parts import LoadedBatch, PartFeed, PartMemory
from digitspot.dataset.sampler import BatchPlan
from digitspot.errors import DataError


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    folder = tmp_path_factory.mktemp("parts")
    return open_or_build(write_split(folder, num=60, side=80), folder / "train", folder / "packs")


def plan_of(pack: Pack, parts: int, size: int = 4) -> BatchPlan:
    return BatchPlan(np.ones(len(pack)), size, (32,), 0, num_parts=parts)


def consume(pack: Pack, plan: BatchPlan, epochs: int, ahead: int, skipped: int = 0) -> list[tuple[int, ...]]:
    """Ask as a loader does: `ahead` batches first, then one for each that was made; made late, as asked."""
    planned = [batch for epoch in range(epochs) for batch in plan.epoch(epoch)][skipped:]
    memory = PartMemory(pack, int(pack.num_bytes.sum()))
    asked: deque[LoadedBatch | None] = deque()
    feed = iter(PartFeed(planned, memory, ahead))
    made = []
    for _ in range(ahead):
        asked.append(next(feed, None))
    while asked:
        placed = asked.popleft()
        if placed is not None:
            for i in placed.batch.indices:
                np.testing.assert_array_equal(memory.image(placed.slot, i), pack.image(i))
            made.append(placed.batch)
        following = next(feed, "end")
        if following != "end":
            asked.append(following)  # type: ignore[arg-type]
    assert made == planned
    return [batch.indices for batch in made]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.integers(1, 20), ahead=st.integers(1, 9), size=st.integers(1, 7), skipped=st.integers(0, 11))
def test_every_batch_finds_its_images(pack: Pack, parts: int, ahead: int, size: int, skipped: int) -> None:
    consume(pack, plan_of(pack, parts, size), epochs=3, ahead=ahead, skipped=skipped)


def test_a_buffer_is_not_read_into_while_its_batches_are_in_the_making(pack: Pack) -> None:
    """With six batches in the making and parts of five, the feed holds back rather than overwrite."""
    plan = plan_of(pack, parts=3)
    memory = PartMemory(pack, int(pack.num_bytes.sum()))
    feed = iter(PartFeed(plan.epoch(0), memory, 6))
    given_out = [next(feed) for _ in range(6)]
    assert [placed.slot for placed in given_out if placed] == [0] * 5 + [1]
    for placed in given_out[:5]:
        assert placed is not None
        np.testing.assert_array_equal(
            memory.image(placed.slot, placed.batch.indices[0]), pack.image(placed.batch.indices[0])
        )


@pytest.mark.skipif(not hasattr(mmap, "MADV_REMOVE"), reason="only Linux gives shared pages back")
def test_what_is_released_leaves_its_neighbours(pack: Pack) -> None:
    """Pages that an image has to itself read as zeros then; all others are as they were."""
    memory = PartMemory(pack, int(pack.num_bytes.sum()))
    for slot in (0, 1):
        memory.read(slot, range(60))
    released = [3, 4, 20, 59]
    memory.release(1, released)
    ends = np.cumsum(pack.num_bytes) + memory.capacity
    cleared = 0
    for i in range(60):
        np.testing.assert_array_equal(memory.image(0, i), pack.image(i))
        found, expected = memory.image(1, i).ravel(), pack.image(i).ravel()
        if i in released:
            pages = (ends[i] - len(expected) + np.arange(len(expected))) // mmap.PAGESIZE
            inner = (pages > pages[0]) & (pages < pages[-1])
            cleared += inner.sum()
            assert not found[inner].any()
            expected = np.where(found == 0, 0, expected)
        np.testing.assert_array_equal(found, expected)
    assert cleared > 0
    memory.read(1, range(60))
    np.testing.assert_array_equal(memory.image(1, 20), pack.image(20))


def test_forked_processes_see_what_is_read_later(pack: Pack) -> None:
    memory = PartMemory(pack, int(pack.num_bytes.sum()))
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reads, 1)
        os._exit(0 if np.array_equal(memory.image(1, 7), pack.image(7)) else 1)
    memory.read(1, [3, 7, 8])
    os.write(writes, b"x")
    assert os.waitpid(child, 0)[1] == 0


def test_a_damaged_shard_is_said_when_its_part_is_due(tmp_path: Path) -> None:
    pack = open_or_build(write_split(tmp_path), tmp_path / "train", tmp_path / "packs")
    with open(pack.path / "shard-00000.rgb", "r+b") as file:
        file.write(b"\x00\x01\x02")
    feed = PartFeed(plan_of(pack, parts=1).epoch(0), PartMemory(pack, pack.nbytes), 1)
    with pytest.raises(DataError, match="is damaged"):
        list(feed)
