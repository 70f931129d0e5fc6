"""The tables of an archive in the database of an Airflow connection."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_tavus.api.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_tavus.collect.dialects import Dialect
    from airflow_provider_tavus.collect.sql import Database

DIALECT_BY_CONN_TYPE = {"postgres": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}


@contextmanager
def open_database(conn_id: str, *, schema: str | None = None, prefix: str = "tavus_") -> Iterator[Database]:
    """
    Open the tables behind a connection, and create or extend them if need be.

    :param conn_id: of a PostgreSQL, MySQL, MariaDB or SQLite database, or of one that speaks like PostgreSQL through
        a connection of the type ``postgres``.
    :param schema: where the tables are; None is the connection's own.
    :param prefix: what the names of the tables begin with.
    :raises ConfigurationError: if the connection leads to no such database.
    :raises SqlError: if the database does not let us create or extend the tables.
    """
    from airflow_provider_tavus.collect.sql import Database

    connection = BaseHook.get_connection(conn_id)
    dialect = _dialect(conn_id, connection.conn_type)
    hook = connection.get_hook()
    with closing(hook.get_conn()) as opened:
        if hook.supports_autocommit:
            hook.set_autocommit(opened, False)
        database = Database(opened, dialect, schema=schema, prefix=prefix, placeholder=hook.placeholder)
        database.prepare()
        yield database


def _dialect(conn_id: str, conn_type: str | None) -> Dialect:
    from airflow_provider_tavus.collect.dialects import DIALECTS

    name = DIALECT_BY_CONN_TYPE.get(conn_type or "")
    if name is None:
        raise ConfigurationError(
            f"The tables cannot be written through the connection {conn_id}: its type is {conn_type!r}, and has to be "
            f"one of {', '.join(DIALECT_BY_CONN_TYPE)}."
        )
    return DIALECTS[name]
