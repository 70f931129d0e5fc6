"""A folder in a file system or object store, and how objects get there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
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


UNFINISHED = "_tmp"
"""Where files are written before they are moved to their place; what a crash leaves there is nobody's."""

VERSION_FIELDS = ("size", "ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "generation")
"""By which file systems tell one content of an object from the next."""


class Store:
    """
    The objects below one folder, named by their path from there.

    Object stores replace an object at once; on a local file system it is written beside and moved, so that nobody
    ever sees half of one.

    :param fs: the file system.
    :param root: the folder in it.
    """

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        from fsspec.implementations.local import LocalFileSystem

        self._fs = fs
        self._root = root.rstrip("/")
        self.is_local = isinstance(fs, LocalFileSystem)
        self._folders: set[str] = set()

    @classmethod
    def at(cls, path: ObjectPath) -> Store:
        """Return the store below a path such as Airflow's ObjectStoragePath."""
        return cls(path.fs, path.path)

    def write(self, name: str, content: bytes) -> None:
        """Put an object in its place, instead of an earlier one of that name."""
        if not self.is_local:
            self._fs.pipe_file(self._path(name), content)
            return
        # Without the layers of Python's file objects: there is one of these for each conversation.
        unfinished = self._unfinished()
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        self._move(unfinished, name)

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Write an object of any length; it is put in its place at the end, and not at all after an exception."""
        return self._writing_beside(name) if self.is_local else self._writing_before_sending(name)

    @contextmanager
    def _writing_beside(self, name: str) -> Iterator[IO[bytes]]:
        unfinished = self._unfinished()
        try:
            with Path(unfinished).open("wb") as file:
                yield file
            self._move(unfinished, name)
        finally:
            Path(unfinished).unlink(missing_ok=True)

    @contextmanager
    def _writing_before_sending(self, name: str) -> Iterator[IO[bytes]]:
        # Without a name, so that nothing of it is left on this machine, whatever happens.
        with tempfile.TemporaryFile(prefix="tavus-") as file:
            yield file
            file.seek(0)
            with self._fs.open(self._path(name), "wb") as there:
                shutil.copyfileobj(file, there)

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
        with self._fs.open(self._path(name), "rb") as file:
            yield iter(file)

    def versions(self, folder: str) -> dict[str, Any]:
        """Return the objects right below a folder by their last name, each with what tells its content's version."""
        path = self._path(folder)
        if self.is_local:
            return _local_versions(path)
        self._fs.invalidate_cache(path)
        try:
            found = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        return {
            each["name"].rsplit("/", 1)[-1]: tuple(str(each[field]) for field in VERSION_FIELDS if field in each)
            for each in found
            if each["type"] == "file"
        }

    def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        self._fs.invalidate_cache(self._path(name.rpartition("/")[0]))
        return bool(self._fs.isfile(self._path(name)))

    def folders(self, folder: str) -> list[str]:
        """Return the folders right below a folder by their last name."""
        path = self._path(folder)
        self._fs.invalidate_cache(path)
        try:
            found = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        return sorted(each["name"].rstrip("/").rsplit("/", 1)[-1] for each in found if each["type"] == "directory")

    def delete(self, name: str) -> None:
        """Remove an object; that there is none is as good."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def discard_unfinished(self, *, older_than: float = 86_400.0) -> None:
        """
        Remove what writers left behind that never finished.

        :param older_than: seconds; what is younger may be somebody's who is still writing.
        """
        if self.is_local:
            for file in Path(self._path(UNFINISHED)).glob("*"):
                with suppress(FileNotFoundError):
                    if time.time() - file.stat().st_mtime > older_than:
                        file.unlink()

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


def _local_versions(path: str) -> dict[str, Any]:
    # Several times as fast as by way of the file system's layers, and a day can have very many.
    try:
        with os.scandir(path) as found:
            stats = {each.name: each.stat() for each in found if each.is_file()}
    except FileNotFoundError:
        return {}
    return {name: (stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats.items()}
