"""The certificate of a run: what there was, what became of it, and what it cost. Its numbers add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_tavus.collect.crawl import Crawled
    from airflow_provider_tavus.collect.index import Counts

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """
    What one run did.

    Each conversation that is over is counted once, so
    ``ended = collected + already_had + pending + impossible + failed + forgotten``.

    :param run_id: names the run in the ledger.
    :param shard: which part of all conversations the run was responsible for, as ``index/count``.
    :param started_at: ISO 8601 in UTC.
    :param finished_at: likewise.
    :param seconds: how long it took.
    :param complete: whether nothing was missed: the list was read reliably, nothing failed, and no date is spoilt.
    :param list_reading: how the list was read: ``full`` or from the newest row on, ``complete``, in which
        ``order``, in how many ``readings`` and ``pages``, and its ``total_count``; None if it could not be read.
    :param listed: conversations that the list showed.
    :param ended: conversations that are over: so the list said, or a read of one that was open before.
    :param collected: those that were stored, for the first time or because they had changed.
    :param already_had: those that were stored before and have not changed.
    :param pending: those of which something wanted may still come.
    :param impossible: those of which something wanted will never come, by reason.
    :param failed: those that could not be read or stored in this run, by reason.
    :param forgotten: those that were removed and are not collected again.
    :param states: how many conversations the ledger knows after the run, by state.
    :param partitions: the dates of which something was written.
    :param spoilt_partitions: the dates of which not all tables could be made, as a raw object there is spoilt.
    :param requests: how many requests were sent, with repeated ones.
    :param bytes: how long the answers were.
    """

    run_id: str
    shard: str
    started_at: str
    finished_at: str
    seconds: float
    complete: bool
    list_reading: dict[str, Any] | None
    listed: int
    ended: int
    collected: int
    already_had: int
    pending: int
    impossible: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    forgotten: int
    states: dict[str, int] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    spoilt_partitions: list[str] = field(default_factory=list)
    requests: int
    bytes: int
    format: int = FORMAT

    def as_plain(self) -> dict[str, Any]:
        """Return the certificate as plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Say the most of it in a line, for logs."""
        return (
            f"{self.ended} conversations have ended: {self.collected} collected, {self.already_had} had already, "
            f"{self.pending} pending, {sum(self.impossible.values())} impossible{_reasons(self.impossible)}, "
            f"{sum(self.failed.values())} failed{_reasons(self.failed)}, {self.forgotten} forgotten; "
            f"{self.requests} requests, {self.bytes} bytes, {self.seconds:.1f} s."
        )


def certify(counts: Counts, crawled: Crawled | None, *, spoilt_partitions: list[str], **about: Any) -> Certificate:
    """Return the certificate that follows from what was counted."""
    outcomes: dict[str, dict[str, int]] = {}
    for outcome, why, number in counts.outcomes:
        outcomes.setdefault(outcome, {})[why or "not_read"] = number
    numbers: dict[str, Any] = {
        outcome: sum(outcomes.get(outcome, {}).values())
        for outcome in ("collected", "already_had", "pending", "forgotten")
    }
    failed = outcomes.get("failed", {})
    return Certificate(
        complete=crawled is not None and crawled.complete and not failed and not spoilt_partitions,
        list_reading=asdict(crawled) if crawled else None,
        listed=counts.listed,
        ended=counts.ended,
        impossible=outcomes.get("impossible", {}),
        failed=failed,
        states=counts.states,
        spoilt_partitions=spoilt_partitions,
        **numbers,
        **about,
    )


def _reasons(reasons: dict[str, int]) -> str:
    told = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return f" ({told})" if told else ""
