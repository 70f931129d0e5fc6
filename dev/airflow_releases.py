"""The Airflow releases that the project is tested on: the newest patch of each minor release since 2.11."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints"
S3_CONSTRAINTS = CONSTRAINTS / "s3.txt"
"""What pins the newest Airflow beside a server of S3 and its client."""


@dataclass(frozen=True)
class AirflowRelease:
    """One Airflow release with what is needed to install it as its users have it."""

    version: str
    newest_python: tuple[int, int]
    """The newest Python its documentation supports; the oldest is our own, 3.11."""
    resolved_as_of: str
    """Later releases of its dependencies are left out, for an old Airflow does not expect them."""
    taken_later: tuple[str, ...] = ("apache-airflow-providers-common-compat",)
    """Distributions that we need newer than that: each works with this Airflow."""
    beside: tuple[str, ...] = ()
    """What Airflow's own images have beside Airflow, and a part of it that we test needs."""

    @property
    def minor(self) -> str:
        return self.version.rpartition(".")[0]

    @property
    def constraints(self) -> Path:
        """The file that pins everything to install beside this Airflow."""
        return CONSTRAINTS / f"airflow-{self.minor}.txt"


DRAWS_CONNECTION_FORMS = ("wtforms",)
"""Without it, Airflow 3.0 and 3.1 show no provider's own fields in the form of a connection."""

RELEASES = (
    AirflowRelease("2.11.2", newest_python=(3, 12), resolved_as_of="2026-04-01"),
    AirflowRelease(
        "3.0.6",
        newest_python=(3, 12),
        resolved_as_of="2025-10-01",
        # common-compat asks for this one on Pythons that came after Airflow 3.0.
        taken_later=("apache-airflow-providers-common-compat", "asgiref"),
        beside=DRAWS_CONNECTION_FORMS,
    ),
    AirflowRelease("3.1.8", newest_python=(3, 13), resolved_as_of="2026-04-01", beside=DRAWS_CONNECTION_FORMS),
    AirflowRelease("3.2.2", newest_python=(3, 14), resolved_as_of="2026-07-01"),
    AirflowRelease("3.3.2", newest_python=(3, 14), resolved_as_of="2026-11-20"),
)
MAIN_RELEASE = RELEASES[-1]


def release(minor: str) -> AirflowRelease:
    """The release of a minor version such as "3.3"."""
    for candidate in RELEASES:
        if candidate.minor == minor:
            return candidate
    raise LookupError(f"Airflow {minor} is none of {', '.join(known.minor for known in RELEASES)}")
