"""From an Airflow connection to the copies of what is collected."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_tavus.hooks.database import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_tavus.collect.copies import Copies


@contextmanager
def open_copies(sql_conn_id: str | None, *, schema: str | None) -> Iterator[Copies]:
    """
    Open the database behind a connection for copies.

    :param sql_conn_id: None is no copies.
    :param schema: where the tables are; None is the connection's own.
    """
    from airflow_provider_tavus.collect.copies import DatabaseCopies, NoCopies

    if sql_conn_id is None:
        yield NoCopies()
        return
    with open_database(sql_conn_id, schema=schema) as database:
        yield DatabaseCopies(database, name=f"sql:{sql_conn_id}/{schema or ''}")
