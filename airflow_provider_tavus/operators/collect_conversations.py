"""The operator that collects every conversation into a destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowOptionalProviderFeatureException,
    BaseOperator,
)

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.conversations.arguments import checked_event_types
from airflow_provider_tavus.conversations.events import TRANSCRIPTION_READY
from airflow_provider_tavus.hooks.copies import open_copies
from airflow_provider_tavus.hooks.destination import open_destination
from airflow_provider_tavus.hooks.failures import permanent_errors_are_not_retried
from airflow_provider_tavus.hooks.tavus import TavusHook, make_async_client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Asset, Context, ObjectStoragePath

    from airflow_provider_tavus.collect.arrivals import Arrivals
    from airflow_provider_tavus.collect.certificate import Certificate
    from airflow_provider_tavus.collect.copies import Copies
    from airflow_provider_tavus.collect.layout import Shard
    from airflow_provider_tavus.collect.plan import Plan
    from airflow_provider_tavus.collect.store import Store

FORMATS = ("jsonl", "parquet")
RENDERINGS = ("vtt", "srt", "md", "txt")


class CollectionFailedError(Exception):
    """Something could not be collected, or no tables be made of it; the next run tries again."""


class CollectConversationsOperator(BaseOperator):
    """
    Store every conversation that has ended, once, with its transcript, and prove that none is missing.

    Each run reads the list of conversations, reads those that are new, changed or were not complete before, and
    stores each as the JSON that Tavus sent, and as rows of tables. What was done is in a ledger beside the data, so
    that it does not matter whether runs fail, crash, are cleared, repeated or overlap: nothing is lost, and nothing
    is there twice.

    The result is the run's certificate: how many conversations have ended, were collected, were there already, are
    pending, impossible or failed, and why; it is an object under ``_runs/`` of the destination as well. The task
    fails if something failed, after everything that could be had was stored. XCom and logs hold no word of a
    transcript.

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
    :param renderings: what else to store of each conversation: ``vtt``, ``srt``, ``md`` and ``txt``.
    :param system_turns: whether the turns of the role ``system`` are stored: the prompt, and retrieved passages.
    :param perception: whether the events are stored that tell what the camera saw.
    :param leave_out: names of fields that are not stored, such as ``callback_url`` or ``turns.inference_id``.
    :param redact: a function that gets each conversation as Tavus sent it, but for what is left out, and returns
        what is stored of it. What it raises keeps that conversation from being stored.
    :param requests_in_flight: how many conversations are read at a time.
    :param sql_conn_id: an Airflow connection to a PostgreSQL, MySQL, MariaDB or SQLite database, into whose tables
        ``tavus_conversations``, ``tavus_turns`` and ``tavus_events`` conversations are written as well (templated).
    :param sql_schema: where these tables are; None is the connection's own (templated).
    :param asset: gets an event, with the certificate's numbers and dates, when something arrived, and from Airflow 3.3
        on another one for each date, with the date as its partition key. When nothing did, no event is emitted.
    :param tavus_conn_id: the Airflow connection to use (templated).
    """

    template_fields: Sequence[str] = ("destination", "shard", "sql_conn_id", "sql_schema", "tavus_conn_id")
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
        renderings: Sequence[str] = (),
        system_turns: bool = True,
        perception: bool = True,
        leave_out: Sequence[str] = (),
        redact: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        requests_in_flight: int = 32,
        sql_conn_id: str | None = None,
        sql_schema: str | None = None,
        asset: Asset | None = None,
        tavus_conn_id: str = TavusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        if asset is not None:
            # No alias, although events of those are emitted only where one is added: tasks that use one for the first
            # time in the same moment, as shards may, are failed by Airflow.
            kwargs["outlets"] = [*kwargs.get("outlets", ()), asset]
        super().__init__(**kwargs)
        _check_choices("formats", formats, FORMATS)
        _check_choices("renderings", renderings, RENDERINGS)
        if isinstance(wait_for, str) or isinstance(leave_out, str):
            raise ValueError("wait_for and leave_out must be lists, such as ['application.transcription_ready'].")
        checked_event_types(wait_for)
        for seconds in (grace_period, settle_period, lookback, sweep_interval):
            if seconds < 0:
                raise ValueError("grace_period, settle_period, lookback and sweep_interval cannot be negative.")
        if requests_in_flight < 1:
            raise ValueError("requests_in_flight must be 1 or more.")
        self.destination = destination
        self.wait_for = wait_for
        self.grace_period = grace_period
        self.settle_period = settle_period
        self.lookback = lookback
        self.sweep_interval = sweep_interval
        self.formats = formats
        self.shard = shard
        self.renderings = renderings
        self.system_turns = system_turns
        self.perception = perception
        self.leave_out = leave_out
        self.redact = redact
        self.requests_in_flight = requests_in_flight
        self.sql_conn_id = sql_conn_id
        self.sql_schema = sql_schema
        self.asset = asset
        self.tavus_conn_id = tavus_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the certificate."""
        if "parquet" in self.formats:
            _require_pyarrow()
        with permanent_errors_are_not_retried():
            plan, store = self._plan(), open_destination(self.destination)
            arrivals = self._arrivals(store, plan.shard, context) if self.asset is not None else None
            certificate, failure = self._run(plan, store, arrivals)
            self.log.info("%s", certificate)
            plain = certificate.as_plain()
            if failure is not None:
                context["ti"].xcom_push(key="return_value", value=plain)
                self._fail(certificate, failure)
        if arrivals is not None:
            self._tell_of(arrivals, context, plain)
        if not certificate.complete:
            self.log.warning("The list of conversations could not be read reliably; the next run reads all of it.")
        return plain

    def _plan(self) -> Plan:
        from airflow_provider_tavus.collect.outcome import Wanted
        from airflow_provider_tavus.collect.plan import Plan
        from airflow_provider_tavus.conversations.privacy import Privacy

        return Plan(
            wanted=Wanted(
                wait_for=tuple(self.wait_for), grace_period=self.grace_period, settle_period=self.settle_period
            ),
            sweep_interval=self.sweep_interval,
            lookback=self.lookback,
            shard=_checked_shard(self.shard),
            requests_in_flight=self.requests_in_flight,
            privacy=Privacy(
                system_turns=self.system_turns,
                perception=self.perception,
                leave_out=tuple(self.leave_out),
                redact=self.redact,
            ),
            formats=tuple(self.formats),
            renderings=tuple(self.renderings),
        )

    @staticmethod
    def _arrivals(store: Store, shard: Shard, context: Context) -> Arrivals:
        from airflow_provider_tavus.collect.arrivals import Arrivals

        ti = context["ti"]
        return Arrivals(store, shard, teller=f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}")

    def _run(self, plan: Plan, store: Store, arrivals: Arrivals | None) -> tuple[Certificate, Exception | None]:
        from airflow_provider_tavus.collect.run import CollectionRun
        from airflow_provider_tavus.hooks.event_loop import run_interruptibly

        # What asks Airflow or reads files does so outside the event loop.
        client = make_async_client(TavusHook(self.tavus_conn_id).settings)

        def note(partition: str) -> None:
            if arrivals is not None:
                arrivals.note(partition)

        async def run(copies: Copies) -> tuple[Certificate, Exception | None]:
            async with client:
                running = CollectionRun(
                    client=client,
                    store=store,
                    plan=plan,
                    copies=copies,
                    on_arrival=note,
                    on_progress=lambda progress: self.log.info("%s", progress),
                )
                return await running.run(), running.failure

        with open_copies(self.sql_conn_id, schema=self.sql_schema) as copies:
            return run_interruptibly(run(copies))

    def _tell_of(self, arrivals: Arrivals, context: Context, certificate: dict[str, Any]) -> None:
        """Emit events for what arrived in this run, or in one before that failed: Airflow takes none from those."""
        assert self.asset is not None
        partitions = sorted({*arrivals.untold(), *certificate["partitions"]})
        if not partitions:
            # Airflow emits an event of each outlet that a task has when it succeeds.
            self.outlets = [outlet for outlet in self.outlets if outlet != self.asset]
            return
        told = ("run_id", "collected", "pending", "started_at", "finished_at")
        event = context["outlet_events"][self.asset]
        event.extra = {name: certificate[name] for name in told} | {"partitions": partitions}
        if hasattr(event, "add_partitions"):
            event.add_partitions(partitions)
            # And one without: a DAG that is scheduled on the asset is started by no event that has one.
            event.partition_keys.add(None)  # type: ignore[arg-type]
        arrivals.told(partitions)

    def _fail(self, certificate: Certificate, failure: Exception) -> None:
        from airflow_provider_tavus.api.errors import AuthenticationError, TavusError

        # What is told of one conversation says nothing of the others, unless the key is refused.
        of_one = getattr(failure, "conversation_id", None) is not None and not isinstance(failure, AuthenticationError)
        if isinstance(failure, TavusError) and not failure.transient and not of_one:
            raise failure
        raise CollectionFailedError(f"{_what_is_missing(certificate)} The first failure: {failure}") from failure


def _what_is_missing(certificate: Certificate) -> str:
    not_read = certificate.failed.get("not_read", 0)
    told = []
    if certificate.failed:
        told.append(f"{sum(certificate.failed.values()) - not_read} conversations could not be collected.")
    if not_read:
        told.append(f"{not_read} more were not read, because so many before them could not be.")
    if certificate.spoilt_partitions:
        told.append(f"The tables of {len(certificate.spoilt_partitions)} dates could not be made.")
    if certificate.list_reading is None:
        told.append("The list was not read to its end, so there may be others.")
    return " ".join([*told, "What else could be read was stored; the next run tries again."])


def _checked_shard(shard: Any) -> Shard:
    from airflow_provider_tavus.collect.layout import Shard

    # Templates are rendered to text.
    numbers = [str(each) for each in shard] if isinstance(shard, list | tuple) else []
    try:
        index, count = map(int, numbers)
        return Shard(index, count)
    except ValueError:
        raise InvalidArgumentError(
            f"shard must be (index, count), two whole numbers, the index counted from 0: such as (0, 4), not {shard!r}."
        ) from None


def _require_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise AirflowOptionalProviderFeatureException(
            "Parquet needs pyarrow: install airflow-provider-tavus[parquet], or leave 'parquet' out of formats."
        ) from None


def _check_choices(name: str, chosen: Sequence[str], choices: Sequence[str]) -> None:
    if unknown := {chosen} if isinstance(chosen, str) else set(chosen) - set(choices):
        raise ValueError(f"{name} must be a list out of {list(choices)}, not {sorted(unknown)}.")
