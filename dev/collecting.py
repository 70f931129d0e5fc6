"""Collections of a box into a folder, as tests drive them: with crashes and with others in between two writes."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_tavus.api.async_client import AsyncTavusClient
from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.collect.formats import lines_of_tables
from airflow_provider_tavus.collect.layout import Shard
from airflow_provider_tavus.collect.local_store import LocalStore
from airflow_provider_tavus.collect.outcome import Wanted
from airflow_provider_tavus.collect.plan import Plan
from airflow_provider_tavus.collect.run import CollectionRun
from airflow_provider_tavus.collect.store import Store
from airflow_provider_tavus.collect.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_tavus.collect.certificate import Certificate
    from airflow_provider_tavus.collect.copies import Copies
    from airflow_provider_tavus.testing import TavusBox

GRACE = 600.0
SETTLE = 1800.0
ALL_FORMATS = ("jsonl", "parquet") if find_spec("pyarrow") else ("jsonl",)
"""Those that can be written here: pyarrow is not beside every Airflow."""


class Crash(Exception):  # noqa: N818 - not an error, but the end
    """The process is dead from here on."""


class InterruptedStore(LocalStore):
    """
    A store that somebody interferes with.

    :param crash_at: which write or deletion, counted from 1, and all after it, do not happen any more.
    :param meanwhile: called right before the write or deletion number ``meanwhile_at``.
    """

    def __init__(
        self,
        root: Path,
        *,
        crash_at: int | None = None,
        meanwhile: Callable[[], None] = lambda: None,
        meanwhile_at: int | None = None,
    ) -> None:
        super().__init__(root)
        self.changes = 0
        self._crash_at = crash_at
        self._meanwhile, self._meanwhile_at = meanwhile, meanwhile_at

    def write(self, name: str, content: bytes) -> None:
        self._before_a_change()
        super().write(name, content)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        self._before_a_change()
        with super().writing(name) as file:
            yield file

    def _move(self, unfinished: str, name: str) -> None:
        self._before_a_change()
        super()._move(unfinished, name)

    def delete(self, name: str) -> None:
        self._before_a_change()
        super().delete(name)

    def _before_a_change(self) -> None:
        self.changes += 1
        if self._crash_at is not None and self.changes >= self._crash_at:
            raise Crash
        if self.changes == self._meanwhile_at:
            self._meanwhile()


def plan(**changes: Any) -> Plan:
    wanted = Wanted(
        wait_for=changes.pop("wait_for", ("application.transcription_ready",)),
        grace_period=changes.pop("grace_period", GRACE),
        settle_period=changes.pop("settle_period", SETTLE),
    )
    return Plan(wanted=wanted, **changes)


def collect(
    box: TavusBox,
    root: Path | Store,
    *,
    retries: int = 1,
    timeout: float = 30.0,
    copies: Copies | None = None,
    on_arrival: Callable[[str], None] = lambda _: None,
    **changes: Any,
) -> Certificate:
    """Run one collection to its end, and hold its certificate to its sums."""
    store = root if isinstance(root, Store) else InterruptedStore(root)
    settings = ClientSettings(
        api_key=box.api_key, base_url=box.base_url, retries=retries, connect_timeout=timeout, read_timeout=timeout
    )

    async def run() -> Certificate:
        async with AsyncTavusClient(settings) as client:
            running = CollectionRun(
                client=client,
                store=store,
                copies=copies,
                plan=plan(**changes),
                clock=box.clock.now,
                on_arrival=on_arrival,
            )
            certificate = await running.run()
            nothing_failed = not certificate.failed and not certificate.spoilt_partitions
            assert (running.failure is None) == (nothing_failed and certificate.list_reading is not None)
            return certificate

    certificate = asyncio.run(run())
    adds_up(certificate)
    return certificate


def adds_up(certificate: Certificate) -> None:
    of_those_ended = certificate.collected + certificate.already_had + certificate.pending + certificate.forgotten
    of_those_ended += sum(certificate.impossible.values()) + sum(certificate.failed.values())
    assert certificate.ended == of_those_ended, certificate
    assert certificate.complete == (
        certificate.list_reading is not None
        and certificate.list_reading["complete"]
        and not certificate.failed
        and not certificate.spoilt_partitions
    )


def objects(root: Path, *, of_runs: bool = False) -> dict[str, bytes]:
    """Every object of a destination; without what runs say of themselves, unless asked for."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in sorted(root.rglob("*"))
        if file.is_file() and (of_runs or not str(file.relative_to(root)).startswith("_"))
    }


def raw(root: Path) -> dict[str, Any]:
    """Every raw object by the conversation's id; each is there once."""
    found: dict[str, Any] = {}
    for file in root.glob("raw/created=*/*.json"):
        body = json.loads(file.read_bytes())
        assert body["conversation_id"] not in found, "twice"
        found[body["conversation_id"]] = body
    return found


def rows(root: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of a table with its partition."""
    for file in sorted(root.glob(f"{name}/created=*/*.jsonl")):
        for line in file.read_bytes().splitlines():
            yield file.parent.name, json.loads(line)


def tables_are_those_of_the_raw_objects(root: Path, *, shards: int = 1) -> None:
    for partition in {file.parent.name for file in [*root.glob("raw/*/*"), *root.glob("conversations/*/*")]}:
        raw_objects = sorted(root.glob(f"raw/{partition}/*.json"))
        for shard in (Shard(index, shards) for index in range(shards)):
            lines = [lines_of_tables(file.read_bytes()) for file in raw_objects if shard.has_name(file.stem)]
            for number, table in enumerate(TABLES):
                file = root / table.name / partition / f"part-{shard.index:05d}.jsonl"
                expected = b"".join(of_tables[number] for of_tables in lines)
                assert (file.read_bytes() if file.exists() else b"") == expected, (partition, table.name, shard)
