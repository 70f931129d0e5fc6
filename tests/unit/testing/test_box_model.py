"""The box beside a model of it: whatever is done in whatever order, both say the same."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import requests
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from airflow_provider_tavus.testing import ManualClock, Script, TavusBox

SECONDS = st.floats(min_value=0, max_value=200)


class Conversations(RuleBasedStateMachine):
    """Conversations that are created, end by script or by hand, and are deleted, while time passes."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.clock = ManualClock(1_790_000_000)
        self.box = self.open.enter_context(TavusBox.in_thread(clock=self.clock))
        self.session = self.open.enter_context(requests.Session())
        self.session.headers["x-api-key"] = self.box.api_key
        self.ends: dict[str, float] = {}

    def teardown(self) -> None:
        self.open.close()

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return self.session.request(method, f"{self.box.base_url}/v2/conversations{path}", timeout=10, **kwargs)

    @rule(target=ids, longest=st.integers(min_value=1, max_value=120))
    def create(self, longest: int) -> str:
        created = self.call("POST", "", json={"properties": {"max_call_duration": longest}}).json()
        self.ends[created["conversation_id"]] = self.clock.now() + min(longest, 60)
        return str(created["conversation_id"])

    @rule(target=ids, seconds=SECONDS)
    def add(self, seconds: float) -> str:
        conversation_id = self.box.add(Script.finished(seconds=seconds))
        self.ends[conversation_id] = self.clock.now() + seconds
        return conversation_id

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(conversation_id=ids)
    def end(self, conversation_id: str) -> None:
        assert self.call("POST", f"/{conversation_id}/end").status_code == 200
        self.ends[conversation_id] = min(self.ends[conversation_id], self.clock.now())

    @rule(conversation_id=consumes(ids))
    def delete(self, conversation_id: str) -> None:
        assert self.call("DELETE", f"/{conversation_id}").status_code == 204
        del self.ends[conversation_id]
        assert self.call("GET", f"/{conversation_id}").status_code == 400

    @rule(conversation_id=ids)
    def read(self, conversation_id: str) -> None:
        body = self.call("GET", f"/{conversation_id}?verbose=true").json()
        assert body["status"] == self.status(conversation_id)
        shut_down = [event for event in body["events"] if event["event_type"] == "system.shutdown"]
        assert len(shut_down) == (body["status"] == "ended")

    @invariant()
    def the_list_holds_each_conversation_once_with_its_status(self) -> None:
        rows = []
        for page in range(1, len(self.ends) // 3 + 2):
            answer = self.call("GET", f"?limit=3&page={page}").json()
            assert answer["total_count"] == len(self.ends)
            rows += [(row["conversation_id"], row["status"]) for row in answer["data"]]
        assert sorted(rows) == sorted((known, self.status(known)) for known in self.ends)

    def status(self, conversation_id: str) -> str:
        return "ended" if self.ends[conversation_id] <= self.clock.now() else "active"


TestConversations = Conversations.TestCase
TestConversations.settings = settings(max_examples=20, stateful_step_count=20, deadline=None, derandomize=True)
