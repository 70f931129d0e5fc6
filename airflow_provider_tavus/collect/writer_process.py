"""
A :class:`~airflow_provider_tavus.collect.writer.Writer` in a process of its own.

Making rows of conversations keeps an interpreter busy, and while it does, nothing is read from the network. So
where there is much to store, another interpreter does it. It is started as a command and spoken to through pipes:
Airflow's workers may not start processes by way of ``multiprocessing``.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_tavus.collect.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_tavus.collect.store import Store
    from airflow_provider_tavus.collect.writer import Collected, NotStored


class WriterProcess:
    """
    Does what a Writer does, elsewhere. Used by one thread at a time.

    :param store: the destination, on a file system that can be reached from any process of this machine.
    :param settings: further arguments of the writer.
    :raises OSError: if no process can be started.
    """

    def __init__(self, store: Store, **settings: Any) -> None:
        # Not its standard output, to which anything may print that is imported when an interpreter starts.
        answers, written_by_the_process = os.pipe()
        self._answers = os.fdopen(answers, "rb")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this very module
                [sys.executable, "-m", __name__, str(written_by_the_process)],
                stdin=subprocess.PIPE,
                pass_fds=[written_by_the_process],
            )
        except OSError:
            self._answers.close()
            raise
        finally:
            os.close(written_by_the_process)
        self._call("__init__", store, settings)

    def take(self, batch: Sequence[Collected]) -> list[str | NotStored]:
        """Store raw objects, keep their rows aside until their partition is finished, and return their hashes."""
        told: list[str | NotStored] = self._call("take", batch)
        return told

    def finish(self, partition: str) -> set[str]:
        """Make the tables of a partition that has changed anew, and of those that it took from; return which."""
        changed: set[str] = self._call("finish", partition)
        return changed

    def render(self, partition: str, conversation_ids: Sequence[str]) -> list[NotStored | None]:
        """Make the renderings of conversations that are stored already; return for each why not, if not."""
        told: list[NotStored | None] = self._call("render", partition, conversation_ids)
        return told

    def rebuild(self, partition: str) -> None:
        """Write the tables of what is there, until they are of what is there."""
        self._call("rebuild", partition)

    def remove(self, partition: str, conversation_id: str) -> None:
        """Remove a conversation from a partition: its raw object, its renderings and its rows."""
        self._call("remove", partition, conversation_id)

    def close(self) -> None:
        """Let the process end."""
        with self._answers, self._process as process:
            assert process.stdin is not None
            # A process that has died has not read the last call, of which whoever made it was told.
            with suppress(BrokenPipeError):
                process.stdin.close()

    def _call(self, method: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        try:
            # In one piece: between two pieces this thread would have to wait for its turn with the interpreter, and
            # the other process for this thread.
            self._process.stdin.write(pickle.dumps((method, arguments), pickle.HIGHEST_PROTOCOL))
            self._process.stdin.flush()
            error, result = pickle.load(self._answers)  # noqa: S301 - from our own process
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise OSError("The process that writes to the destination has died.") from None
        if error is not None:
            raise error
        return result


def answer(calls: IO[bytes], answers: IO[bytes]) -> None:
    """Do what is called for, until there are no more calls."""
    writer: Writer | None = None
    while True:
        try:
            method, arguments = pickle.load(calls)  # noqa: S301 - from the process that started this one
        except EOFError:
            break
        error = result = None
        try:
            if writer is None:
                store, settings = arguments
                writer = Writer(store, **settings)
            else:
                result = getattr(writer, method)(*arguments)
        except Exception as fault:
            error = fault
        pickle.dump((error, result), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    answer(sys.stdin.buffer, os.fdopen(int(sys.argv[1]), "wb"))
