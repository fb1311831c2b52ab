"""Hydra's command line over the root configuration, with every refusal in one line.

Overrides, `--help`, `--cfg job`, `--info`, `-m` and tab completion are Hydra's. Ours are the check of a composed
configuration before it runs (of every point of a sweep before the first one runs), errors that name file and
key, and completion that knows `python -m`. With HYDRA_FULL_ERROR=1 Hydra's own errors are shown in full.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from modules.configuration.command import one_line
from modules.configuration.errors import UserError


def compose_and_run(task: Callable[[dict[str, Any]], object], argv: list[str] | None = None) -> None:
    """Composes the configuration that the command line asks for and hands it over, checked and plain.

    Args:
        task: called with it; under `-m` once for each point of the sweep.
        argv: the command line without the program's name; by default that of this process.

    Raises:
        UserError: naming the file or override and the key at fault.
        SystemExit: Hydra has answered by itself, such as to `--help`.
    """
    from hydra._internal.utils import get_args_parser

    from modules.configuration.completion import complete

    argv = sys.argv[1:] if argv is None else argv
    parser = get_args_parser()
    parser.error = _refuse
    chosen = parser.parse_args(argv)
    if chosen.shell_completion and complete(chosen.overrides):
        return
    _run(task, argv, chosen.overrides, sweep=bool(chosen.multirun))


def _run(
    task: Callable[[dict[str, Any]], object], argv: list[str], overrides: list[str], sweep: bool
) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from modules.configuration.compose import resolve
    from modules.configuration.explain import HYDRA_ERRORS, explain
    from modules.configuration.loader import ROOT_CONFIG, VERSION_BASE
    from modules.configuration.origins import CONF

    refused: list[UserError] = []
    broken: list[Exception] = []

    @hydra.main(version_base=VERSION_BASE, config_path=str(CONF), config_name=ROOT_CONFIG)
    def job(config: DictConfig) -> None:
        try:
            task(resolve(config, list(HydraConfig.get().overrides.task)))
        except UserError as error:
            # Kept for later: Hydra would print lines of its own, and the other points of a sweep go on.
            refused.append(error)
            if sweep:
                print(one_line(error), file=sys.stderr)
        except Exception as error:
            broken.append(error)
            raise

    full_errors = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Without it Hydra prints what it caught and exits; with it the exception comes here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    program, sys.argv = sys.argv, [sys.argv[0], *argv]
    try:
        if sweep:
            check_points(overrides)
        job()
    except HYDRA_ERRORS as error:
        if full_errors or error in broken:
            raise
        raise explain(error, overrides, CONF) from error
    finally:
        sys.argv = program
        if not full_errors:
            del os.environ["HYDRA_FULL_ERROR"]
    if refused and sweep:
        raise UserError(f"{len(refused)} points of the sweep failed", "The others are done")
    if refused:
        raise refused[0]


def check_points(overrides: list[str]) -> None:
    """Composes and checks every point that a grid of overrides such as `seed=1,2` spans.

    Raises:
        UserError: the first point at fault.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from modules.configuration.compose import compose

    parsed = OverridesParser.create().parse_overrides(overrides)
    if any(override.key_or_group == "hydra/sweeper" for override in parsed):
        return  # another sweeper chooses its points as it goes
    for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
        for point in batch:
            compose(list(point))


def _refuse(message: str) -> Any:
    raise UserError(message, "See --help and --hydra-help")
