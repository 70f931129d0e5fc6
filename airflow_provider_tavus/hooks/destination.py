"""From what a task is given as its destination to the store there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_tavus.api.errors import InvalidArgumentError

if TYPE_CHECKING:
    from airflow_provider_tavus.collect.store import Store


def open_destination(destination: str | ObjectStoragePath) -> Store:
    """
    Return the store at a destination.

    :param destination: an Airflow object storage path or its text, rendered.
    :raises InvalidArgumentError: if it is none, or a path from the folder that the task happens to run in.
    """
    from airflow_provider_tavus.collect.store import Store

    told = str(destination).strip()
    folder = _OF_THIS_MACHINE.sub("", told)
    if "://" not in folder and not folder.startswith("/"):
        raise InvalidArgumentError(
            f"The destination {told[:100]!r} does not say where it is: pass a whole path, such as 'file:///data/tavus' "
            "or 's3://aws_default@lake/tavus'. Perhaps the variable that its template reads is not there."
        )
    return Store.at(ObjectStoragePath(destination))


_OF_THIS_MACHINE = re.compile(r"(file|local):(//)?")
