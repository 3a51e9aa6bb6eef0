"""What was watched so far, kept in SQLite: records, the frames of each, and what is published where."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from digitspot.errors import DataError
from digitspot.files import claiming


class Store:
    """What was read so far, in a SQLite file: a kill leaves whole records only.

    Args:
        path: The file.
        source: What is watched; a store is of one source.

    Raises:
        DataError: The file cannot be used, is of another source, or another process uses it. The methods
            raise it, too, as where the disk is full.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._open = ExitStack()
        if not self._open.enter_context(claiming(path.with_name(f"{path.name}.lock"))):
            raise DataError(f"another process uses {path}", hint="Wait for it, or give another --store.")
        try:
            self._db = sqlite3.connect(path)
            self._db.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "CREATE TABLE IF NOT EXISTS readings"
                " (id INTEGER PRIMARY KEY, record TEXT NOT NULL, value TEXT);"
                "CREATE TABLE IF NOT EXISTS sinks (name TEXT PRIMARY KEY, last INTEGER NOT NULL);"
                "CREATE TABLE IF NOT EXISTS frames (key TEXT PRIMARY KEY, reading INTEGER NOT NULL);"
                "CREATE TABLE IF NOT EXISTS source (name TEXT NOT NULL);"
                "CREATE TABLE IF NOT EXISTS starts (value TEXT NOT NULL, after INTEGER NOT NULL);"
            )
            with self._db:
                known = self._db.execute("SELECT name FROM source").fetchone()
                if known is None:
                    self._db.execute("INSERT INTO source VALUES (?)", (source,))
        except sqlite3.Error as error:
            raise DataError(f"{path} cannot be used as a store: {error}") from error
        if known is not None and known[0] != source:
            raise DataError(f"{path} is of {known[0]}, not of {source}", hint="Give another --store.")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._db:
                yield self._db
        except sqlite3.Error as error:
            raise DataError(f"{self._path} cannot be used as a store: {error}") from error

    def knows(self, key: str) -> bool:
        """Return whether a frame is part of a record."""
        with self._transaction() as db:
            return db.execute("SELECT 1 FROM frames WHERE key = ?", (key,)).fetchone() is not None

    def start_from(self, value: str) -> None:
        """Let a value be the one before the next, in place of what was read; not where it was given last."""
        with self._transaction() as db:
            given = db.execute("SELECT value FROM starts ORDER BY rowid DESC").fetchone()
            if given is None or given[0] != value:
                db.execute("INSERT INTO starts SELECT ?, coalesce(max(id), 0) FROM readings", (value,))

    def previous(self) -> tuple[str, int] | None:
        """Return the value before the next one, and how many since then have no answer; None is no value."""
        with self._transaction() as db:
            start = db.execute("SELECT value, after FROM starts ORDER BY rowid DESC").fetchone()
            value, last = start or (None, 0)
            answered = db.execute(
                "SELECT value, id FROM readings WHERE value IS NOT NULL AND id > ? ORDER BY id DESC", (last,)
            ).fetchone()
            value, last = answered or (value, last)
            [since] = db.execute("SELECT count(*) FROM readings WHERE id > ?", (last,)).fetchone()
        return None if value is None else (str(value), int(since))

    def add(self, record: dict[str, Any], value: str | None, keys: Sequence[str]) -> int:
        """Keep a record and its frames, all or nothing; return its id."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO readings (record, value) VALUES (?, ?)", (json.dumps(record), value)
            )
            assert cursor.lastrowid is not None
            db.executemany("INSERT INTO frames VALUES (?, ?)", [(key, cursor.lastrowid) for key in keys])
        return cursor.lastrowid

    def unpublished(self, sink: str) -> list[tuple[int, dict[str, Any]]]:
        """Return the records that a sink has not confirmed, the oldest first."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT id, record FROM readings"
                " WHERE id > coalesce((SELECT last FROM sinks WHERE name = ?), 0) ORDER BY id",
                (sink,),
            ).fetchall()
        return [(int(row[0]), json.loads(row[1])) for row in rows]

    def published(self, reading: int, sink: str) -> None:
        """Note that a sink has a record, and all before it."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO sinks VALUES (?, ?)", (sink, reading))

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._open.close()
