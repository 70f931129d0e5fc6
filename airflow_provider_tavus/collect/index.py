"""
What one run knows: the ledger as it found it, the rows that the list showed, and what came of each.

It is kept in a private temporary SQLite database, which spills to disk, so that a run's memory does not grow with
the archive. It holds ids, states and times; never a word that somebody said.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from airflow_provider_tavus.collect.entry import Entry
from airflow_provider_tavus.collect.layout import UNKNOWN_DATE, partition_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from airflow_provider_tavus.collect.layout import Shard

SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -8000;
CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    mine INTEGER NOT NULL,            -- whether this run's shard is responsible for it
    entry TEXT,                       -- what the ledger says, as JSON
    state TEXT, at REAL, updated_at REAL, look_again_at REAL, partition TEXT, listed INTEGER, reason TEXT,
    stored_as TEXT,                   -- in JSON; null if it is not stored
    reading INTEGER,                  -- the last reading of the list that showed it
    row_ended INTEGER, row_created_at REAL, row_updated_at REAL,
    due INTEGER NOT NULL DEFAULT 0,   -- 1: to be read; 2: taken
    expected TEXT,                    -- the partition that it will probably be of
    doubted INTEGER NOT NULL DEFAULT 0,   -- whether what is stored of it may not be what it should be
    outcome TEXT, why TEXT,           -- what came of it in this run
    unsaved INTEGER NOT NULL DEFAULT 0   -- 1: its partition is not finished; 2: the ledger does not have it yet
) WITHOUT ROWID;
CREATE INDEX due ON conversations (expected, id) WHERE due = 1;
-- Not one index of both: SQLite uses one that is partial only where a query repeats the index's own condition.
CREATE INDEX unfinished ON conversations (partition) WHERE unsaved = 1;
CREATE INDEX unsaved ON conversations (expected, id) WHERE unsaved = 2;
"""
IN_DOUBT = "(doubted AND COALESCE(outcome, 'failed') = 'failed' AND state IS NOT 'forgotten')"
"""Of these there may be an entry that no run has seen to be true: it was made of what is stored."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """
    A row of the list, as far as collection needs it. Times are epoch seconds, None if the row does not tell.

    :param ended: whether its status is that of a conversation that is over.
    """

    conversation_id: str
    ended: bool
    created_at: float | None = None
    updated_at: float | None = None


class Due(msgspec.Struct, frozen=True):
    """
    A conversation that is to be read.

    :param entry: what the ledger says of it, if anything.
    :param row: what the list said of it, if it was seen there.
    :param partition: the one that it will probably be of; its body has the last word.
    :param doubted: whether it is to be stored anyway, as what is stored of it may not be what the entry says.
    """

    conversation_id: str
    entry: Entry | None
    row: Row | None
    partition: str
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """
    What came of everything in a run.

    :param listed: conversations that the list showed.
    :param ended: those of them, and of those that were read, that are over.
    :param outcomes: what came of those: outcome, reason and number.
    :param states: how many the ledger knows, by their state.
    """

    listed: int
    ended: int
    outcomes: list[tuple[str, str | None, int]]
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class Noted:
    """
    What some rows brought.

    :param fresh: rows that no reading of the list had shown before in this run.
    :param news: how many of them are to be read or were unknown.
    """

    fresh: list[Row]
    news: int


class Index:
    """
    The state of one run.

    :param shard: which conversations the run is responsible for.
    :param now: epoch seconds of the run.
    """

    def __init__(self, shard: Shard, *, now: float) -> None:
        self._shard = shard
        self._now = now
        # "" is a temporary file of SQLite's own, gone when it is closed. Threads use it one after the other.
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(SCHEMA)

    def close(self) -> None:
        """Let go of everything."""
        self._database.close()

    def know(self, entries: Iterable[Entry]) -> None:
        """Take in what the ledger says: of several entries of a conversation the latest counts, or its tombstone."""
        with self._transaction():
            self._database.executemany(
                """
                INSERT INTO conversations (id, mine, entry, state, at, updated_at, look_again_at, partition, listed,
                                           reason, stored_as, expected)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET
                    entry = excluded.entry, state = excluded.state, at = excluded.at, listed = excluded.listed,
                    updated_at = excluded.updated_at, look_again_at = excluded.look_again_at,
                    partition = COALESCE(excluded.partition, partition), reason = excluded.reason,
                    stored_as = excluded.stored_as,
                    expected = CASE excluded.expected WHEN '' THEN expected ELSE excluded.expected END
                WHERE entry IS NULL OR (excluded.state = 'forgotten', excluded.at) >= (state = 'forgotten', at)
                """,
                (
                    (entry.conversation_id, self._shard.has(entry.conversation_id), *_columns(entry))
                    for entry in entries
                ),
            )

    def note(self, rows: Sequence[Row], reading: int) -> Noted:
        """
        Take in rows of the list, and mark those that are to be read.

        :param reading: which reading of the list shows them, from 1 on.
        """
        known = self._known([row.conversation_id for row in rows])
        fresh, news, noted, as_before = [], 0, [], []
        for row in rows:
            mine, state, updated_at, reason, partition, seen_before, was_due, *told_before = known.get(
                row.conversation_id
            ) or (self._shard.has(row.conversation_id), None, None, None, None, None, 0)
            due = bool(mine) and _calls_for_a_look(row, state, updated_at, reason)
            news += due or bool(mine and state is None)
            if seen_before is None:
                fresh.append(row)
            told = [row.ended, row.created_at, row.updated_at, _expected(partition or partition_of(row.created_at))]
            if told == told_before and due <= was_due:
                as_before.append(row.conversation_id)
            else:
                noted.append((row.conversation_id, mine, reading, due, *told))
        with self._transaction():
            self._database.executemany(
                """
                INSERT INTO conversations (id, mine, reading, due, row_ended, row_created_at, row_updated_at, expected)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET
                    reading = excluded.reading, row_ended = MAX(COALESCE(row_ended, 0), excluded.row_ended),
                    row_created_at = COALESCE(excluded.row_created_at, row_created_at),
                    row_updated_at = COALESCE(excluded.row_updated_at, row_updated_at),
                    due = MAX(due, excluded.due), expected = excluded.expected
                """,
                noted,
            )
            # In a second reading these are nearly all, and all at once they take a fifth of the time.
            self._database.execute(
                f"UPDATE conversations SET reading = ? WHERE id IN ({_places(as_before)})",  # noqa: S608
                (reading, *as_before),
            )
        return Noted(fresh, news)

    def seen_in(self, reading: int) -> int:
        """Return how many conversations were last seen in a reading of the list."""
        return self._count("reading = ?", reading)

    def seen_in_any(self) -> int:
        """Return how many conversations the list has shown."""
        return self._count("reading IS NOT NULL")

    def should_be_listed(self) -> int:
        """Return how many conversations the list should hold, by the ledger and by what was seen of it."""
        return self._count("reading IS NOT NULL OR (entry IS NOT NULL AND listed)")

    def mark_open_ones(self) -> None:
        """Mark what is to be read whatever the list says: it was not complete, or a last look at it is due."""
        self._database.execute(
            """
            UPDATE conversations SET due = 1 WHERE mine AND due = 0 AND (
                state = 'pending' OR look_again_at <= ? OR (state = 'active' AND (reading IS NULL OR row_ended)))
            """,
            (self._now,),
        )

    def due(self) -> int:
        """Return how many conversations are still to be read."""
        return self._count("due = 1")

    def has_due(self, count: int) -> bool:
        """Tell whether at least so many conversations are still to be read."""
        # Counting them all takes longer, the more there are.
        some = self._database.execute("SELECT 1 FROM conversations WHERE due = 1 LIMIT ?", (count,)).fetchall()
        return len(some) == count

    def take_due(self, limit: int) -> list[Due]:
        """Take conversations that are to be read, those of one partition after those of another."""
        with self._transaction():
            rows = self._database.execute(
                """
                SELECT id, entry, reading, row_ended, row_created_at, row_updated_at, doubted, expected
                FROM conversations INDEXED BY due WHERE due = 1 ORDER BY expected, id LIMIT ?
                """,
                (limit,),
            ).fetchall()
            if rows:
                # Those up to the last one, in the same order.
                (last, *_, expected) = rows[-1]
                self._database.execute(
                    "UPDATE conversations SET due = 2 WHERE due = 1 AND (expected, id) <= (?, ?)", (expected, last)
                )
        return [
            Due(
                conversation_id,
                _entry(entry) if entry else None,
                Row(conversation_id, bool(ended), created_at, updated_at) if reading is not None else None,
                expected or UNKNOWN_DATE,
                bool(doubted),
            )
            for conversation_id, entry, reading, ended, created_at, updated_at, doubted, expected in rows
        ]

    def settle(self, outcomes: Iterable[tuple[Entry, str | None]], *, partition_unfinished: bool = False) -> None:
        """
        Note what came of conversations that were read.

        :param outcomes: what the ledger is to say of each, and the word under which it is counted; None is as before.
        :param partition_unfinished: whether the ledger has to wait until their partition is finished.
        """
        with self._transaction():
            self._replace(outcomes, unsaved=1 if partition_unfinished else 2)

    def settle_unchanged(self, conversation_id: str, outcome: str | None, why: str | None) -> None:
        """Note what came of a conversation of which the ledger says all that there is to say, or nothing as yet."""
        self._database.execute(
            "UPDATE conversations SET outcome = ?, why = ? WHERE id = ?", (outcome, why, conversation_id)
        )

    def partition_is_finished(self, partition: str) -> None:
        """Let the ledger have what was collected of a partition."""
        self._database.execute("UPDATE conversations SET unsaved = 2 WHERE unsaved = 1 AND partition = ?", (partition,))

    def partition_has_failed(self, partition: str, why: str) -> None:
        """Note that the ledger cannot have what was collected of a partition."""
        self._database.execute(
            "UPDATE conversations SET outcome = 'failed', why = ? WHERE unsaved = 1 AND partition = ?",
            (why, partition),
        )

    def note_who_is_on_the_list(self, *, sweep_was_complete: bool) -> None:
        """Enter those who go on and were unknown; after a sweep also who is no longer on the list, or is so again."""
        for rows in self._some(
            "SELECT id, row_created_at, row_updated_at FROM conversations WHERE id > ? AND mine AND entry IS NULL "
            "AND NOT row_ended AND outcome IS NULL ORDER BY id LIMIT 500"
        ):
            going_on = (
                Entry(
                    conversation_id=conversation_id,
                    state="active",
                    at=self._now,
                    partition=partition_of(created_at),
                    updated_at=updated_at,
                )
                for conversation_id, created_at, updated_at in rows
            )
            with self._transaction():
                self._replace(((entry, None) for entry in going_on), unsaved=2)
        for rows in self._some(
            "SELECT id, entry FROM conversations WHERE id > ? AND mine AND entry IS NOT NULL AND unsaved = 0 "  # noqa: S608
            f"AND NOT {IN_DOUBT} AND listed <> (reading IS NOT NULL) ORDER BY id LIMIT 500"
        ):
            entries = [_entry(told) for _, told in rows]
            changed = [each for each in entries if sweep_was_complete or not each.listed]
            with self._transaction():
                self._replace(((replace(entry, listed=not entry.listed), None) for entry in changed), unsaved=2)

    def take_entries_to_save(self, limit: int) -> list[str]:
        """Take entries that the ledger can have, as JSON."""
        with self._transaction():
            rows = self._database.execute(
                "SELECT id, entry, expected FROM conversations WHERE unsaved = 2 ORDER BY expected, id LIMIT ?",
                (limit,),
            ).fetchall()
            if rows:
                # Those up to the last one, in the same order.
                last, _, expected = rows[-1]
                self._database.execute(
                    "UPDATE conversations SET unsaved = 0 WHERE unsaved = 2 AND (expected, id) <= (?, ?)",
                    (expected, last),
                )
        return [entry for _, entry, _ in rows]

    def unsaved(self) -> int:
        """Return how many entries the ledger can have."""
        return self._count("unsaved = 2")

    def all_entries(self) -> Iterator[str]:
        """Return what the ledger says in all, as JSON."""
        for rows in self._some(
            "SELECT id, entry FROM conversations WHERE id > ? AND entry IS NOT NULL ORDER BY id LIMIT 500"
        ):
            yield from (entry for _, entry in rows)

    def entry(self, conversation_id: str) -> Entry | None:
        """Return what the ledger says of a conversation."""
        found = self._database.execute("SELECT entry FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
        return _entry(found[0]) if found and found[0] else None

    def is_undated(self, conversation_id: str) -> bool:
        """Tell whether a conversation is stored without a date."""
        found = self._database.execute(
            "SELECT 1 FROM conversations WHERE id = ? AND partition = ? AND stored_as NOTNULL",
            (conversation_id, UNKNOWN_DATE),
        )
        return found.fetchone() is not None

    def forgotten_since(self, moment: float) -> list[tuple[str, str | None]]:
        """Return the ids of those that were forgotten lately, and their dates, as far as they are known."""
        return self._database.execute(
            "SELECT id, COALESCE(NULLIF(partition, ?), NULLIF(expected, '')) FROM conversations "
            "WHERE mine AND state = 'forgotten' AND at >= ?",
            (UNKNOWN_DATE, moment),
        ).fetchall()

    def stored_otherwise(self, entry: Entry) -> bool:
        """Tell whether another run stored something else of a conversation than this one has."""
        found = self._database.execute(
            "SELECT entry FROM conversations WHERE id = ? AND outcome IN ('collected', 'impossible')",
            (entry.conversation_id,),
        ).fetchone()
        stored = msgspec.json.decode(found[0]).get("sha256") if found and found[0] else None
        return bool(stored and entry.sha256) and stored != entry.sha256

    def not_stored_as(self, forms: Collection[str]) -> Iterator[tuple[str, list[Entry]]]:
        """Yield what is stored, but not as all of this: partitions, and entries in them that lack the same."""
        # What is in doubt is not to be noted.
        of_these = f"mine AND NOT {IN_DOUBT}"
        kinds = self._database.execute(
            f"SELECT DISTINCT partition, stored_as FROM conversations WHERE {of_these} AND stored_as NOTNULL "  # noqa: S608
            "ORDER BY 1, 2"
        ).fetchall()
        for partition, stored_as in kinds:
            if not set(forms).issubset(msgspec.json.decode(stored_as)):
                entries = self._database.execute(
                    f"SELECT entry FROM conversations WHERE {of_these} AND partition = ? AND stored_as = ? "  # noqa: S608
                    "ORDER BY id",
                    (partition, stored_as),
                ).fetchall()
                yield partition, [_entry(entry) for (entry,) in entries]

    def stored_in(self, partition: str) -> list[str]:
        """Return the ids of those that are stored in a partition."""
        found = self._database.execute(
            "SELECT id FROM conversations WHERE mine AND partition = ? AND stored_as NOTNULL", (partition,)
        )
        return [conversation_id for (conversation_id,) in found]

    def doubt(self, conversation_ids: Iterable[str]) -> None:
        """
        Note that what is stored of conversations may not be what it should be.

        They are to be read once more, but for those that were forgotten since, and are in doubt until they were.
        """
        with self._transaction():
            self._database.executemany(
                "UPDATE conversations SET due = 1, doubted = 1, outcome = NULL "
                "WHERE id = ? AND state IS NOT 'forgotten'",
                ((each,) for each in conversation_ids),
            )

    def partitions_in_doubt(self) -> set[str]:
        """Return the partitions of what is still in doubt."""
        found = self._database.execute(f"SELECT DISTINCT partition FROM conversations WHERE {IN_DOUBT}")  # noqa: S608
        return {partition for (partition,) in found}

    def counts(self) -> Counts:
        """Count what came of everything."""
        outcomes = self._database.execute(
            """
            SELECT finally, CASE WHEN finally IN ('impossible', 'failed') THEN cause END, COUNT(*) FROM (
                SELECT COALESCE(why, CASE WHEN outcome IS NOT NULL OR NOT due THEN reason END) AS cause, CASE
                    WHEN outcome IS NOT NULL THEN outcome
                    WHEN due AND state IS NOT 'forgotten' THEN 'failed'
                    WHEN state = 'collected' THEN 'already_had'
                    ELSE state
                END AS finally FROM conversations WHERE mine AND (row_ended OR outcome IS NOT NULL)
            ) GROUP BY 1, 2 ORDER BY 1, 2
            """
        ).fetchall()
        states = self._database.execute(
            "SELECT state, COUNT(*) FROM conversations WHERE mine AND entry IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        listed = self._count("mine AND reading IS NOT NULL")
        ended = self._count("mine AND (row_ended OR outcome IS NOT NULL) AND COALESCE(outcome, '') <> 'active'")
        return Counts(listed, ended, outcomes, dict(states))

    def _replace(self, outcomes: Iterable[tuple[Entry, str | None]], *, unsaved: int) -> None:
        self._database.executemany(
            """
            UPDATE conversations SET entry = ?, state = ?, at = ?, updated_at = ?, look_again_at = ?, partition = ?,
                listed = ?, reason = ?, stored_as = ?, expected = ?, unsaved = ?, outcome = COALESCE(?, outcome),
                why = CASE WHEN ? IS NULL THEN why ELSE ? END
            WHERE id = ? AND (state IS NOT 'forgotten' OR ? = 'forgotten')
            """,
            (
                (*_columns(entry), unsaved, outcome, outcome, entry.reason, entry.conversation_id, entry.state)
                for entry, outcome in outcomes
            ),
        )

    def _some(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """Go through rows by their id, some at a time, so that they may be changed meanwhile."""
        last = ""
        while rows := self._database.execute(query, (last,)).fetchall():
            yield rows
            last = rows[-1][0]

    def _known(self, ids: list[str]) -> dict[str, list[Any]]:
        query = (
            "SELECT id, mine, state, updated_at, reason, partition, reading, due, "  # noqa: S608 - question marks only
            "row_ended, row_created_at, row_updated_at, expected "
            f"FROM conversations WHERE id IN ({_places(ids)})"
        )
        return {conversation_id: columns for conversation_id, *columns in self._database.execute(query, ids)}

    def _count(self, condition: str, *values: object) -> int:
        (count,) = self._database.execute(f"SELECT COUNT(*) FROM conversations WHERE {condition}", values).fetchone()  # noqa: S608
        return int(count)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("COMMIT")


def _columns(entry: Entry) -> tuple[object, ...]:
    """Return what an entry fills, in the order of the columns: by their names it would take longer."""
    return (
        _encode(entry.as_json()),
        entry.state,
        entry.at,
        entry.updated_at,
        entry.look_again_at,
        entry.partition,
        entry.listed,
        entry.reason,
        _encode(entry.stored_as) if entry.sha256 else None,
        _expected(entry.partition),
    )


def _entry(told: str) -> Entry:
    return Entry.from_json(msgspec.json.decode(told))


def _encode(plain: object) -> str:
    return msgspec.json.encode(plain).decode()


def _places(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _expected(partition: str | None) -> str:
    # Those of unknown date come first: their bodies may tell it, and then their rows are there in time.
    return "" if partition in {None, UNKNOWN_DATE} else str(partition)


def _calls_for_a_look(row: Row, state: str | None, updated_at: float | None, reason: str | None) -> bool:
    if state in {None, "active", "pending"}:
        return row.ended
    if state == "forgotten":
        return False
    if state == "impossible" and reason == "deleted":
        # It is on the list, so it is there again, or was never gone: perhaps another account's key was in use.
        return True
    # Only a later time is a change: a list can lag behind what was read of a conversation itself.
    return row.updated_at is not None and (updated_at is None or row.updated_at > updated_at)
