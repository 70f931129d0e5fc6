"""What is read without models, held against the models."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tavus.api.models import Conversation
from airflow_provider_tavus.collect.rows import rows_of
from airflow_provider_tavus.collect.sent import SentConversation, SentEvent

odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
times = st.sampled_from(["2026-04-29T03:47:01Z", "2026-04-29T05:47:01.5+02:00", "1777434421", 1777434421000]) | odd
names = st.sampled_from(["one", " Two ", "", 7]) | odd
events = st.fixed_dictionaries(
    {},
    optional={
        "event_type": st.sampled_from(["system.shutdown", "application.transcription_ready"]) | odd,
        "timestamp": times,
        "properties": st.dictionaries(st.sampled_from(["reason", "shutdown_reason", "transcript"]), odd) | odd,
        "model_extra": odd,
        "webhook_url": odd,
        "other": odd,
    },
)
conversations = st.fixed_dictionaries(
    {},
    optional={
        "conversation_id": st.sampled_from(["c1", ""]) | odd,
        "status": st.sampled_from(["active", " Ended ", ""]) | odd,
        **dict.fromkeys(["conversation_name", "face_id", "replica_id", "pal_id", "persona_id"], names),
        **dict.fromkeys(["created_at", "updated_at"], times),
        **dict.fromkeys(["conversation_url", "callback_url", "meeting_token", "shutdown_reason", "model_extra"], odd),
        "events": st.lists(events | odd, max_size=3) | odd,
        "other": odd,
    },
)


def by_models(sent: Any) -> SentConversation | None:
    try:
        conversation = Conversation.from_json(sent)
    except ValueError:
        return None
    there = (
        None
        if conversation.events is None
        else [SentEvent(*(getattr(event, name) for name in SentEvent._fields)) for event in conversation.events]
    )
    return SentConversation(*(getattr(conversation, name) for name in SentConversation._fields))._replace(events=there)


def without_models(sent: Any) -> SentConversation | None:
    try:
        return SentConversation.from_json(sent)
    except ValueError:
        return None


@given(conversations | odd)
def test_it_is_read_as_by_the_models(sent: Any) -> None:
    assert without_models(sent) == by_models(sent)


@given(conversations)
def test_its_rows_are_those_of_the_model(sent: Any) -> None:
    sent["conversation_id"] = "c1"

    assert rows_of(SentConversation.from_json(sent)) == rows_of(Conversation.from_json(sent))


def test_what_is_no_conversation_is_refused_without_what_it_holds() -> None:
    with pytest.raises(ValueError, match="no conversation") as refused:
        SentConversation.from_json({"conversation_id": None, "text": "canary"})

    assert "canary" not in str(refused.value)


def test_its_repr_shows_nothing_that_was_said() -> None:
    said = {"event_type": "application.transcription_ready", "properties": {"transcript": ["canary"]}, "more": "canary"}
    sent = {"conversation_id": "c1", "conversation_name": "canary", "status": "ended", "events": [said], "x": "canary"}
    conversation = SentConversation.from_json(sent)

    assert repr(conversation) == "SentConversation(conversation_id='c1', status='ended')"
    assert repr(conversation.events) == "[SentEvent(event_type='application.transcription_ready')]"


def test_the_process_that_stores_starts_without_pydantic() -> None:
    imported = "import json, sys, airflow_provider_tavus.collect.writer_process; print(json.dumps(list(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", imported], capture_output=True, check=True)

    assert {"pydantic", "fsspec"}.isdisjoint(json.loads(told.stdout))
