"""Which kind of class each section of a configuration builds: a model is no reader, and neither is a spool.

Every class of this repository may be named somewhere, but some write files as soon as they are built. So a
section takes its own kind alone: classes of its packages with the base, or the method, that it is used by.
Read from source; nothing is imported.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from modules.configuration.errors import ConfigError
from modules.configuration.static_analysis.definitions import Definition, Module, define, look_up
from modules.configuration.static_analysis.targets import (
    OWN_PREFIXES,
    WITH_FUNCTIONS,
    allowed_prefixes,
    nodes,
)


@dataclass(frozen=True)
class Kind:
    """What a section builds.

    Attributes:
        spoken: for people.
        packages: where such classes are defined, or named.
        base: a class that all of them are derived from; empty where a method says it.
        methods: one of these is what they are used by.
        without: classes that none of them is, nor is derived from.
    """

    spoken: str
    packages: tuple[str, ...]
    base: str = ""
    methods: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


MODULE = Kind(
    "an nn.Module", ("modules.models.", "modules.bricks.", "torch.nn."), "torch.nn.modules.module.Module"
)
KINDS = {
    "model": MODULE,
    "task": Kind("a task", ("modules.tasks.",), "modules.tasks.task.Task"),
    "reader": Kind("a reader", ("modules.datamodules.formats.",), methods=("samples",)),
    "source": Kind("a source", ("modules.sources.",), methods=("fetch",)),
    "schedule": Kind("a schedule", ("modules.training.schedules.",), methods=("__call__",)),
    "optimizer": Kind("an optimiser", ("torch.optim.",), "torch.optim.optimizer.Optimizer"),
    "evaluation": Kind("an evaluator", ("modules.evaluation.",), methods=("evaluate",)),
    "callbacks": Kind(
        "a callback that writes no files of its own",
        ("modules.training.", "pytorch_lightning.callbacks."),
        "pytorch_lightning.callbacks.callback.Callback",
        # What is kept of a training is trainer.keep's; a function is no class to build.
        without=tuple(
            f"pytorch_lightning.callbacks.{name}"
            for name in (
                "checkpoint.Checkpoint",
                "prediction_writer.BasePredictionWriter",
                "lambda_function.LambdaCallback",
            )
        ),
    ),
    "adapter": Kind("an adapter", ("modules.models.", "modules.weights."), methods=("read", "__call__")),
}
_SECTION = re.compile(
    r"(?:phases\.[^.]+\.)?(?:(?:data\.)?(?:reader\.)?|fine_tuning\.)"
    r"(model|task|reader|source|schedule|optimizer|evaluation|callbacks|adapter)(.*)"
)
# A node itself: an optimiser of each step, an evaluator of several, a part of a source. Whatever lies deeper
# is a part of one. A reader may hold another, and the adapter of a network's weights.
_WHOLE = {
    "optimizer": re.compile(r"(\.\w+)?"),
    "evaluation": re.compile(r"\[\d+\]"),
    "callbacks": re.compile(r"\.\w+"),
    "source": re.compile(r"(\.parts\[\d+\])?"),
}
_MAX_BASES = 20


def check_kinds(config: dict[str, Any]) -> None:
    """Checks every node of a whole configuration, whose targets were checked before.

    Raises:
        ConfigError: a section builds what it has no use for.
    """
    for key, node in nodes("", config):
        found = _SECTION.fullmatch(key)
        if found is None:
            raise ConfigError(
                f"{key}._target_" if key else "_target_", "no class is built here", "Take it out"
            )
        section, rest = found.groups()
        whole = _WHOLE.get(section, re.compile("")).fullmatch(rest)
        check_kind(key, node, KINDS[section] if whole else MODULE)


def check_kind(key: str, node: dict[str, Any], kind: Kind) -> None:
    """Checks what one node builds; a target that the root file allows may be of any kind.

    Raises:
        ConfigError: it is of another kind.
    """
    target = node["_target_"]
    if target.startswith(allowed_prefixes()[len(OWN_PREFIXES) :]):
        return
    if not _fits(target, kind):
        packages = " or ".join(package.rstrip(".") for package in kind.packages)
        raise ConfigError(
            f"{key}._target_" if key else "_target_",
            f"{target} is not {kind.spoken}",
            f"Name one of {packages}, or allow a package of your own: allowed_targets in conf/config.yaml",
        )


@lru_cache(maxsize=1024)
def _fits(target: str, kind: Kind) -> bool:
    definition = define(target)
    if definition is None:
        return True  # told elsewhere, with what was probably meant
    if not isinstance(definition.node, ast.ClassDef):
        return kind is MODULE and target.startswith(WITH_FUNCTIONS)
    return target.startswith(kind.packages) and _is(definition, kind)


def _is(definition: Definition, kind: Kind) -> bool:
    classes = list(_with_bases(definition))
    if kind.base:
        named = {f"{one.module.name}.{one.name}" for one in classes}
        return kind.base in named and named.isdisjoint(kind.without)
    names = {
        statement.name
        for one in classes
        if isinstance(one.node, ast.ClassDef)
        for statement in one.node.body
        if isinstance(statement, ast.FunctionDef)
    }
    assert isinstance(definition.node, ast.ClassDef)
    is_protocol = any("Protocol" in ast.unparse(base) for base in definition.node.bases)
    return not is_protocol and not names.isdisjoint(kind.methods)


def _with_bases(definition: Definition) -> Iterator[Definition]:
    """A class and the classes that it is derived from, as far as the sources show them."""
    waiting, num_seen = [definition], 0
    while waiting and num_seen < _MAX_BASES:
        one = waiting.pop()
        num_seen += 1
        yield one
        if isinstance(one.node, ast.ClassDef):
            waiting += filter(None, (_base(base, one.module) for base in one.node.bases))


def _base(base: ast.expr, module: Module) -> Definition | None:
    """The class that a base such as `Module`, `nn.Module` or `Generic[T]` names."""
    if isinstance(base, ast.Subscript):
        return _base(base.value, module)
    first, *rest = ast.unparse(base).split(".")
    found = look_up(first, module)
    if isinstance(found, Module) and rest:
        return define(".".join([found.name, *rest]))
    return found if isinstance(found, Definition) and not rest else None
