"""A real Airflow in a directory of its own, whose parts can be killed and started one by one.

    with RealAirflow(directory, dag_folders=[examples]) as airflow:
        run_id = airflow.trigger("a_dag")
        airflow.triggerer.kill()
        airflow.triggerer.start()
        assert airflow.wait_for_run("a_dag", run_id) == "success"

The same for Airflow 2.11 and every 3.x: SQLite, LocalExecutor, free ports, no telemetry, no login.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
import urllib.error
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_database import AirflowDatabase, AirflowPostgres, instance_name
from airflow_rest import AirflowRest
from airflow_settings import AIRFLOW_2_WEBSERVER, settings
from component import Component, stop
from packaging.version import Version
from ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from types import TracebackType

Found = TypeVar("Found")

DONE = frozenset({"success", "failed"})
"""The states in which a run stays."""
TASK_DONE = DONE | {"skipped", "upstream_failed", "removed"}
"""The states in which a task stays."""
CALLBACK_TOKENS = ["canary-callbacks-0123456789abcdefghij", "canary-callbacks-of-before-0123456789"]
"""What callbacks come with, in the Airflow of the system tests; the first goes into new URLs."""
FIRST_WAIT = 180.0
"""Seconds that a start may take on a slow machine that does other things as well."""


class RealAirflow:
    """A running Airflow: the components of a small deployment, each a process of its own."""

    def __init__(
        self,
        directory: Path,
        *,
        dag_folders: Iterable[Path],
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        database: AirflowPostgres | None = None,
    ) -> None:
        """Take a directory, best an empty one; nothing is written outside it.

        :param connections: connections by id, each as a mapping with `conn_type`, `host` and so on
        :param environment: environment variables that all components have on top of the harness's own
        :param database: an empty database to use instead of an SQLite file in the directory
        """
        self.home = directory.absolute()
        self.version = version("apache-airflow")
        self.major = int(self.version.partition(".")[0])
        release = Version(self.version).release
        self.keeps_task_state = self.starts_from_trigger = release >= (3, 3)
        # Though they have retries left: https://github.com/apache/airflow/pull/55767
        self.retries_killed_tasks = not (3, 0) <= release < (3, 1, 2)
        self.logs_dir = self.home / "logs"
        self.component_logs = self.home / "components"
        self.database = database or AirflowDatabase(self.home / "airflow.db")
        self._dag_folders = list(dag_folders)
        self._python = Path(sys.executable)
        ports = dict(zip(("web", "worker log", "trigger log"), free_ports(3), strict=True))
        self.address = f"http://127.0.0.1:{ports['web']}"
        self.rest = AirflowRest(self.address, major=self.major)
        self._environment = settings(
            home=self.home,
            dag_folder=self.home / "dags",
            ports=ports,
            connections=connections or {},
            major=self.major,
        ) | dict(environment or {})
        if database:
            self._environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database.url
        self.scheduler = self._component("scheduler")
        self.triggerer = self._component("triggerer")
        if self.major >= 3:
            self.web = self._component("api-server")
            self._components = [self.web, self.scheduler, self.triggerer, self._component("dag-processor")]
        else:
            # The scheduler of Airflow 2 parses the DAGs itself.
            self.web = self._component("webserver")
            self._components = [self.web, self.scheduler, self.triggerer]
        self._restore_sigterm: Callable[[], object] = lambda: None

    # -- life ------------------------------------------------------------------------------------------------

    def __enter__(self) -> RealAirflow:
        if threading.current_thread() is threading.main_thread():
            # Whoever is told to terminate leaves nothing running either.
            before = signal.signal(signal.SIGTERM, signal.default_int_handler)
            self._restore_sigterm = lambda: signal.signal(signal.SIGTERM, before)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Set up the database, start everything, and return once all components say that they are well."""
        self._lay_out()
        migration = self.command("db", "migrate")
        if migration.returncode != 0:
            raise RuntimeError(f"airflow db migrate failed:\n{(migration.stdout + migration.stderr)[-4000:]}")
        for component in self._components:
            component.start()
        self.wait_for("Airflow to be up", self._is_healthy, FIRST_WAIT)

    def stop(self) -> None:
        """End every process that was started, whatever state it is in."""
        with undisturbed():
            stop(self._components, grace=5.0)
        self._restore_sigterm()

    def start_another_triggerer(self) -> Component:
        """A second triggerer beside the first, as a deployment with high availability has it."""
        return self._start_another("triggerer")

    def start_another_scheduler(self) -> Component:
        """A second scheduler beside the first; Airflow does not support that on SQLite."""
        return self._start_another("scheduler")

    def _start_another(self, name: str) -> Component:
        another = self._component(f"{name}-{len(self._components)}", name, "--skip-serve-logs")
        self._components.append(another)
        another.start()
        return another

    def end(self, another: Component) -> None:
        """End a component that was started beside another one."""
        another.stop()
        self._components.remove(another)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an `airflow` command in this Airflow, such as `command("providers", "hooks")`."""
        return subprocess.run(
            [str(self._python), "-m", "airflow", *arguments],
            env=self._environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    # -- DAGs and runs ---------------------------------------------------------------------------------------

    @property
    def parts(self) -> str:
        """The names of its components, for people."""
        return ", ".join(component.name for component in self._components)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run of a DAG, as soon as the DAG is known, and return the run's id.

        The DAG is unpaused, as no run of a paused one would begin.
        """
        self.unpause(dag_id)
        run_id = self.rest.trigger(dag_id, conf)
        # Airflow's answers may come a moment before what they tell of is in the database.
        self.wait_for(f"a run of {dag_id} to be there", lambda: self.run_state(dag_id, run_id), 120)
        return run_id

    def unpause(self, dag_id: str, *, timeout: float = FIRST_WAIT) -> None:
        """Unpause a DAG, as soon as it is known."""

        def unpaused() -> bool:
            try:
                self.rest.unpause(dag_id)
            except urllib.error.HTTPError as refusal:
                if refusal.code == 404:
                    return False
                raise
            return True

        self.wait_for(f"the DAG {dag_id} to be known", unpaused, timeout)

    def pause(self, dag_id: str) -> None:
        """Pause a DAG: no run of it begins any more."""
        self.rest.pause(dag_id)

    def clear(self, dag_id: str, run_id: str, task_ids: list[str] | None = None) -> None:
        """Have tasks of a run done again: these, or all."""
        before = self.task_states(dag_id, run_id)
        if self.rest.clear(dag_id, run_id, task_ids):
            self.wait_for(
                f"tasks of {dag_id} to be cleared",
                lambda: self.task_states(dag_id, run_id) != before,
                120,
                about=(dag_id, run_id),
            )

    def import_errors(self) -> dict[str, str]:
        """The stack trace of each DAG file that cannot be imported, by file name."""
        return self.rest.import_errors()

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """The state of a run at this moment."""
        return self.database.run_state(dag_id, run_id)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of each task at this moment; that of a mapped one under a name such as `wait[0]`."""
        return self.database.task_states(dag_id, run_id)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task handed on; LookupError if it handed on nothing under this key."""
        return self.database.xcom(dag_id, run_id, task_id, key, map_index)

    def tries(self, dag_id: str, run_id: str, task_id: str) -> int:
        """How often a task was tried, whatever number of executions each try took."""
        return self.database.tries(dag_id, run_id, task_id)

    def task_log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """What all tries of a task logged, the triggerer's part included."""
        folder = self.logs_dir / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
        return "".join(log.read_text(errors="replace") for log in sorted(folder.glob("*.log*")))

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 300.0) -> str:
        """Wait until a run has come to its end, and return the state it ended in: "success" or "failed"."""

        def ended() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in DONE else None

        return self.wait_for(f"{dag_id} to end", ended, timeout, about=(dag_id, run_id))

    def wait_for_runs(self, dag_id: str, count: int, timeout: float = 300.0) -> list[str]:
        """Wait until a DAG that others start has had so many runs, and return their ids."""

        def runs() -> list[str] | None:
            found = self.database.runs(dag_id)
            return found if len(found) >= count else None

        return self.wait_for(f"{count} runs of {dag_id}", runs, timeout)

    def wait_for_task_state(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        state: str | Collection[str],
        *,
        map_index: int = -1,
        timeout: float = 300.0,
    ) -> str:
        """Wait until a task is in this state, or one of these, and return it.

        RuntimeError at once if the task has ended in another.
        """
        wanted = {state} if isinstance(state, str) else set(state)
        name = instance_name(task_id, map_index)

        def reached() -> str | None:
            now = self.task_states(dag_id, run_id).get(name)
            if now in TASK_DONE and now not in wanted:
                log = self.task_log(dag_id, run_id, task_id, map_index)[-4000:]
                raise RuntimeError(f"{dag_id}.{name} ended {now}, not {' or '.join(sorted(wanted))}:\n{log}")
            return now if now in wanted else None

        wish = f"{dag_id}.{name} to be {' or '.join(sorted(wanted))}"
        return self.wait_for(wish, reached, timeout, about=(dag_id, run_id))

    def wait_for(
        self,
        wish: str,
        look: Callable[[], Found | None],
        timeout: float,
        about: tuple[str, str] | None = None,
    ) -> Found:
        """Look again and again until something is found; say all that may explain why it is not."""
        give_up = time.monotonic() + timeout
        while not (found := look()):
            for component in self._components:
                if component.has_ended_by_itself:
                    raise RuntimeError(f"Waiting for {wish}, {component.name} ended:\n{component.log_tail(40)}")
            if time.monotonic() > give_up:
                raise TimeoutError(f"Waited {timeout:.0f} s for {wish}.\n{self.situation(*(about or ()))}")
            time.sleep(0.2)
        return found

    def situation(self, dag_id: str | None = None, run_id: str | None = None) -> str:
        """All that may explain why things do not go on: states and logs of a run, if given, and of each component."""
        parts = []
        if dag_id and run_id:
            states = self.task_states(dag_id, run_id)
            parts.append(f"Run: {self.run_state(dag_id, run_id)}, tasks: {states}")
            for name in states:
                task_id, _, index = name.rstrip("]").partition("[")
                parts.append(f"--- log of {name}\n{self.task_log(dag_id, run_id, task_id, int(index or -1))[-2000:]}")
        parts += [f"--- {component.name}\n{component.log_tail()}" for component in self._components]
        return "\n".join(parts)

    # -- inside ----------------------------------------------------------------------------------------------

    def _component(self, name: str, *command: str) -> Component:
        arguments = command or (name,)
        return Component(
            name,
            [str(self._python), "-m", "airflow", *arguments],
            environment=self._environment,
            log=self.component_logs / f"{name}.log",
        )

    def _lay_out(self) -> None:
        """Write what Airflow wants to find: the one folder of DAGs that it reads has links to ours."""
        dags = self.home / "dags"
        dags.mkdir(parents=True, exist_ok=True)
        for folder in self._dag_folders:
            link = dags / folder.name
            link.unlink(missing_ok=True)
            link.symlink_to(folder.absolute(), target_is_directory=True)
        if self.major < 3:
            (self.home / "webserver_config.py").write_text(AIRFLOW_2_WEBSERVER)

    def _is_healthy(self) -> bool:
        try:
            report = self.rest.health()
        except OSError:
            return False
        watched = {"metadatabase", "scheduler", "triggerer"} | ({"dag_processor"} if self.major >= 3 else set())
        return all(report.get(name) == "healthy" for name in watched)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C not interrupt what the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
