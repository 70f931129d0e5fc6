"""A folder in a file system or object store, and how objects get there whole or not at all."""

from __future__ import annotations

import io
import shutil
import tempfile
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from fsspec import AbstractFileSystem

    class ObjectPath(Protocol):
        """What Airflow's ObjectStoragePath and other universal paths have in common."""

        @property
        def fs(self) -> AbstractFileSystem: ...
        @property
        def path(self) -> str: ...


READ_BUFFER = 1 << 20
VERSION_FIELDS = ("size", "ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "generation")
"""By which file systems tell one content of an object from the next."""


class Store(ABC):
    """The objects below one folder, named by their path from there. Nobody ever sees half of one."""

    is_local = False
    """Whether it is a folder of this machine, which takes objects as fast as they are made."""

    @staticmethod
    def at(path: ObjectPath) -> Store:
        """Return the store below a path such as Airflow's ObjectStoragePath."""
        from fsspec.implementations.local import LocalFileSystem

        from airflow_provider_tavus.collect.local_store import LocalStore

        return LocalStore(path.path) if isinstance(path.fs, LocalFileSystem) else ObjectStore(path.fs, path.path)

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Put an object in its place, instead of an earlier one of that name."""

    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Write an object of any length; it is put in its place at the end, and not at all after an exception."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """
        Return what an object holds.

        :raises FileNotFoundError: if there is none of that name.
        """

    @abstractmethod
    def lines(self, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """
        Read an object line by line.

        :raises FileNotFoundError: if there is none of that name.
        """

    @abstractmethod
    def versions(self, folder: str) -> dict[str, Any]:
        """Return the objects right below a folder by their last name, each with what tells its content's version."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """Return the folders right below a folder by their last name, in order."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object; that there is none is as good."""

    @abstractmethod
    def discard_unfinished(self, *, older_than: float = 86_400.0) -> None:
        """
        Remove what writers left behind that never finished.

        :param older_than: seconds; what is younger may be somebody's who is still writing.
        """


class ObjectStore(Store):
    """
    A folder in a file system of fsspec that replaces an object at once.

    :param fs: the file system.
    :param root: the folder in it.
    """

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")

    def write(self, name: str, content: bytes) -> None:
        """Put an object in its place, instead of an earlier one of that name."""
        self._fs.pipe_file(self._path(name), content)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Write an object of any length; it is put in its place at the end, and not at all after an exception."""
        # Without a name, so that nothing of it is left on this machine, whatever happens.
        with tempfile.TemporaryFile(prefix="tavus-") as file:
            yield file
            file.seek(0)
            self._upload(file, name)

    def _upload(self, file: IO[bytes], name: str) -> None:
        there = self._fs.open(self._path(name), "wb")
        try:
            shutil.copyfileobj(file, there)
            there.close()
        except BaseException:
            _discard(there)
            raise

    def read(self, name: str) -> bytes:
        """
        Return what an object holds.

        :raises FileNotFoundError: if there is none of that name.
        """
        content: bytes = self._fs.cat_file(self._path(name))
        return content

    @contextmanager
    def lines(self, name: str) -> Iterator[Iterator[bytes]]:
        """
        Read an object line by line.

        :raises FileNotFoundError: if there is none of that name.
        """
        # A file of fsspec takes up a whole block for each line that it is asked for.
        with io.BufferedReader(self._fs.open(self._path(name), "rb"), READ_BUFFER) as file:
            yield iter(file)

    def versions(self, folder: str) -> dict[str, Any]:
        """Return the objects right below a folder by their last name, each with what tells its content's version."""
        return {
            _last_name(each): tuple(str(each[field]) for field in VERSION_FIELDS if field in each)
            for each in self._found(folder)
            if each["type"] == "file"
        }

    def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        self._fs.invalidate_cache(self._path(name.rpartition("/")[0]))
        return bool(self._fs.isfile(self._path(name)))

    def folders(self, folder: str) -> list[str]:
        """Return the folders right below a folder by their last name, in order."""
        return sorted(_last_name(each) for each in self._found(folder) if each["type"] == "directory")

    def delete(self, name: str) -> None:
        """Remove an object; that there is none is as good."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def discard_unfinished(self, *, older_than: float = 86_400.0) -> None:
        """Leave everything: what is not finished has no name."""

    def _found(self, folder: str) -> list[dict[str, Any]]:
        path = self._path(folder)
        self._fs.invalidate_cache(path)
        try:
            return list(self._fs.ls(path, detail=True))
        except FileNotFoundError:
            return []

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _discard(there: Any) -> None:
    """Give up an upload, as far as its file system knows how to."""
    with suppress(Exception):
        there.discard()
    # Closing a file makes an object of what has arrived of it, also when the garbage collector does it.
    with suppress(Exception):
        there.closed = True
    with suppress(Exception):
        there.close()


def _last_name(found: dict[str, Any]) -> str:
    return str(found["name"]).rstrip("/").rsplit("/", 1)[-1]
