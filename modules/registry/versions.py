"""The registry: MLflow's registered models, whose versions are exported programs.

A registered model has the recipe's name; a version is one identity. Its tags say what the gates need:
identity, hash of each file, inputs and outputs, hash of the test split and the scores on it. A version
comes into being with all of these in one step, so that an interrupted promotion leaves nothing that looks
complete.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.names import check_name, suggest
from modules.configuration.regular_file import read_regular
from modules.registry.gates import Score
from modules.registry.model_signature import Signature, signature_of
from modules.tracking.store import (
    absolute_settings,
    as_default_tracker,
    database_file,
    find_run,
    is_there,
    open_store,
)

CHAMPION = "champion"
PROGRAM, WEIGHTS, PLAN = "data/model.pt2", "weights.pt", "plan.yaml"
"""Files of a version: what is served, the trained weights by name, and the plan that they were trained by."""


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes:
        name: the registered model.
        number: the version.
        run_id: MLflow's id of the run that trained it.
        tags: facts about it, as text.
    """

    name: str
    number: int
    run_id: str
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.number}"

    @property
    def signature(self) -> Signature:
        return signature_of(self.tags)

    @property
    def is_promoted(self) -> bool:
        """Whether `promote` registered it, and not other means."""
        return "files" in self.tags and bool({"signature", "input_shape"} & self.tags.keys())

    def score(self, metric: str) -> Score | None:
        """Its score on the test split it was evaluated on; None where that metric was not measured."""
        value = self.tags.get(f"test.{metric}")
        return None if value is None else Score(metric, float(value), self.tags["data.test"])


class Registry:
    """Registered models of one tracker.

    Args:
        settings: the section `tracking` of the configuration.

    Raises:
        UserError: tracking is off, or the tracker does not answer.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        if settings["uri"] is None:
            raise UserError("tracking is off, so there is no registry", "Choose a tracker: tracking=sqlite.")
        self._settings = absolute_settings(settings)
        self.uri: str = self._settings["uri"]
        if not is_there(settings):
            raise UserError(
                f"{database_file(self.uri)} is not there, so nothing is registered",
                "Train and promote a recipe (make run), or send what waits: python -m pipelines.track drain.",
            )
        with self._answering():
            self._client, self._experiment_id = open_store(self._settings)

    def find_run(self, identity: str) -> str | None:
        """MLflow's id of the run with this identity."""
        with self._answering():
            return find_run(self._client, self._experiment_id, identity)

    def run_tags(self, run_id: str) -> dict[str, str]:
        """The tags of a run."""
        with self._answering():
            return dict(self._client.get_run(run_id).data.tags)

    def find(self, name: str, identity: str) -> Version | None:
        """The version with this identity."""
        with self._answering():
            found = self._client.search_model_versions(f"name = '{name}' and tags.identity = '{identity}'")
        return _version(min(found, key=lambda one: int(one.version))) if found else None

    def versions(self) -> list[tuple[Version, list[str]]]:
        """All versions of all registered models, each with the aliases that name it."""
        with self._answering():
            models = self._client.search_registered_models(max_results=1000)
            found = [
                (_version(one), [alias for alias, number in model.aliases.items() if number == one.version])
                for model in models
                for one in self._client.search_model_versions(f"name = '{model.name}'")
            ]
        return sorted(found, key=lambda pair: (pair[0].name, pair[0].number))

    def champion(self, name: str) -> Version | None:
        """The version that the alias names."""
        aliases = self._aliases(name)
        return self._get(name, aliases[CHAMPION]) if aliases and CHAMPION in aliases else None

    def resolve(self, reference: str) -> Version:
        """The version of `name@alias`, `name@number` or, for the champion, `name`.

        Raises:
            UserError: naming the nearest model, alias or version there is.
        """
        name, _, which = reference.partition("@")
        check_name("model", name)
        which = which or CHAMPION
        aliases = self._aliases(name)
        if aliases is None:
            with self._answering():
                names = [model.name for model in self._client.search_registered_models(max_results=1000)]
            hint = suggest(name, names) or "There is none yet: python -m pipelines.promote recipe=..."
            raise UserError(f"the registry has no model {name!r}", hint)
        with self._answering():
            numbers = [one.version for one in self._client.search_model_versions(f"name = '{name}'")]
        number = which if which.isdecimal() and int(which) in map(int, numbers) else aliases.get(which)
        if number is None:
            has = ", ".join([*sorted(aliases), *sorted(map(str, numbers), key=int)])
            hint = suggest(which, aliases) or f"There is: {has}."
            raise UserError(f"the model {name} has no version or alias {which!r}", hint)
        return self._get(name, int(number))

    def register(self, name: str, folder: Path, run_id: str, model_id: str, tags: dict[str, str]) -> Version:
        """Hand a saved MLflow model to the tracker and make it a version, with its tags, in one step."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.exceptions import MlflowException

        with self._answering():
            self._client.log_model_artifacts(model_id, str(folder))
            self._client.finalize_logged_model(model_id, "READY")
            self._client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            created = self._client.create_model_version(
                name, source=f"models:/{model_id}", run_id=run_id, tags=tags, model_id=model_id
            )
        return _version(created)

    def start_model(self, name: str, identity: str, run_id: str) -> str:
        """Announce a model of the run; what an interrupted promotion announced before is withdrawn.

        Returns:
            MLflow's id of the model.
        """
        with self._answering():
            left = self._client.search_logged_models(
                [self._experiment_id], filter_string=f"name = '{name}' and tags.identity = '{identity}'"
            )
            for model in left:
                self._client.delete_logged_model(model.model_id)
            model = self._client.create_logged_model(
                self._experiment_id, name=name, source_run_id=run_id, tags={"identity": identity}
            )
        return model.model_id

    def decide(self, version: Version, champion: bool, decision: str) -> None:
        """Write down a decision, carry it out and mark it as carried out."""
        with self._answering():
            self._client.set_model_version_tag(version.name, str(version.number), "decision", decision)
        self.settle(version, champion)

    def settle(self, version: Version, champion: bool) -> None:
        """Carry out a decision that is written down: again, should it have been interrupted."""
        with self._answering():
            if champion:
                self._client.set_registered_model_alias(version.name, CHAMPION, str(version.number))
            self._client.set_model_version_tag(version.name, str(version.number), "settled", "true")

    @contextmanager
    def fetched(self, version: Version) -> Iterator[Path]:
        """The version's files in a folder that is there as long as the block, as they were registered.

        Raises:
            UserError: a file is missing or not the one that was registered.
        """
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="trainyard-") as scratch:
            with self._answering():
                folder = Path(
                    download_artifacts(
                        artifact_uri=version.uri,
                        dst_path=scratch,
                        tracking_uri=self.uri,
                        registry_uri=self.uri,
                    )
                )
            if not _is_as_registered(folder, version.tags.get("files", "")):
                raise UserError(
                    f"the files of {version.name} version {version.number} are not those registered",
                    "Nothing of them was run. Restore them, or delete the version and promote again.",
                )
            yield folder

    def _aliases(self, name: str) -> dict[str, int] | None:
        """Version of each alias; None if there is no such model."""
        from mlflow.exceptions import MlflowException

        with self._answering():
            try:
                model = self._client.get_registered_model(name)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise
        return {alias: int(number) for alias, number in model.aliases.items()}

    def _get(self, name: str, number: int) -> Version:
        with self._answering():
            return _version(self._client.get_model_version(name, str(number)))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn what a tracker raises that is away, locked or broken into one line."""
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with as_default_tracker(self.uri):
                yield
        except (MlflowException, SQLAlchemyError, CommandError, RequestException, OSError) as error:
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise UserError(
                f"the tracker {self.uri} does not do its part: {reason}",
                "Start it, or set tracking.uri, and repeat the command: it goes on where it stopped.",
            ) from error


def file_hashes(folder: Path) -> str:
    """The sha256 of every file below a folder, as a tag."""
    return json.dumps(
        {
            file.relative_to(folder).as_posix(): sha256(read_regular(file)).hexdigest()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
    )


def _is_as_registered(folder: Path, hashes: str) -> bool:
    """Whether every file that was registered is there unchanged, the program among them."""
    try:
        expected = json.loads(hashes)
        return PROGRAM in expected and all(
            sha256(read_regular(folder / name)).hexdigest() == value for name, value in expected.items()
        )
    except (ValueError, TypeError, OSError):
        return False


def _version(found: Any) -> Version:
    return Version(found.name, int(found.version), found.run_id, dict(found.tags))
