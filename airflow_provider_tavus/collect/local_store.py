"""A folder of this machine as a destination: what is written is written beside its place, and moved there whole."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_tavus.collect.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

UNFINISHED = "_tmp"
"""Where files are written before they are moved to their place; what a crash leaves there is nobody's."""


class LocalStore(Store):
    """
    A local folder, without the layers of fsspec: a day can have very many objects.

    :param root: the folder.
    """

    is_local = True

    def __init__(self, root: str | Path) -> None:
        self._root = str(root).rstrip("/")
        self._folders: set[str] = set()

    def write(self, name: str, content: bytes) -> None:
        """Put an object in its place, instead of an earlier one of that name."""
        # Without the layers of Python's file objects: there is one of these for each conversation.
        unfinished = self._unfinished()
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            try:
                view = memoryview(content)
                while view:
                    view = view[os.write(descriptor, view) :]
            finally:
                os.close(descriptor)
            self._move(unfinished, name)
        except BaseException:
            # On a full disk it would keep the room that the next try needs.
            Path(unfinished).unlink(missing_ok=True)
            raise

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Write an object of any length; it is put in its place at the end, and not at all after an exception."""
        unfinished = self._unfinished()
        try:
            with Path(unfinished).open("wb") as file:
                yield file
            self._move(unfinished, name)
        finally:
            Path(unfinished).unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        """
        Return what an object holds.

        :raises FileNotFoundError: if there is none of that name.
        """
        return Path(self._path(name)).read_bytes()

    @contextmanager
    def lines(self, name: str) -> Iterator[Iterator[bytes]]:
        """
        Read an object line by line.

        :raises FileNotFoundError: if there is none of that name.
        """
        with Path(self._path(name)).open("rb") as file:
            yield iter(file)

    def versions(self, folder: str) -> dict[str, Any]:
        """Return the objects right below a folder by their last name, each with what tells its content's version."""
        versions = {}
        for each in self._found(folder):
            with suppress(FileNotFoundError):
                if each.is_file():
                    stat = each.stat()
                    versions[each.name] = stat.st_size, stat.st_mtime_ns, stat.st_ino
        return versions

    def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        return Path(self._path(name)).is_file()

    def folders(self, folder: str) -> list[str]:
        """Return the folders right below a folder by their last name, in order."""
        return sorted(each.name for each in self._found(folder) if each.is_dir())

    def delete(self, name: str) -> None:
        """Remove an object; that there is none is as good."""
        Path(self._path(name)).unlink(missing_ok=True)

    def discard_unfinished(self, *, older_than: float = 86_400.0) -> None:
        """
        Remove what writers left behind that never finished.

        :param older_than: seconds; what is younger may be somebody's who is still writing.
        """
        for file in self._found(UNFINISHED):
            # A folder is none of ours: network drives put such ones everywhere.
            with suppress(FileNotFoundError):
                if not file.is_dir() and time.time() - file.stat().st_mtime > older_than:
                    Path(file.path).unlink()

    def _found(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._path(folder)) as found:
                return list(found)
        except FileNotFoundError:
            return []

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _unfinished(self) -> str:
        self._make_folder(UNFINISHED)
        return self._path(f"{UNFINISHED}/{uuid.uuid4().hex}")

    def _move(self, unfinished: str, name: str) -> None:
        self._make_folder(name.rsplit("/", 1)[0])
        os.replace(unfinished, self._path(name))  # noqa: PTH105 - a Path for each conversation costs as much

    def _make_folder(self, name: str) -> None:
        if name not in self._folders:
            Path(self._path(name)).mkdir(parents=True, exist_ok=True)
            self._folders.add(name)
