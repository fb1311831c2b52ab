"""What a training begins from besides its own plan: weights to go on from, and teachers to learn from.

`init_from` and `teacher` name registered models (`lenet@champion`, `lenet@3`) or files. Both are fetched
before the run's identity is known and pinned there by their content: an alias may move, the run it began does
not. Copies are kept in `<storage>/pretrained/`, each under a name made of its content, so that all trials of
a sweep share them.
"""

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch
from torch import nn

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import shard_hashes
from modules.configuration.plans.old_plans import read_trained
from modules.configuration.plans.run_plan import Plan, Pretrained
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.phases import trainings
from modules.configuration.schema.settings import read
from modules.configuration.static_analysis.targets import build
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.registry.export import load_program
from modules.registry.outcome import file_hash
from modules.registry.references import is_registered, plan_of, registered_version, trained_file
from modules.registry.stored_weights import load_weights, version_weights
from modules.registry.versions import PROGRAM
from modules.registry.vocabulary_check import check_initial_weights
from modules.tasks.build_task import build_task
from modules.tasks.optional_methods import NamesClasses
from modules.tasks.task import Task
from modules.training.initial_weights import nothing_fits, read_weights
from modules.weights.fitting import compare

Load = Callable[[], tuple[Task, nn.Module | None]]
"""A teacher's task, and the exported program that answers in its place, if there is one."""
_BATCH_SIZE = 500


def with_pretrained(plan: Plan, shards: Path) -> Plan:
    """The plan with the files that it begins from; as it is where it names none.

    Args:
        plan: of a run.
        shards: the folder of its dataset, `<storage>/data/shards/<dataset>`.

    Raises:
        UserError: a model or file is not there or cannot be read, or a teacher has other classes.
    """
    if not plan.init_from and not plan.teacher:
        return plan
    return plan.with_pretrained(find_pretrained(plan.configuration, shards))


def find_pretrained(config: dict[str, Any], shards: Path) -> Pretrained:
    """The files that a configuration begins from, and their hashes; see `with_pretrained`."""
    kept = shards.parents[2].absolute() / "pretrained"
    weights = _weights(config["init_from"], config, kept) if config["init_from"] else None
    if weights is not None:
        reference = config["init_from"]
        tags = registered_version(reference, config)[1].tags if is_registered(reference) else None
        reinit = trainings(config)[0]["fine_tuning"]["reinit"]
        check_initial_weights(reference, weights, tags, shards, reinit)
    answers, digest = _soft_targets(config, shards, kept) if config["teacher"] else (None, "")
    return Pretrained(weights, file_hash(weights) if weights else "", answers, digest)


def check_pretrained(config: dict[str, Any]) -> str:
    """Looks at what a configuration begins from, as far as it is there.

    Returns:
        How the weights fit; empty where it names none.

    Raises:
        UserError: as `with_pretrained`; or no weight fits the model.
    """
    for reference in config["teacher"]:
        _teacher(reference, config)
    if not config["init_from"]:
        return ""
    first = trainings(config)[0]
    adapter, reinit = first["fine_tuning"]["adapter"], first["fine_tuning"]["reinit"]
    with tempfile.TemporaryDirectory(prefix="trainyard-") as scratch:
        file = _weights(config["init_from"], config, Path(scratch))
        found = read_weights(file, build(adapter) if adapter else None)
    with torch.device("meta"):
        model = build(first["model"])
    fit = compare(model, found, reinit)
    if not fit.kept:
        raise nothing_fits(model, file, found)
    return f"begins from {config['init_from']}: {fit}"


def _weights(reference: str, config: dict[str, Any], kept: Path) -> Path:
    """The file of weights behind a reference."""
    if not is_registered(reference):
        return trained_file(reference, "init_from")
    registry, version = registered_version(reference, config)
    file = kept / f"{version.name}-{_digest(version.tags['files'])}.pt"
    if not file.exists():
        with registry.fetched(version) as folder:
            weights = dict(version_weights(folder))
            _write(file, lambda opened: torch.save(weights, opened))
    return file


def _soft_targets(config: dict[str, Any], shards: Path, kept: Path) -> tuple[Path, str]:
    """A file with the log-probability of each class for every training sample, [samples, num_classes] as
    float32: the mean of what the teachers say (Hinton, Vinyals & Dean 2015, section 1). And its hash."""
    teachers = [_teacher(reference, config) for reference in config["teacher"]]
    content = {"teachers": [digest for digest, _ in teachers], "shards": shard_hashes(shards)}
    digest = _digest(json.dumps(content, sort_keys=True))
    file = kept / f"teachers-{digest}.npy"
    if not file.exists():
        answers = [_log_probabilities(load, config, shards) for _, load in teachers]
        mean = numpy.logaddexp.reduce(answers) - numpy.log(len(answers))
        _write(file, lambda opened: numpy.save(opened, mean.astype(numpy.float32)))
    return file, digest


def _teacher(reference: str, config: dict[str, Any]) -> tuple[str, Load]:
    """The hash of a teacher, and how to load it.

    Raises:
        UserError: it is not there, names no classes, or its classes are not the student's.
    """
    own = _classes(config)
    if is_registered(reference):
        registry, version = registered_version(reference, config)

        def load() -> tuple[Task, nn.Module | None]:
            with registry.fetched(version) as folder:
                program, _ = load_program(folder / PROGRAM)
                return _task(read_trained(folder / "plan.yaml")), program

        classes, digest = list(version.signature.outputs[0].names), _digest(version.tags["files"])
    else:
        weights = trained_file(reference, "teacher")
        of_teacher = plan_of(weights)

        def load() -> tuple[Task, nn.Module | None]:
            task = _task(of_teacher)
            load_weights(task.model, weights)
            return task, None

        with torch.device("meta"):
            names_classes = isinstance(_task(of_teacher), NamesClasses)
        if not names_classes:
            raise UserError(f"teacher={reference} does not answer with classes", "Take a trained classifier")
        # Other images for the same weights are another teacher.
        made_by = [file_hash(weights), of_teacher["model"], of_teacher["task"]]
        classes, digest = _classes(of_teacher), _digest(json.dumps(made_by, sort_keys=True))
    if classes != own:
        raise UserError(
            f"teacher={reference} knows {len(classes)} classes ({_some(classes)}), and the student learns"
            f" {len(own)} ({_some(own)})",
            "Take a teacher that was trained on the student's classes",
        )
    return digest, load


def _log_probabilities(load: Load, config: dict[str, Any], shards: Path) -> numpy.ndarray:
    """What a teacher says of every sample of the training split, as it is, without augmentation."""
    task, program = load()
    split = ShardSet.open(shards, read(DataSettings, config["data"], "data")).split("train")
    found = []
    with torch.inference_mode():
        for batch in EvaluationLoader(split, _BATCH_SIZE):
            if program is not None:
                answer = program(*task.served_inputs(batch))
            else:
                assert isinstance(task, NamesClasses)
                answer = task.probabilities(batch)
            found.append(answer.clamp_min(torch.finfo(answer.dtype).tiny).log())
    return torch.cat(found).double().numpy()


def _task(config: dict[str, Any]) -> Task:
    return build_task(config["model"], config["task"]).eval()


def _classes(config: dict[str, Any]) -> list[str]:
    return next((field["classes"] for field in config["data"]["fields"].values() if field.get("classes")), [])


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + ("..." if len(names) > 3 else "")


def _write(file: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file, whole or not at all; several processes may write the same one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not by the process's number, which another node has as well.
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as opened:
            write(opened)
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
