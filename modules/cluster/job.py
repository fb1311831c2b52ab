"""A job: the command of a training or a sweep as it runs on a cluster, and what is remembered of it here."""

import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modules.cluster.code_package import Package
from modules.configuration.errors import UserError
from modules.configuration.names import check_name, suggest
from modules.configuration.regular_file import read_regular_text
from modules.configuration.yaml_files import write_if_changed

RECORDS = Path("build/jobs")


@dataclass(frozen=True)
class Job:
    """What is to be sent.

    Attributes:
        name: of the job, such as lenet-1123-1530-a1b2.
        arguments: of `python`, never read by a shell as anything but words.
        typed: what the user gave of them.
        package: the files that go along.
    """

    name: str
    arguments: list[str]
    typed: list[str]
    package: Package


@dataclass(frozen=True)
class Record:
    """What is remembered of a job that was sent.

    Attributes:
        name: of the job.
        cluster: which kind it was sent to.
        typed: what the user wrote after `--`.
        submitted_s: seconds since 1970.
        where: what its kind of cluster needs to find it again.
    """

    name: str
    cluster: str
    typed: list[str]
    submitted_s: float
    where: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Keeps it under build/jobs/."""
        write_if_changed(RECORDS / f"{self.name}.json", json.dumps(asdict(self), indent=1) + "\n")


def new_name(recipe: str) -> str:
    """A name that Kubernetes takes too: small letters, digits and hyphens, 40 characters at most."""
    stem = re.sub(r"[^a-z0-9]+", "-", recipe.lower()).strip("-")[:24].strip("-")
    return f"{stem or 'job'}-{time.strftime('%m%d-%H%M')}-{secrets.token_hex(2)}"


def records() -> list[Record]:
    """Of all jobs that were sent from here, the oldest first."""
    found = []
    for path in RECORDS.glob("*.json"):
        try:
            found.append(Record(**json.loads(read_regular_text(path))))
        except (OSError, ValueError, TypeError):
            continue  # half-written, or of another version
    return sorted(found, key=lambda record: record.submitted_s)


def find_record(name: str | None) -> Record:
    """The record of a job; without a name, of the newest.

    Raises:
        UserError: there is none.
    """
    found = {record.name: record for record in records()}
    if not found:
        raise UserError(
            "no job was submitted from here", "python -m pipelines.submit cluster=local -- recipe=lenet"
        )
    if name is None:
        return list(found.values())[-1]
    if check_name("job", name) not in found:
        raise UserError(f"there is no job {name}", suggest(name, found))
    return found[name]


def hydra_value(text: str) -> str:
    """A text as the value of an override, quoted where Hydra would read it as something else.

    Raises:
        UserError: it holds what Hydra reads even in quotes.
    """
    if re.fullmatch(r"[A-Za-z0-9_./:-]+", text):
        return text
    if re.search(r"['\\$\n]", text):
        raise UserError(
            f"{text!r} cannot be written as an override", "Use a path without quotes, backslashes and $"
        )
    return f"'{text}'"


def chosen_keys(overrides: Iterable[str]) -> set[str]:
    """The keys and groups that overrides set."""
    return {override.lstrip("+~").partition("=")[0].partition("@")[0] for override in overrides}
