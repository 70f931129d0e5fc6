"""The operator that collects every conversation into a destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AssetAlias, BaseOperator, ObjectStoragePath

from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook, make_async_client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_tavus.collect.certificate import Certificate
    from airflow_provider_tavus.collect.plan import Plan
    from airflow_provider_tavus.collect.run import CollectionRun

FORMATS = ("jsonl", "parquet")


class CollectionFailedError(Exception):
    """Some conversations could not be collected; everything else was, and the next run tries again."""


class CollectConversationsOperator(BaseOperator):
    """
    Store every conversation that has ended, once, with its transcript, and prove that none is missing.

    Each run reads the list of conversations, reads those that are new, changed or were not complete before, and
    stores each as the JSON that Tavus sent, and as rows of tables. What was done is in a ledger beside the data, so
    that it does not matter whether runs fail, crash, are cleared, repeated or overlap: nothing is lost, and nothing
    is there twice.

    The result is the run's certificate: how many conversations have ended, were collected, were there already, are
    pending, impossible or failed, and why; it is an object under ``_runs/`` of the destination as well. The task
    fails if something failed, after everything else was stored. XCom and logs hold no word of a transcript.

    :param destination: an Airflow object storage path or its text, such as ``s3://aws_default@lake/tavus`` or
        ``file:///data/tavus`` (templated).
    :param wait_for: the events that make a conversation complete.
    :param grace_period: seconds after its end in which they may still come. A conversation without them is stored
        then, and counted as impossible.
    :param settle_period: seconds after its end at which a conversation is read once more, for what came later.
    :param lookback: seconds; what was created within them is gone through in every run, to notice changes.
    :param sweep_interval: seconds after which the list is read to its end again, and not just to where nothing is
        new; 0 is in every run.
    :param formats: those of the tables: ``jsonl``, ``parquet`` or both.
    :param shard: which part of all conversations, as ``(index, count)``, so that several tasks can share the work.
        All runs into a destination count the same number of shards.
    :param prepare: a function that gets each body as received, in bytes, and returns what is stored of it. What it
        raises keeps that conversation from being stored.
    :param requests_in_flight: how many conversations are read at a time.
    :param asset: gets an event, with the certificate's numbers and dates, when something arrived. Without, and when
        nothing did, no event is emitted.
    :param tavus_conn_id: the Airflow connection to use (templated).
    """

    template_fields: Sequence[str] = ("destination", "shard", "tavus_conn_id")
    ui_color = "#e8e4f8"

    def __init__(
        self,
        *,
        destination: str | ObjectStoragePath,
        wait_for: Sequence[str] = (TRANSCRIPTION_READY,),
        grace_period: float = 600.0,
        settle_period: float = 1800.0,
        lookback: float = 21_600.0,
        sweep_interval: float = 86_400.0,
        formats: Sequence[str] = ("jsonl",),
        shard: tuple[int, int] = (0, 1),
        prepare: Callable[[bytes], bytes] | None = None,
        requests_in_flight: int = 32,
        asset: Asset | None = None,
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        self._alias = AssetAlias(f"collected into {asset.uri}") if asset is not None else None
        if self._alias is not None:
            kwargs["outlets"] = [*kwargs.get("outlets", ()), self._alias]
        super().__init__(**kwargs)
        if unknown := {formats} if isinstance(formats, str) else set(formats) - set(FORMATS):
            raise ValueError(f"formats must be a list out of {list(FORMATS)}, not {sorted(unknown)}.")
        if isinstance(wait_for, str) or not wait_for:
            raise ValueError("wait_for must be a list of event types, such as ['application.transcription_ready'].")
        for name, seconds in (("grace_period", grace_period), ("settle_period", settle_period), ("lookback", lookback)):
            if seconds < 0:
                raise ValueError(f"{name} is in seconds and cannot be negative: {seconds}.")
        self.destination = destination
        self.wait_for = wait_for
        self.grace_period = grace_period
        self.settle_period = settle_period
        self.lookback = lookback
        self.sweep_interval = sweep_interval
        self.formats = formats
        self.shard = shard
        self.prepare = prepare
        self.requests_in_flight = requests_in_flight
        self.asset = asset
        self.tavus_conn_id = tavus_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the certificate."""
        import asyncio

        plan = self._plan()
        with permanent_errors_are_not_retried():
            certificate, failure = asyncio.run(self._collect(plan))
            self.log.info("%s", certificate)
            plain = certificate.as_plain()
            if certificate.collected:
                self._tell_of_arrivals(context, plain)
            if failure is not None:
                context["ti"].xcom_push(key="return_value", value=plain)
                self._fail(certificate, failure)
        if not certificate.complete:
            self.log.warning("The list of conversations could not be read reliably; the next run reads all of it.")
        return plain

    def _plan(self) -> Plan:
        from airflow_provider_tavus.collect.layout import Shard
        from airflow_provider_tavus.collect.outcome import Wanted
        from airflow_provider_tavus.collect.plan import Plan

        return Plan(
            wanted=Wanted(
                wait_for=tuple(self.wait_for), grace_period=self.grace_period, settle_period=self.settle_period
            ),
            sweep_interval=self.sweep_interval,
            lookback=self.lookback,
            shard=Shard(*self.shard),
            requests_in_flight=self.requests_in_flight,
            prepare=self.prepare,
            formats=tuple(self.formats),
        )

    async def _collect(self, plan: Plan) -> tuple[Certificate, Exception | None]:
        from airflow_provider_tavus.collect.run import CollectionRun
        from airflow_provider_tavus.collect.store import Store

        settings = TavusHook(self.tavus_conn_id).settings
        async with make_async_client(settings) as client:
            run = CollectionRun(
                client=client,
                store=Store.at(ObjectStoragePath(self.destination)),
                plan=plan,
                on_progress=lambda progress: self.log.info("%s", progress),
            )
            return await run.run(), run.failure

    def _tell_of_arrivals(self, context: Context, certificate: dict[str, Any]) -> None:
        if self.asset is None:
            return
        told = ("run_id", "collected", "pending", "partitions", "started_at", "finished_at")
        events = context["outlet_events"][self._alias]
        events.add(self.asset, extra={name: certificate[name] for name in told})

    def _fail(self, certificate: Certificate, failure: Exception) -> None:
        from airflow_provider_tavus.api.errors import TavusError

        if isinstance(failure, TavusError) and not failure.transient:
            raise failure
        raise CollectionFailedError(
            f"{sum(certificate.failed.values())} conversations could not be collected, or the list could not be read; "
            f"everything else was stored. The first failure: {failure}"
        ) from failure
