"""Many small HDF5 objects read at once: what the HDF5 library does object by object, done for all by numpy.

A `digitStruct.mat` of 33,402 entries holds half a million datasets, most of a single number, and the library
takes longer to open one than to read a thousand numbers. Their headers are of the oldest and plainest kind,
as MATLAB writes them, so a few numpy operations follow all of them at once. Names and layouts are those of
the HDF5 File Format Specification 3.0: III.A.1 (B-trees), III.B and III.C (group nodes and entries), III.D
(local heaps), IV.A.1.a (object headers), IV.A.2 (messages).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digitspot.types import DoubleArray, IntArray

Bytes = npt.NDArray[np.uint8]

_DATASPACE, _DATATYPE, _LAYOUT, _CONTINUATION, _SYMBOL_TABLE = 0x01, 0x03, 0x08, 0x10, 0x11
_MAX_MESSAGES = 64
_ENTRY_BYTES = 40

FLOAT64, UINT16, REFERENCE = 0x11, 0x10, 0x17
"""Datatype messages begin with version 1 and the class: floating point, fixed point, reference."""
_ITEM_BYTES = {FLOAT64: 8, UINT16: 2, REFERENCE: 8}
_IEEE_DOUBLE = (0x00003F20, 8, 64 << 16, 52 | 11 << 8 | 0 << 16 | 52 << 24, 1023)
"""The rest of the message for a little-endian IEEE double, in words of 32 bits."""


class NotPlainError(Exception):
    """An object is not of the plain kind that is read here; the HDF5 library may know it."""


@dataclass(frozen=True, eq=False)
class Datasets:
    """Where the values of K datasets of one type lie.

    Attributes:
        num: int64 `[K]`, how many values each has.
        starts: int64 `[K]`, the byte of the file at which they begin.
    """

    num: IntArray
    starts: IntArray


class BulkReader:
    """Reads objects of a file by their addresses.

    Args:
        data: uint8, the file.
        base: The file's base address, the size of its user block.
    """

    def __init__(self, data: Bytes, base: int) -> None:
        self.data = data
        self.base = base

    def group_members(self, addresses: IntArray, names: tuple[str, ...]) -> IntArray:
        """Find the members of groups.

        Args:
            addresses: int64 `[K]`, of groups with exactly these members.
            names: Of M members.

        Returns:
            int64 `[K, M]`, the addresses of the members.

        Raises:
            NotPlainError: A group is of another kind or has other members.
        """
        table = self._messages(addresses, (_SYMBOL_TABLE,))[:, 0]
        tree, heap = self._words(table), self._words(table + 8)
        node = self._words(self._signed(tree, b"TREE") + 32)  # after siblings and the first key
        _require(self._uint(self._at(tree) + 4, 4) == 1 << 16)  # a leaf of a group's tree, with one child
        count = self._uint(self._signed(node, b"SNOD") + 6, 2)
        _require(count == len(names))
        heap_data = self._words(self._signed(heap, b"HEAP") + 24)
        entries = self._at(node)[:, None] + 8 + np.arange(len(names)) * _ENTRY_BYTES  # [K, M]
        name_starts = self._at(heap_data)[:, None] + self._words(entries)
        members = np.full((len(addresses), len(names)), -1)
        for column, name in enumerate(names):
            text = np.frombuffer(name.encode() + b"\0", np.uint8)
            same = (self._take(name_starts, len(text)) == text).all(axis=-1)  # [K, M]
            _require(same.sum(axis=1) == 1)
            members[:, column] = self._words(entries + 8)[same]
        return members

    def datasets(self, addresses: IntArray, kind: int) -> Datasets:
        """Find the values of datasets, `[K]`, of one type; the values lie in one piece or in the header.

        Raises:
            NotPlainError: A dataset is of another type, is compressed, or lies outside of the file.
        """
        found = self._messages(addresses, (_DATASPACE, _DATATYPE, _LAYOUT))
        space, datatype, layout = found.T
        _require(self._is_type(datatype, kind))
        num = self._extent(space)
        _require(self._uint(layout, 1) == 3)
        way = self._uint(layout + 1, 1)  # 0 in the header, 1 in one piece, 2 in chunks
        _require(way <= 1)
        piece = self._words(np.where(way == 1, layout + 2, layout))
        _require(np.asarray((way == 0) | (piece >= 0)))
        starts = np.where(way == 1, self.base + piece, layout + 4)
        ends = starts + num * _ITEM_BYTES[kind]
        _require((starts >= 0) & (ends <= len(self.data)))
        return Datasets(num, starts)

    def values(self, found: Datasets, kind: int) -> DoubleArray | IntArray:
        """Return the values of datasets one after the other: float64 of numbers, int64 of references.

        Raises:
            NotPlainError: There are more of them than the file has bytes.
        """
        item, total = _ITEM_BYTES[kind], int(found.num.sum())
        if total * item > len(self.data):
            raise NotPlainError
        before = found.num.cumsum() - found.num
        starts = np.repeat(found.starts - before * item, found.num) + np.arange(total) * item
        raw = self._take(starts, item)
        types = {FLOAT64: "<f8", UINT16: "<u2", REFERENCE: "<i8"}
        values = np.ascontiguousarray(raw).view(types[kind])[:, 0]
        return np.asarray(values, np.float64) if kind == FLOAT64 else np.asarray(values, np.int64)

    def kinds(self, addresses: IntArray) -> IntArray:
        """Return the first byte of each dataset's type, `[K]`: `FLOAT64`, `REFERENCE` or another."""
        return self._uint(self._messages(addresses, (_DATATYPE,))[:, 0], 1)

    def _is_type(self, start: IntArray, kind: int) -> npt.NDArray[np.bool_]:
        word = np.stack([self._uint(start + 4 * i, 4) for i in range(5)], axis=1)  # [K, 5]
        if kind == FLOAT64:
            first = np.array([FLOAT64 | _IEEE_DOUBLE[0] << 8, *_IEEE_DOUBLE[1:4]])
            same = (word[:, :4] == first).all(axis=1) & (self._uint(start + 16, 4) == _IEEE_DOUBLE[4])
            return np.asarray(same, np.bool_)
        # No flag set: little-endian and unsigned, or a reference to an object.
        return np.asarray((word[:, 0] == kind) & (word[:, 1] == _ITEM_BYTES[kind]), np.bool_)

    def _extent(self, space: IntArray) -> IntArray:
        """Return the number of values of simple dataspaces, version 1."""
        _require(self._uint(space, 1) == 1)
        rank = self._uint(space + 1, 1)
        _require((rank >= 1) & (rank <= 2))
        first = self._words(space + 8)
        second = np.where(rank == 2, self._words(np.where(rank == 2, space + 16, space + 8)), 1)
        limit = len(self.data)
        _require((first >= 0) & (first <= limit) & (second >= 0) & (second <= limit))
        return first * second

    def _messages(self, addresses: IntArray, kinds: tuple[int, ...]) -> IntArray:
        """Walk through object headers, version 1.

        Args:
            addresses: int64 `[K]`.
            kinds: Message types, of which each header must have one.

        Returns:
            int64 `[K, len(kinds)]`, where in the file the data of those messages begins.
        """
        start = self._at(addresses)
        _require(self._uint(start, 1) == 1)
        count = self._uint(start + 2, 2)
        _require(count <= _MAX_MESSAGES)
        found = np.full((len(start), len(kinds)), -1)
        here, end = start + 16, start + 16 + self._uint(start + 8, 4)
        later, later_end = np.full(len(start), -1), np.full(len(start), -1)
        for number in range(int(count.max(initial=0))):
            done = here >= end
            here, end = np.where(done, later, here), np.where(done, later_end, end)
            live = np.flatnonzero((number < count) & (here >= 0))
            at = here[live]
            kind, size, flags = self._uint(at, 2), self._uint(at + 2, 2), self._uint(at + 4, 1)
            for column, wanted in enumerate(kinds):
                same = kind == wanted
                _require((flags[same] & 2) == 0)  # not shared: the data is here
                found[live[same], column] = at[same] + 8
            more = kind == _CONTINUATION
            later[live[more]] = self.base + self._words(at[more] + 8)
            later_end[live[more]] = later[live[more]] + self._words(at[more] + 16)
            here[live] = at + 8 + size
        _require((found >= 0).all(axis=1))
        return found

    def _at(self, addresses: IntArray) -> IntArray:
        """Turn addresses into places in the file."""
        _require((addresses >= 0) & (addresses < len(self.data)))
        return addresses + self.base

    def _signed(self, addresses: IntArray, signature: bytes) -> IntArray:
        """Return the places of addresses, where this signature must stand."""
        start = self._at(addresses)
        _require((self._take(start, 4) == np.frombuffer(signature, np.uint8)).all(axis=-1))
        return start

    def _words(self, starts: IntArray) -> IntArray:
        """Return the signed 64-bit numbers at places of any shape; an undefined address is -1."""
        return np.ascontiguousarray(self._take(starts, 8)).view("<i8")[..., 0].astype(np.int64)

    def _uint(self, starts: IntArray, num_bytes: int) -> IntArray:
        raw = np.ascontiguousarray(self._take(starts, num_bytes))
        return raw.view(f"<u{num_bytes}")[..., 0].astype(np.int64)

    def _take(self, starts: IntArray, num_bytes: int) -> Bytes:
        """Return the bytes at places, uint8 `[..., num_bytes]`."""
        _require((starts >= 0) & (starts <= len(self.data) - num_bytes))
        return np.asarray(self.data[starts[..., None] + np.arange(num_bytes)], np.uint8)


def _require(condition: npt.NDArray[np.bool_] | np.bool_) -> None:
    if not condition.all():
        raise NotPlainError
