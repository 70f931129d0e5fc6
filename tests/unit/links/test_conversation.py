from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_tavus.links.conversation import ConversationLink


@pytest.mark.parametrize(
    ("pushed", "link"),
    [
        ("c123456", "https://platform.tavus.io/conversations/c123456"),
        ("a/b?c", "https://platform.tavus.io/conversations/a%2Fb%3Fc"),
        (None, "https://platform.tavus.io/conversations"),
    ],
)
def test_the_link_leads_to_the_conversation_that_the_task_named(
    pushed: Any, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(XCom, "get_value", lambda *, key, ti_key: pushed)
    operator: Any = None
    ti_key: Any = None

    assert ConversationLink().get_link(operator, ti_key=ti_key) == link
