"""Where a sensor waits changes nothing else: every case, in every mode."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_tavus.testing import Script, Shape, TavusBox, events
from airflow_provider_tavus.triggers import connections
from airflow_provider_tavus.triggers.conversation import NEEDED_HERE_TOO

if TYPE_CHECKING:
    from collections.abc import Callable

# Only from 3.3 on does Airflow start a task in the triggerer.
FROM_TRIGGER = ("from trigger",) if hasattr(BaseTrigger, "render_template_fields") else ()
MODES = ("poke", "reschedule", "deferrable", *FROM_TRIGGER)
POKE_INTERVAL = 0.1
TIMEOUT = 0.6
PATIENCE = 15.0
"""The time-out where the results come, however slow the machine is."""

LONG_AGO: dict[str, Any] = {"ago": 3600.0}
"""A conversation that was created an hour ago."""

AT_ONCE = Script.finished(seconds=0.25, transcript_delay=0.15)


@dataclass(frozen=True)
class Case:
    """A world, the sensor's arguments, and the end that every mode is to reach."""

    name: str
    script: Script | None = AT_ONCE
    ago: float = 0.0
    trouble: dict[str, Any] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    state: str | None = "ready"
    error: str | None = None
    says: str = ""
    reason: str | None = None


TEST_MODE: dict[str, Any] = {"script": Script.test_mode(), **LONG_AGO, "state": "never", "reason": "test_mode"}
UNTRANSCRIBED: dict[str, Any] = {
    "script": Script.finished(seconds=60, transcript_delay=None),
    **LONG_AGO,
    "state": "never",
    "reason": "not_in_time",
}
TIME_OUT: dict[str, Any] = {
    "script": Script.active(),
    "state": "waiting",
    "says": "Timed out after 0.6 s. Conversation c1 is active",
}
WRONG_KEY: dict[str, Any] = {"trouble": {"status": 401}, "state": None, "says": "valid API key"}
UNKNOWN_ID: dict[str, Any] = {"script": None, "state": None, "says": "Check the id"}

CASES = [
    Case("it ends, and the transcript comes after the end"),
    Case("the transcript comes before the end", Script.finished(seconds=0.3, transcript_delay=-0.1)),
    Case("all is there at the first look", Script.finished(seconds=60), **LONG_AGO),
    Case("the end alone is wanted", Script.finished(seconds=0.2, transcript_delay=None), arguments={"wait_for": ()}),
    Case(
        "several events are wanted",
        Script.finished(seconds=0.1, further_events=(events.perception_analysis("calm", after=0.2),)),
        arguments={"wait_for": ["application.transcription_ready", "application.perception_analysis"]},
        **LONG_AGO,
    ),
    Case("an unknown status is an end", Script.finished(seconds=60, ended_status="archived"), **LONG_AGO),
    Case("the transcript comes in its grace", Script.finished(seconds=0.1, transcript_delay=0.3)),
    # Results that never come, and what is asked for then.
    Case("never: test mode", **TEST_MODE, error="AirflowFailException", says="test mode"),
    Case("never: no transcript", **UNTRANSCRIBED, error="AirflowFailException", says="did not come"),
    Case(
        "never: nobody joined",
        Script.nobody_joined(seconds=60, reason_reached=True),
        **LONG_AGO,
        state="never",
        reason="nobody_joined",
        error="AirflowFailException",
        says="nobody joined",
    ),
    Case(
        "never: start-up failure",
        Script.startup_failure(),
        **LONG_AGO,
        state="never",
        reason="startup_failure",
        error="AirflowFailException",
        says="could not be started",
    ),
    Case(
        "never: reported unavailable, without waiting for the grace to end",
        Script.finished(seconds=0.1, further_events=(events.perception_unavailable(after=0.1),)),
        arguments={"wait_for": ["application.perception_analysis"]},
        state="never",
        reason="reported_unavailable",
        error="AirflowFailException",
        says="could not be made",
    ),
    Case(
        "never: the grace ends while it waits",
        Script.finished(seconds=0.1, transcript_delay=None),
        arguments={"grace_period": 0.2},
        state="never",
        reason="not_in_time",
        error="AirflowFailException",
        says="within the grace period",
    ),
    Case("never: skipped", **UNTRANSCRIBED, arguments={"on_missing": "skip"}, error="AirflowSkipException"),
    Case("never: succeeded", **UNTRANSCRIBED, arguments={"on_missing": "succeed"}),
    Case("never: soft_fail", **UNTRANSCRIBED, arguments={"soft_fail": True}, error="AirflowSkipException"),
    Case("never: never_fail", **UNTRANSCRIBED, arguments={"never_fail": True}, error="AirflowSkipException"),
    # Time-outs.
    Case("time-out", **TIME_OUT, error="AirflowSensorTimeout"),
    Case("time-out: soft_fail", **TIME_OUT, arguments={"soft_fail": True}, error="AirflowSkipException"),
    Case("time-out: never_fail", **TIME_OUT, arguments={"never_fail": True}, error="AirflowSkipException"),
    Case(
        "time-out: on_missing is about something else",
        **TIME_OUT,
        arguments={"on_missing": "succeed"},
        error="AirflowSensorTimeout",
    ),
    Case("time-out: with backoff", **TIME_OUT, arguments={"exponential_backoff": True}, error="AirflowSensorTimeout"),
    # Errors that waiting cannot cure.
    Case("wrong key", **WRONG_KEY, error="AirflowFailException"),
    Case("wrong key: soft_fail", **WRONG_KEY, arguments={"soft_fail": True}, error="AirflowFailException"),
    Case("wrong key: never_fail", **WRONG_KEY, arguments={"never_fail": True}, error="AirflowSkipException"),
    Case("wrong key: silent_fail", **WRONG_KEY, arguments={"silent_fail": True}, error="AirflowFailException"),
    Case("unknown id", **UNKNOWN_ID, error="AirflowFailException"),
    Case("unknown id: soft_fail", **UNKNOWN_ID, arguments={"soft_fail": True}, error="AirflowFailException"),
    Case("unknown id: never_fail", **UNKNOWN_ID, arguments={"never_fail": True}, error="AirflowSkipException"),
    Case(
        "the key is refused in the middle of the wait",
        Script.active(),
        trouble={"status": 401, "after": 2},
        state=None,
        error="AirflowFailException",
        says="valid API key",
    ),
    Case(
        "no such connection",
        arguments={"tavus_conn_id": "nowhere"},
        state=None,
        error="UnreadableConnectionError",
        says="connection 'nowhere' cannot be read",
    ),
    Case(
        "no such connection: never_fail",
        arguments={"tavus_conn_id": "nowhere", "never_fail": True},
        state=None,
        error="AirflowSkipException",
        says="connection 'nowhere' cannot be read",
    ),
    # Outages that end in time.
    Case("outage: 500", trouble={"status": 500, "times": 2}),
    Case("outage: 503 with Retry-After", trouble={"status": 503, "retry_after": 0, "times": 2}),
    Case("outage: 429", trouble={"status": 429, "times": 2}),
    Case("outage: 408", trouble={"status": 408, "times": 2}),
    Case("outage: reset", trouble={"kind": "reset", "times": 2}),
    Case("outage: cut off", trouble={"kind": "cut", "times": 2}),
    Case("outage: HTML", trouble={"kind": "html", "status": 200, "times": 2}),
    Case("outage: no JSON", trouble={"kind": "not_json", "status": 200, "times": 2}),
    Case(
        "outage: all the time",
        trouble={"status": 502},
        state="waiting",
        error="AirflowSensorTimeout",
        says="is not known yet",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_mode_ends_alike(
    case: Case, box: TavusBox, carry_out: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PAUSES_BEFORE_THE_CONNECTION", ())
    timeout = TIMEOUT if case.state == "waiting" else PATIENCE
    arguments = {"conversation_id": "c1", "poke_interval": POKE_INTERVAL, "timeout": timeout} | case.arguments

    ends = {}
    for mode in MODES:
        if case.script is not None:
            box.add(case.script, conversation_id="c1", created_at=time.time() - case.ago)
        if case.trouble is not None:
            box.trouble(route="get", **case.trouble)
        ends[mode] = carry_out(mode, **arguments)
        box.stop_troubles()

    for mode, end in ends.items():
        verdict = end.result if case.error is None else end.xcom
        assert end.error == case.error, mode
        assert case.says in end.message, mode
        assert (verdict and verdict["state"]) == case.state, mode
        assert (verdict and verdict["reason"]) == case.reason, mode
    # Only where the connection cannot be read does it matter on which machine that was.
    messages = {end.message.replace(f"{NEEDED_HERE_TOO} ", "") for end in ends.values()}
    assert len({(without_times(end.result), without_times(end.xcom)) for end in ends.values()}) == len(messages) == 1


def without_times(verdict: dict[str, Any] | None) -> str:
    return str({name: value for name, value in (verdict or {}).items() if name not in {"ended_at", "ready_at"}})


@pytest.mark.parametrize("mode", MODES)
def test_a_list_gives_a_list_in_its_own_order(mode: str, box: TavusBox, carry_out: Callable[..., Any]) -> None:
    ids = [
        box.add(Script.finished(seconds=0.3, transcript_delay=0.1), conversation_id="late"),
        box.add(Script.test_mode(), conversation_id="never", created_at=time.time() - 3600),
        box.add(Script.finished(seconds=60), conversation_id="there", created_at=time.time() - 3600),
    ]

    end = carry_out(mode, conversation_id=ids, on_missing="succeed", poke_interval=POKE_INTERVAL, timeout=5)

    assert [(verdict["conversation_id"], verdict["state"]) for verdict in end.result] == [
        ("late", "ready"),
        ("never", "never"),
        ("there", "ready"),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_what_comes_out_is_the_same_verdict_to_the_letter(
    mode: str, box: TavusBox, carry_out: Callable[..., Any]
) -> None:
    box.put_raw(
        "c1",
        {
            "conversation_id": "c1",
            "status": "ended",
            "events": [
                {
                    "event_type": "system.shutdown",
                    "timestamp": "2026-04-29T03:47:01Z",
                    "properties": {"reason": "participant_left_timeout reached"},
                },
                {"event_type": "application.transcription_ready", "properties": {}},
            ],
        },
    )

    end = carry_out(mode, conversation_id="c1", poke_interval=POKE_INTERVAL, timeout=TIMEOUT)

    assert end.result == {
        "conversation_id": "c1",
        "state": "ready",
        "status": "ended",
        "missing": [],
        "reason": None,
        "shutdown_reason": "participant_left_timeout",
        "ended_at": "2026-04-29T03:47:01Z",
        "ready_at": "2026-04-29T03:47:01Z",
    }
    assert end.executions == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 429}, id="429"),
        pytest.param({"kind": "cut"}, id="cut off"),
        pytest.param({"kind": "reset"}, id="reset"),
        pytest.param({"kind": "hang"}, id="no answer"),
    ],
)
def test_an_outage_is_not_polled_faster_than_the_interval(
    mode: str, trouble: dict[str, Any], box: TavusBox, connect: Callable[..., str], carry_out: Callable[..., Any]
) -> None:
    connect(extra={"read_timeout": 0.1, "connect_timeout": 0.1})
    box.add(Script.active(), conversation_id="c1")
    box.trouble(route="get", **trouble)

    end = carry_out(mode, conversation_id="c1", poke_interval=0.5, timeout=3.0)

    assert end.error == "AirflowSensorTimeout"
    assert 1 < box.count("get") <= 3.0 / 0.5 + 2


@pytest.mark.parametrize("mode", MODES)
def test_a_refusal_is_asked_for_once(mode: str, box: TavusBox, carry_out: Callable[..., Any]) -> None:
    box.add(Script.active(), conversation_id="c1")
    box.trouble("html", status=403, route="get")

    end = carry_out(mode, conversation_id="c1", poke_interval=POKE_INTERVAL, timeout=TIMEOUT)

    assert end.error == "AirflowFailException"
    assert box.count("get") == 1


@pytest.mark.parametrize("mode", MODES)
def test_backoff_doubles_the_pauses(mode: str, box: TavusBox, carry_out: Callable[..., Any]) -> None:
    box.add(Script.active(), conversation_id="c1")

    carry_out(mode, conversation_id="c1", poke_interval=0.1, timeout=1.6, exponential_backoff=True)

    # At 0, 0.1, 0.3, 0.7, 1.5 and, the rest of the time being short, 1.6; without backoff it would be 17 times.
    assert 4 <= box.count("get") <= 6


@pytest.mark.parametrize("mode", MODES)
def test_max_wait_caps_the_backoff(mode: str, box: TavusBox, carry_out: Callable[..., Any]) -> None:
    box.add(Script.active(), conversation_id="c1")

    carry_out(mode, conversation_id="c1", poke_interval=0.1, timeout=1.6, exponential_backoff=True, max_wait=0.2)

    # At 0, 0.1, 0.3, 0.5, ... 1.5 and 1.6 or 1.7; a busy machine may miss one.
    assert 7 <= box.count("get") <= 10


@pytest.mark.parametrize("mode", MODES)
def test_the_grace_counts_from_the_shutdown_and_not_from_the_first_look(
    mode: str, box: TavusBox, carry_out: Callable[..., Any]
) -> None:
    # Ended 9.8 seconds before the wait began: 0.2 seconds of its grace are left.
    script = Script.finished(seconds=10, transcript_delay=None, shape=Shape())
    box.add(script, conversation_id="c1", created_at=time.time() - 19.8)
    began = time.monotonic()

    end = carry_out(mode, conversation_id="c1", poke_interval=POKE_INTERVAL, timeout=30, grace_period=10)

    assert end.xcom["reason"] == "not_in_time"
    assert time.monotonic() - began < 5
