"""Trains a recipe, or goes on where it was interrupted.

python -m pipelines.train recipe=lenet model.num_filters=[8,16] trainer.max_epochs=2
python -m pipelines.train -m recipe=perceptron model.hidden_sizes=[64],[128]
python -m pipelines.train plan=build/plan/lenet.yaml

With overrides it takes Hydra's command line (`--help`, `--cfg job`, `-m`) and leaves its results in the run
folder. With a plan it writes build/train/<recipe>/ as well.
"""

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from modules.configuration.command import arguments, run

if TYPE_CHECKING:
    from modules.configuration.plans.run_plan import Plan
    from modules.training.runs.run_folder import RunFolder
    from modules.training.runs.train_phases import TrainOne
from modules.configuration.plans.run_plan import Plan

_BEGAN_S: list[float] = []
"""When this process began, until a training has taken it as its own start."""


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        plan: the recipe's plan, build/plan/<recipe>.yaml.
        out: folder that takes the results, under the recipe's name.
    """

    plan: Path
    out: Path = Path("build/train")


def main(argv: list[str]) -> None:
    """Trains what the command line asks for; nothing where it asks for nothing."""
    if not argv:
        argv = ["--help"]
    if any(argument.startswith("plan=") for argument in argv):
        from modules.configuration.plans.plan_files import heard_here, read_plan

        given = arguments(argv, Arguments, __doc__ or "")
        plan = read_plan(given.plan)
        told = heard_here(plan.runtime).on_failure
        _train(plan, given.out / plan.name, shapes_checked=False, on_failure=told)
    else:
        _train_overrides(argv)


def _train_overrides(argv: list[str]) -> None:
    from modules.configuration.composition.hydra_command import compose_and_run, job_key_locations

    def job(config: dict[str, Any]) -> None:
        from modules.shapes.make_plan import make_plan, plan_without_costs

        plan = plan_without_costs(config)
        # Who asks again for what is there need not wait for torch.
        if _is_trained(plan):
            _train(plan, shapes_checked=False)
        else:
            plan = make_plan(config, job_key_locations())
            _train(plan, on_failure=plan.runtime.on_failure)

    def check(config: dict[str, Any], overrides: list[str]) -> None:
        from modules.configuration.composition.hydra_loader import key_locations
        from modules.configuration.composition.key_locations import CONF
        from modules.shapes.shape_check import check_all_shapes

        check_all_shapes(config, key_locations(overrides, CONF))

    compose_and_run(job, argv, __doc__ or "", check)


def _is_trained(plan: "Plan") -> bool:
    """Whether a run of this plan, which begins from nothing else, lies there as today's code gives it."""
    from modules.configuration.plans.code_rings import carrying_code
    from modules.configuration.plans.identity import identity
    from modules.training.runs.replay import is_current
    from modules.training.runs.run_folder import RunFolder

    if plan.init_from or plan.teacher or not (plan.shards / "shards.json").is_file():
        return False
    folder = RunFolder(plan.storage / "runs" / identity(plan, plan.shards)[:16])
    return folder.finished() and is_current(folder, carrying_code())


def _train(
    plan: "Plan", publish: Path | None = None, shapes_checked: bool = True, on_failure: str | None = None
) -> None:
    from modules.configuration.plans.code_rings import carrying_code
    from modules.configuration.plans.identity import identities
    from modules.training.runs.replay import is_current
    from modules.training.runs.run_folder import RunFolder
    from modules.training.runs.train_runs import train_runs

    if plan.init_from or plan.teacher:
        from modules.registry.pretrained import with_pretrained

        plan = with_pretrained(plan, plan.shards)
    numbers = identities(plan, plan.shards)
    folders = [RunFolder(plan.storage / "runs" / number[:16]) for number in numbers]
    last = folders[-1]
    # Who reads what is there need not be able to write to it.
    trained = last.finished() and is_current(last, carrying_code())
    with nullcontext() if trained else last.held():
        train_runs(plan, numbers, folders, _checked(plan, shapes_checked, on_failure))
        if publish is not None:
            last.publish(publish, dict(zip(plan.before, folders, strict=False)))
    summary = last.read("summary.json") or {}
    where = last.path if publish is None else publish
    print(f"{plan.name}: {summary['steps']} steps in {summary['seconds_total']:.1f} s, weights in {where}")
    if publish is None:
        print(f"test score: python -m pipelines.evaluate run={where}")


def _checked(whole: "Plan", shapes_checked: bool, on_failure: str | None) -> "TrainOne":
    """Trains a run of a plan; before the first one the shapes of all of them are checked, unless they
    were. A failure is told."""
    checked = shapes_checked

    def train_one(plan: "Plan", number: str, folder: "RunFolder") -> None:
        from rich.console import Console

        from modules.training.runs.failure_notice import tell_of_failure
        from modules.training.runs.interruption import Interrupted
        from modules.training.runs.start import start

        nonlocal checked
        if not checked:
            from modules.shapes.shape_check import check_all_shapes

            check_all_shapes(whole.configuration)
            checked = True
        verb = "going on with" if folder.checkpoint.exists() else "training"
        print(f"{plan.name}: {verb} {folder.path}", flush=True)
        try:
            start(plan, number, folder, Console(stderr=True), began_s=_BEGAN_S.pop() if _BEGAN_S else None)
        except Interrupted as interrupted:
            print(
                f"interrupted by {interrupted}: the same command goes on from {folder.checkpoint}",
                file=sys.stderr,
            )
            sys.exit(interrupted.exit_status)
        except Exception as error:
            tell_of_failure(on_failure, "training", folder.path, plan.name, error)
            raise

    return train_one


if __name__ == "__main__":
    _BEGAN_S.append(psutil.Process().create_time())
    run(main)
