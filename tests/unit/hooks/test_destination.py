from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_tavus.api.errors import InvalidArgumentError
from airflow_provider_tavus.hooks.destination import open_destination
from airflow_provider_tavus.operators.collect_conversations import CollectConversationsOperator
from airflow_provider_tavus.operators.forget_conversation import ForgetConversationOperator

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_tavus.testing import TavusBox


@pytest.mark.parametrize("way", ["{}", "file://{}", "file:{}", " file://{}\n"])
def test_a_whole_path_is_where_it_says(way: str, tmp_path: Path) -> None:
    open_destination(way.format(tmp_path / "lake")).write("some/object", b"this")
    assert (tmp_path / "lake/some/object").read_bytes() == b"this"


def test_so_is_a_path_object(tmp_path: Path) -> None:
    open_destination(ObjectStoragePath(f"file://{tmp_path}/lake")).write("some/object", b"this")
    assert (tmp_path / "lake/some/object").read_bytes() == b"this"


@pytest.mark.parametrize("nowhere", ["", "None", "data/tavus", "~/tavus", "file://", "file://data/tavus", None])
def test_what_depends_on_the_folder_of_the_task_is_refused(nowhere: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="does not say where it is: pass a whole path"):
        open_destination(nowhere)


@pytest.mark.usefixtures("connect")
def test_nothing_is_collected_or_forgotten_where_a_template_read_nothing(
    box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    context: Any = {}
    with pytest.raises(AirflowFailException, match="The destination 'None'"):
        CollectConversationsOperator(task_id="collect", destination="None").execute(context)
    with pytest.raises(AirflowFailException, match="The destination ''"):
        ForgetConversationOperator(
            task_id="forget", conversation_id="c1", destination="", delete_at_tavus=True
        ).execute(context)
    assert (box.count(), list(tmp_path.iterdir())) == (0, [])
