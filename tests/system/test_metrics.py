"""What a triggerer tells of its waits, as a StatsD server hears it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from box_process import BoxProcess
    from real_airflow import RealAirflow
    from statsd_listener import StatsdListener


def test_a_wait_tells_its_begin_its_end_its_requests_and_how_late_it_knew(
    airflow: RealAirflow, box: BoxProcess, statsd: StatsdListener
) -> None:
    conversation_id = box.add("active")
    run_id = airflow.trigger("waits_for_one", {"conversation_id": conversation_id})
    airflow.wait_for_task_state("waits_for_one", run_id, "wait", "deferred")
    box.wait_for_requests(2, conversation_id=conversation_id)
    box.end(conversation_id)
    assert airflow.wait_for_run("waits_for_one", run_id) == "success"

    for metric in ("waits.began:1|c", "waits.over:1|c", "reads:1|c"):
        statsd.wait_for(rf"airflow\.tavus\.{re.escape(metric)}")
    milliseconds = float(statsd.wait_for(r"airflow\.tavus\.wake_up_latency:([\d.]+)\|ms").group(1))
    assert 0 < milliseconds < 60_000
