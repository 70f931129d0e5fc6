from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import sqlite3
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
    AirflowTaskTimeout,
    Asset,
    ObjectStoragePath,
    timeout,
)

from airflow_provider_tavus.collect import reader
from airflow_provider_tavus.collect.run import CollectionRun
from airflow_provider_tavus.operators.collect_conversations import CollectConversationsOperator, CollectionFailedError
from airflow_provider_tavus.operators.forget_conversation import ForgetConversationOperator
from airflow_provider_tavus.testing import Script, TavusBox, Turn

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # Airflow 2
    from airflow.utils.context import OutletEventAccessors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("connect")

SAID = "what somebody said 5e1f"


class TaskInstance:
    dag_id, task_id, map_index = "archive", "collect", -1

    def __init__(self, run_id: str = "first") -> None:
        self.run_id = run_id
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@pytest.fixture
def context() -> dict[str, Any]:
    return {"ti": TaskInstance(), "outlet_events": OutletEventAccessors()}


@pytest.fixture
def operators() -> list[CollectConversationsOperator]:
    """Those that have run, as they are when Airflow looks at their outlets."""
    return []


@pytest.fixture
def collect(
    tmp_path: Path, context: dict[str, Any], operators: list[CollectConversationsOperator]
) -> Callable[..., dict[str, Any]]:
    def run(**arguments: Any) -> dict[str, Any]:
        arguments = {"destination": f"file://{tmp_path}/lake"} | arguments
        operators.append(CollectConversationsOperator(task_id="collect", **arguments))
        return operators[-1].execute(context)  # type: ignore[arg-type]

    return run


@pytest.fixture
def ids(box: TavusBox) -> list[str]:
    turns = (Turn("user", SAID, at=1.0),)
    script = Script.finished(turns=turns)
    return [box.add(script, created_at=time.time() - 7200 - i) for i in range(5)]


def test_the_result_is_the_certificate_and_the_data_is_at_the_destination(
    collect: Callable[..., dict[str, Any]], ids: list[str], tmp_path: Path
) -> None:
    certificate = collect(renderings=["vtt"])

    assert (certificate["collected"], certificate["ended"], certificate["complete"]) == (5, 5, True)
    assert json.loads(json.dumps(certificate)) == certificate
    lake = tmp_path / "lake"
    assert {file.stem for file in lake.glob("raw/*/*.json")} == set(ids)
    assert {file.stem for file in lake.glob("renderings/*/*.vtt")} == set(ids)
    assert sum(SAID in line for file in lake.glob("turns/*/*.jsonl") for line in file.read_text().splitlines()) == 5
    (run,) = lake.glob("_runs/*.json")
    assert json.loads(run.read_text()) == certificate


def test_a_timeout_ends_the_run_whatever_it_strikes(
    collect: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def struck_in_a_callback(_: CollectionRun) -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGALRM)
        await asyncio.sleep(1)

    monkeypatch.setattr(CollectionRun, "run", struck_in_a_callback)
    with timeout(60), pytest.raises(AirflowTaskTimeout):
        collect()


def test_tables_come_as_parquet_if_asked_for(
    collect: Callable[..., dict[str, Any]], ids: list[str], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="checked in the environment of `make test` alone")
    collect(formats=["parquet"])
    (file,) = (tmp_path / "lake").glob("conversations/*/*.parquet")
    assert set(parquet.read_table(file, partitioning=None).column("conversation_id").to_pylist()) == set(ids)
    assert not list((tmp_path / "lake").glob("conversations/*/*.jsonl"))


def test_parquet_without_pyarrow_fails_before_anything_is_asked(
    collect: Callable[..., dict[str, Any]], box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"install airflow-provider-tavus\[parquet\]"):
        collect(formats=["jsonl", "parquet"])
    assert box.count() == 0


def test_a_path_object_is_as_good_as_its_text(
    collect: Callable[..., dict[str, Any]], ids: list[str], tmp_path: Path
) -> None:
    assert collect(destination=ObjectStoragePath(f"file://{tmp_path}/elsewhere"))["collected"] == len(ids)
    assert list((tmp_path / "elsewhere").glob("raw/*/*.json"))


def test_no_word_of_a_transcript_reaches_xcom_or_log(
    collect: Callable[..., dict[str, Any]],
    ids: list[str],
    box: TavusBox,
    context: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    box.trouble("cut", conversation_id=ids[0])
    with pytest.raises(CollectionFailedError) as failure:
        collect()
    # Newer Airflows write what a task logs straight to its output.
    logged = caplog.text + capsys.readouterr().out
    told = f"{failure.value!s}{failure.value!r}{context['ti'].xcoms}{logged}"
    assert "4 collected" in logged
    assert SAID not in told
    assert box.api_key not in told


def test_the_log_tells_how_far_a_long_run_is(
    collect: Callable[..., dict[str, Any]],
    box: TavusBox,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(60):
        box.add(Script.finished(), created_at=time.time() - 7200 - number)
    defaults = CollectionRun.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "progress_interval", 0.002)
    caplog.set_level(logging.INFO)

    collect(requests_in_flight=2)

    logged = caplog.text + capsys.readouterr().out
    told = re.findall(r"(\d+) of (\d+) conversations read, \d+ a second, (\d+ s left|time left unknown)\.", logged)
    assert any(0 < int(done) < 60 for done, _, _ in told)
    # However many are taken at a time.
    assert {int(known) for done, known, _ in told if int(done)} == {60}
    assert any(left.endswith("s left") for _, _, left in told)


def test_what_failed_fails_the_task_after_everything_else_was_stored(
    collect: Callable[..., dict[str, Any]], ids: list[str], box: TavusBox, context: dict[str, Any]
) -> None:
    box.trouble(status=500, conversation_id=ids[2])

    with pytest.raises(CollectionFailedError, match="1 conversations could not be collected"):
        collect()

    certificate = context["ti"].xcoms["return_value"]
    assert (certificate["collected"], certificate["failed"]) == (4, {"ServerError": 1})
    box.stop_troubles()
    assert collect()["collected"] == 1


def test_one_that_tavus_refuses_to_show_does_not_keep_airflow_from_trying_again(
    collect: Callable[..., dict[str, Any]], ids: list[str], box: TavusBox, context: dict[str, Any]
) -> None:
    box.trouble(status=403, route="get", conversation_id=ids[2])

    with pytest.raises(CollectionFailedError, match=r"1 conversations could not be collected\. What else could be"):
        collect()

    assert context["ti"].xcoms["return_value"]["collected"] == 4


def test_a_list_that_tavus_refuses_to_show_is_not_asked_for_again(
    collect: Callable[..., dict[str, Any]], ids: list[str], box: TavusBox
) -> None:
    box.trouble(status=403)
    with pytest.raises(AirflowFailException, match="403"):
        collect()


def test_the_error_tells_what_was_not_read(
    collect: Callable[..., dict[str, Any]], box: TavusBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "FAULTS_IN_A_ROW", 2)
    for number in range(9):
        box.add(Script.finished(), created_at=time.time() - 7200 - number)
    box.trouble(status=429, retry_after=300, route="get")
    box.trouble(status=429, retry_after=300, route="list", after=1)

    with pytest.raises(CollectionFailedError) as failure:
        collect(requests_in_flight=1)

    assert str(failure.value).startswith(
        "2 conversations could not be collected. 7 more were not read, because so many before them could not be. "
        "What else could be read was stored; the next run tries again. The first failure: "
    )


def test_the_error_tells_that_the_list_was_not_read_to_its_end(
    collect: Callable[..., dict[str, Any]], ids: list[str], box: TavusBox
) -> None:
    box.trouble(status=429, retry_after=300, route="list")
    with pytest.raises(CollectionFailedError, match="The list was not read to its end, so there may be others"):
        collect()


def test_the_error_tells_that_tables_could_not_be_made_where_no_conversation_failed(
    collect: Callable[..., dict[str, Any]], ids: list[str], context: dict[str, Any], tmp_path: Path
) -> None:
    collect()
    partitions = dates(tmp_path)
    for date in partitions:
        (tmp_path / "lake" / "raw" / f"created={date}" / "index.json").write_text("{}")
    # Of a run that died once the ledger had everything.
    (tmp_path / "lake" / "_writing" / "00000-died").write_text(json.dumps(partitions))

    with pytest.raises(CollectionFailedError) as failure:
        collect()

    assert str(failure.value).startswith(
        f"The tables of {len(partitions)} dates could not be made. What else could be read was stored; the next run "
        f"tries again. The first failure: raw/created={partitions[0]}/index.json "
    )
    assert context["ti"].xcoms["return_value"]["complete"] is False


def test_a_refused_key_is_not_retried_by_airflow(
    collect: Callable[..., dict[str, Any]], ids: list[str], box: TavusBox
) -> None:
    box.trouble(status=401)
    with pytest.raises(AirflowFailException):
        collect()


LAKE = Asset("file://lake/tavus")


def test_an_asset_gets_an_event_only_when_something_arrived(
    collect: Callable[..., dict[str, Any]],
    operators: list[CollectConversationsOperator],
    ids: list[str],
    context: dict[str, Any],
    tmp_path: Path,
) -> None:
    collect(asset=LAKE, outlets=[Asset("file://another")])
    context["ti"] = TaskInstance("second")
    collect(asset=LAKE, outlets=[Asset("file://another")])

    assert [LAKE in operator.outlets for operator in operators] == [True, False]
    assert all(Asset("file://another") in operator.outlets for operator in operators)
    event = context["outlet_events"][LAKE]
    assert event.extra["collected"] == len(ids)
    assert event.extra["partitions"] == dates(tmp_path)


def dates(folder: Path) -> list[str]:
    return sorted({file.parent.name.removeprefix("created=") for file in folder.glob("lake/raw/*/*")})


def test_each_date_has_an_event_with_a_partition_key_where_airflow_has_them_and_there_is_one_without(
    collect: Callable[..., dict[str, Any]], ids: list[str], context: dict[str, Any], tmp_path: Path
) -> None:
    event = context["outlet_events"][LAKE]
    if not hasattr(event, "add_partitions"):
        pytest.skip("this Airflow has no partitions that a task can name")

    collect(asset=LAKE)

    assert event.partition_keys == {*dates(tmp_path), None}


def test_what_arrived_in_a_run_that_failed_is_told_of_by_the_next_one_that_does_not(
    collect: Callable[..., dict[str, Any]],
    operators: list[CollectConversationsOperator],
    box: TavusBox,
    ids: list[str],
    context: dict[str, Any],
    tmp_path: Path,
) -> None:
    box.trouble(status=500, conversation_id=ids[2])
    with pytest.raises(CollectionFailedError):
        collect(asset=LAKE)
    assert not context["outlet_events"][LAKE].extra
    arrived = dates(tmp_path)
    box.remove(ids[2])
    box.stop_troubles()

    for run_id in ("second", "third"):
        context["ti"] = TaskInstance(run_id)
        assert collect(asset=LAKE)["collected"] == 0

    assert [LAKE in operator.outlets for operator in operators[1:]] == [True, False]
    assert context["outlet_events"][LAKE].extra["partitions"] == arrived


def test_a_task_that_dies_before_airflow_has_heard_of_the_event_tells_of_it_when_it_is_tried_again(
    collect: Callable[..., dict[str, Any]],
    operators: list[CollectConversationsOperator],
    ids: list[str],
    context: dict[str, Any],
    tmp_path: Path,
) -> None:
    collect(asset=LAKE)
    context["outlet_events"] = OutletEventAccessors()

    assert collect(asset=LAKE)["collected"] == 0

    assert LAKE in operators[-1].outlets
    assert context["outlet_events"][LAKE].extra["partitions"] == dates(tmp_path)


def test_notes_of_arrivals_do_not_add_up(
    collect: Callable[..., dict[str, Any]], box: TavusBox, context: dict[str, Any], tmp_path: Path
) -> None:
    for day in range(4):
        context["ti"] = TaskInstance(f"run {day}")
        box.add(Script.finished(), created_at=time.time() - 86_400 * (9 - day))
        collect(asset=LAKE, sweep_interval=0)

    assert len(list((tmp_path / "lake" / "_untold").iterdir())) == 1


def test_what_is_left_out_and_redacted_is_in_no_byte_of_the_destination(
    collect: Callable[..., dict[str, Any]], ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="checked in the environment of `make test` alone")
    pytest.importorskip("airflow.providers.sqlite", reason="the provider of SQLite is not installed")
    database = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "archive.db")})
    monkeypatch.setenv("AIRFLOW_CONN_ARCHIVE", database)

    def redact(conversation: dict[str, Any]) -> dict[str, Any]:
        if conversation["conversation_id"] == ids[0]:
            raise ValueError(f"cannot tell whether {SAID} is all: {conversation}")
        redacted: dict[str, Any] = json.loads(json.dumps(conversation).replace(SAID, "left out 9b2d"))
        return redacted

    with pytest.raises(CollectionFailedError) as failure:
        collect(
            redact=redact,
            leave_out=["conversation_url"],
            renderings=["vtt", "srt", "md", "txt"],
            formats=["jsonl", "parquet"],
            sql_conn_id="archive",
            asset=LAKE,
        )

    assert SAID not in f"{failure.value!s}{failure.value.__cause__!r}"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    objects = {file: file.read_bytes() for file in files}
    # Compressed, so its bytes alone would tell nothing.
    objects |= {
        file: json.dumps(parquet.read_table(file, partitioning=None).to_pylist(), default=str).encode()
        for file in files
        if file.suffix == ".parquet"
    }
    for ending in ("json", "jsonl", "parquet", "vtt", "srt", "md", "txt", "db"):
        redacted = [content for file, content in objects.items() if file.suffix == f".{ending}"]
        assert any(b"left out 9b2d" in content for content in redacted), ending
    assert not [file for file, content in objects.items() if SAID.encode() in content or b"tavus.daily.co" in content]
    assert not [file for file, content in objects.items() if ids[0].encode() in content]


def test_conversations_are_written_into_a_database_as_well_and_forgotten_there_too(
    collect: Callable[..., dict[str, Any]], ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "archive.db"
    monkeypatch.setenv("AIRFLOW_CONN_ARCHIVE", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    pytest.importorskip("airflow.providers.sqlite", reason="the provider of SQLite is not installed")

    def said() -> set[str]:
        with closing(sqlite3.connect(file)) as database:
            return {
                row[0] for row in database.execute("SELECT conversation_id FROM tavus_turns WHERE content = ?", (SAID,))
            }

    collect()
    # Switched on later, it has what was stored before.
    collect(sql_conn_id="archive")
    assert said() == set(ids)
    forget = ForgetConversationOperator(
        task_id="forget", conversation_id=ids[0], destination=f"file://{tmp_path}/lake", sql_conn_id="archive"
    )
    forget.execute({})
    collect(sql_conn_id="archive")
    assert said() == set(ids[1:])


def test_tables_that_were_dropped_are_filled_again_through_a_connection_of_another_name(
    collect: Callable[..., dict[str, Any]],
    ids: list[str],
    box: TavusBox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("airflow.providers.sqlite", reason="the provider of SQLite is not installed")
    file = tmp_path / "archive.db"
    for name in ("ARCHIVE", "ARCHIVE_2"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": "sqlite", "host": str(file)}))

    def stored() -> set[str]:
        with closing(sqlite3.connect(file)) as database:
            return {row[0] for row in database.execute("SELECT conversation_id FROM tavus_turns")}

    collect(sql_conn_id="archive")
    with closing(sqlite3.connect(file)) as database:
        database.execute("DROP TABLE tavus_turns")
    box.forget_requests()
    collect(sql_conn_id="archive")
    assert not stored()

    collect(sql_conn_id="archive_2")
    assert stored() == set(ids)
    assert box.count("get") == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"formats": "jsonl"}, "formats must be a list"),
        ({"formats": ["csv"]}, "csv"),
        ({"renderings": ["pdf"]}, "pdf"),
        ({"wait_for": "application.transcription_ready"}, "must be lists"),
        ({"wait_for": ["transcription_ready"]}, "'transcription_ready' in wait_for is no event type"),
        ({"lookback": -1}, "cannot be negative"),
        ({"requests_in_flight": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        CollectConversationsOperator(task_id="collect", destination="file:///lake", **arguments)


def test_templates_of_shards_become_numbers(collect: Callable[..., dict[str, Any]], ids: list[str]) -> None:
    shares = []
    for index in range(3):
        shard: Any = ("{{ params.index }}", "{{ params.count }}")
        operator = CollectConversationsOperator(task_id="collect", destination="file:///lake", shard=shard)
        operator.render_template_fields({"params": {"index": index, "count": 3}})
        shares.append(collect(shard=operator.shard))

    assert [share["shard"] for share in shares] == ["0/3", "1/3", "2/3"]
    assert sum(share["collected"] for share in shares) == len(ids)


@pytest.mark.parametrize(
    "shard", [("", "4"), ("1.5", "4"), (0.5, 4), ("4", "4"), (-1, 4), (0, 0), (1, 2, 3), "01", None, {"index": 0}]
)
def test_what_is_no_shard_is_refused_before_anything_is_asked(
    collect: Callable[..., dict[str, Any]], box: TavusBox, tmp_path: Path, shard: Any
) -> None:
    with pytest.raises(AirflowFailException, match=r"shard must be \(index, count\), two whole numbers"):
        collect(shard=shard)
    assert box.count() == 0
    assert not list(tmp_path.iterdir())
