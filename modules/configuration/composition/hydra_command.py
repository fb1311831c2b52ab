"""Hydra's command line over the root configuration, with every refusal in one line.

Overrides, `--cfg job`, `--info`, `-m` and Hydra's other flags are Hydra's. Ours are the check of a composed
configuration before it runs (of every point of a sweep before the first one runs), errors that name file and
key, a `--help` that lists what conf/ holds without composing it, and tab completion that knows `python -m`.
With HYDRA_FULL_ERROR=1 Hydra's own errors are shown in full.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.configuration.command import one_line
from modules.configuration.composition.conf_contents import describe, groups, names
from modules.configuration.composition.key_locations import CONF, KeyLocations
from modules.configuration.composition.recipes import with_families
from modules.configuration.errors import UserError

_FLAGS = """\
Flags
  -m             run every point of a grid such as trainer.batch_size=64,128 optimizer.lr=0.001,0.003;
                 hydra/launcher=ray runs them side by side, hydra/sweeper=ray sweep=random|optuna|asha|pbt
                 searches a space such as optimizer.lr=tag(log,interval(1e-4,1e-1))
  --cfg job      show the configuration as it is before it runs; with --resolve, its values filled in
  --info         show how it was composed
  --hydra-help   Hydra's other flags

Completion in bash
  eval "$(python -m pipelines.train -sc install=bash)"

What it would cost
  python -m pipelines.plan recipe=lenet"""


Check = Callable[[dict[str, Any], list[str]], object]
"""Refuses a configuration, composed of the given overrides, by a `UserError`."""


def compose_and_run(
    task: Callable[[dict[str, Any]], object], argv: list[str], help: str = "", check: Check | None = None
) -> None:
    """Composes the configuration that the command line asks for and hands it over, checked and plain.

    Args:
        task: called with it; under `-m` once for each point of the sweep.
        argv: the command line without the program's name.
        help: what `--help` shows above recipes, groups and flags.
        check: a further check, made of every point of a sweep before the first one runs.

    Raises:
        UserError: naming the file or override and the key at fault.
        SystemExit: the command line asked for an answer, not for a run.
    """
    if {"--help", "-h"} & set(argv):
        print(help_text(help))
        sys.exit(0)
    from hydra._internal.utils import get_args_parser

    from modules.configuration.composition.completion import complete

    parser = get_args_parser()
    parser.error = _refuse
    chosen = parser.parse_intermixed_args(argv)
    argv = [word for word in argv if word not in chosen.overrides]
    chosen.overrides = with_families(chosen.overrides)
    # Hydra itself wants all overrides side by side.
    argv += chosen.overrides
    if chosen.shell_completion and complete(chosen.overrides):
        return
    answers = (chosen.cfg, chosen.info, chosen.hydra_help, chosen.shell_completion)
    if not any(answers):
        if chosen.multirun:
            check_points(chosen.overrides, check)
        else:
            _check_one(chosen.overrides)
    _run(task, argv, chosen.overrides, sweep=bool(chosen.multirun))


def help_text(text: str, conf: Path = CONF) -> str:
    """The help of a command that takes overrides: what it is, recipes, groups and flags."""
    recipes = names("recipe", conf)
    width = max((len(recipe) for recipe in recipes), default=0)
    lines = [text.strip(), "", "Recipes"]
    lines += [f"  recipe={recipe:<{width}}  {describe(recipe, conf)}".rstrip() for recipe in recipes]
    lines += [
        "",
        "Groups: choose a file of each; change any key in it with key=value, add one with +key=value",
    ]
    folders = [path for path in groups(conf) if path.name != "recipe"]
    for group in sorted([*folders, *(conf / "hydra").glob("*")]):
        files = sorted(file.relative_to(group).with_suffix("").as_posix() for file in group.rglob("*.yaml"))
        lines.append(f"  {group.relative_to(conf)}=  {', '.join(files)}")
    return "\n".join([*lines, "", _FLAGS])


def _run(
    task: Callable[[dict[str, Any]], object], argv: list[str], overrides: list[str], sweep: bool
) -> None:
    import hydra
    from omegaconf import DictConfig

    from modules.configuration.composition.compose import resolve
    from modules.configuration.composition.file_source import use_checked_files
    from modules.configuration.composition.hydra_errors import HYDRA_ERRORS, explain
    from modules.configuration.composition.hydra_loader import ROOT_CONFIG, VERSION_BASE

    refused: list[UserError] = []
    broken: list[Exception] = []
    num_jobs = 0

    def job(config: DictConfig) -> None:
        nonlocal num_jobs
        num_jobs += 1
        try:
            task(resolve(config, _job_overrides()))
        except UserError as error:
            # Kept for later: Hydra would print lines of its own, and the other points of a sweep go on.
            refused.append(error)
            if sweep:
                print(one_line(UserError(f"job {num_jobs}: {error}")), file=sys.stderr)
        except Exception as error:
            broken.append(error)
            raise

    full_errors = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Without it Hydra prints what it caught and exits; with it the exception comes here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    program, sys.argv = sys.argv, [sys.argv[0], *argv]
    use_checked_files()
    start: Any = hydra.main(version_base=VERSION_BASE, config_path=str(CONF), config_name=ROOT_CONFIG)(job)
    try:
        start()
    except HYDRA_ERRORS as error:
        if full_errors or error in broken:
            raise
        raise explain(error, overrides, CONF) from error
    except Exception as error:
        # A launcher or sweeper of conf/hydra is ours: what it raises is its own word, or a bug.
        own = [override for override in overrides if override.lstrip("+~").startswith("hydra.")]
        if full_errors or error in broken or not own or isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"Hydra cannot run with {' '.join(own)}: {reason}", "See its keys: --cfg hydra"
        ) from error
    finally:
        sys.argv = program
        if not full_errors:
            del os.environ["HYDRA_FULL_ERROR"]
    if refused and sweep:
        raise UserError(f"{len(refused)} of {num_jobs} jobs failed: {refused[0].problem}", refused[0].hint)
    if refused:
        raise refused[0]


def job_key_locations() -> KeyLocations:
    """What the running task's configuration was composed of; for errors that name file and line."""
    from modules.configuration.composition.hydra_loader import key_locations

    return key_locations(_job_overrides(), CONF)


def _job_overrides() -> list[str]:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    # An override may hold an interpolation, which means something in the configuration alone.
    given = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(override) for override in given or []]


def _check_one(overrides: list[str]) -> dict[str, Any]:
    """Composes and checks at once: Hydra composes twice before it says a word."""
    from modules.configuration.composition.compose import compose

    return compose([override for override in overrides if not override.lstrip("+~").startswith("hydra")])


def check_points(overrides: list[str], check: Check | None = None) -> None:
    """Composes and checks every point that a grid of overrides such as `seed=1,2` spans.

    Args:
        overrides: the command line's.
        check: what else to check of each point.

    Raises:
        UserError: the first point at fault.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from modules.configuration.composition.hydra_errors import explain
    from modules.configuration.composition.hydra_loader import config_loader

    try:
        parsed = OverridesParser.create(config_loader(CONF)).parse_overrides(overrides)
    except HydraException as error:
        raise explain(error, overrides, CONF) from error
    if any(o.key_or_group == "hydra/sweeper" or o.input_line == "hydra/launcher=ray" for o in parsed):
        return  # these check their points themselves
    own = [override for override in parsed if not override.is_hydra_override()]
    for override in own:
        if override.is_interval_sweep() or override.key_or_group.partition(".")[0] == "sweep":
            raise UserError(f"{override.input_line} needs a sweeper that searches", "Add hydra/sweeper=ray")
    points = [list(point) for batch in BasicSweeper.split_arguments(own, None) for point in batch]
    # All are composed first: a key that is wrong is told at once, a further check may take its time.
    configs = [_check_one(point) for point in points]
    if check is not None:
        for config, point in zip(configs, points, strict=True):
            try:
                check(config, point)
            except UserError as error:
                if len(points) == 1:
                    raise
                varied = " ".join(one for one in point if one not in overrides)
                hint = error.hint and f"{error.hint}. "
                raise UserError(
                    f"nothing was trained, as the point {varied} cannot be: {error.problem}",
                    f"{hint}Or leave it out; hydra/sweeper=ray sweep.impossible=skip trains the others",
                ) from error


def _refuse(message: str) -> Any:
    taken = re.match(r"argument (--[\w-]+)\S*: invalid choice: '(\w\S*=.*)' \(choose from (.*)\)", message)
    if taken:
        flag, override, choices = taken.groups()
        spoken = choices.replace("'", "")
        raise UserError(
            f"{flag} takes {override} for what it shows, which is one of {spoken}",
            f"Say it: {flag} {spoken.partition(',')[0]} {override}",
        )
    raise UserError(message, "See --help and --hydra-help")
