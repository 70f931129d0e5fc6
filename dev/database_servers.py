"""Real database servers for the tests of SQL, of Debian's packages: `make databases` installs what is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = {
    "postgres": "postgresql",
    "mariadbd": "mariadb-server-core",
    # The script that sets MariaDB's data up calls it.
    "my_print_defaults": "mariadb-client-core",
}
"""Which Debian package has which program."""
PLACES = (*os.get_exec_path(), "/usr/sbin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))
NOBODY = "nobody" if os.getuid() == 0 else None
"""Who runs a server that refuses to be run by root."""
PATIENCE = 60
"""Seconds in which a server has to start."""


def program(name: str) -> str | None:
    """The path of a program of a database, also where Debian puts it outside of PATH."""
    return shutil.which(name, path=os.pathsep.join(PLACES))


@dataclass(frozen=True)
class Server:
    """A server that runs, on loopback, with one user who may do everything and needs no password."""

    port: int
    user: str
    database: str


@contextlib.contextmanager
def postgresql(connect: Callable[[Server], Any]) -> Iterator[Server]:
    """PostgreSQL; `connect` tells by not raising that it is up."""
    with _folder() as folder:
        server = Server(free_ports(1)[0], "tester", "postgres")
        data = folder / "data"
        _run("initdb", "-D", data, "-U", server.user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        command = [program("postgres"), "-D", data, "-k", folder, "-h", "127.0.0.1", "-p", server.port, "-F"]
        with _running(command, folder, lambda: connect(server)):
            yield server


@contextlib.contextmanager
def mariadb(connect: Callable[[Server], Any]) -> Iterator[Server]:
    """MariaDB; `connect` tells by not raising that it is up."""
    with _folder() as folder:
        server = Server(free_ports(1)[0], "root", "test")
        data = folder / "data"
        for attempts_left in (2, 1, 0):
            # It has failed once in hundreds of times, beside other tests, and could be repeated at once.
            try:
                _run(
                    "mariadb-install-db",
                    "--no-defaults",
                    f"--datadir={data}",
                    "--auth-root-authentication-method=normal",
                )
                break
            except RuntimeError:
                if not attempts_left:
                    raise
                shutil.rmtree(data, ignore_errors=True)
        command = [program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={folder / 'socket'}"]
        command += ["--bind-address=127.0.0.1", f"--port={server.port}", f"--pid-file={folder / 'pid'}"]
        command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"]
        with _running(command, folder, lambda: connect(server)):
            yield server


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # Not below pytest's folders, which nobody but their owner may enter; and the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="database-") as name:
        if NOBODY:
            shutil.chown(name, NOBODY)
        yield Path(name)


def _run(name: str, *arguments: object) -> None:
    command = [program(name) or name, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, user=NOBODY, cwd="/", text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-4000:]}")


@contextlib.contextmanager
def _running(command: list[Any], folder: Path, connect: Callable[[], Any]) -> Iterator[None]:
    with (folder.parent / f"{folder.name}.log").open("w+") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, user=NOBODY, cwd="/")
        try:
            give_up = time.monotonic() + PATIENCE
            while True:
                try:
                    connect()
                    break
                except Exception as fault:
                    if process.poll() is not None or time.monotonic() > give_up:
                        log.seek(0)
                        raise RuntimeError(f"{command[0]} did not start: {log.read()[-2000:]}") from fault
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)
            Path(log.name).unlink()


def main() -> int:
    missing = [package for name, package in PACKAGES.items() if program(name) is None]
    if not missing:
        return 0
    if shutil.which("apt-get") is None:
        print(f"error: no apt-get here to install {' and '.join(missing)} with", file=sys.stderr)
        return 1
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        command = ["apt-get", "--quiet", *arguments]
        if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
            print(f"error: {' '.join(command)} failed (it has to be run by root)", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
