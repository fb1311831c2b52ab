"""Trains a recipe, or goes on where it was interrupted.

python -m pipelines.train recipe=lenet model.num_filters=[8,16] trainer.max_epochs=2
python -m pipelines.train -m recipe=perceptron model.hidden_sizes=[64],[128]
python -m pipelines.train plan=build/plan/lenet.yaml

With overrides it takes Hydra's command line (`--help`, `--cfg job`, `-m`) and leaves its results in the run
folder. With a plan it writes build/train/<recipe>/ as well.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.configuration.command import arguments, run


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
    """Trains what the command line asks for."""
    if any(argument.startswith("plan=") for argument in argv):
        from modules.configuration.plans.plan_files import read_plan

        given = arguments(argv, Arguments, __doc__ or "")
        plan = read_plan(given.plan)
        _train(plan, given.out / plan["name"])
    else:
        _train_overrides(argv)


def _train_overrides(argv: list[str]) -> None:
    from modules.configuration.composition.hydra_command import compose_and_run, job_key_locations

    def job(config: dict[str, Any]) -> None:
        from modules.shapes.make_plan import make_plan

        _train(make_plan(config, job_key_locations()), publish=None)

    def check(config: dict[str, Any], overrides: list[str]) -> None:
        from modules.configuration.composition.hydra_loader import origins
        from modules.configuration.composition.key_locations import CONF
        from modules.shapes.shape_check import check_phases, check_shapes

        check_phases(config, origins(overrides, CONF))
        check_shapes(config, origins(overrides, CONF))

    compose_and_run(job, argv, __doc__ or "", check)


def _train(plan: dict[str, Any], publish: Path | None) -> None:
    from rich.console import Console

    from modules.configuration.plans.identity import identities
    from modules.configuration.schema.settings import RuntimeSettings, read
    from modules.training.run_folder import RunFolder
    from modules.training.train_phases import after_phases

    console = Console(stderr=True)
    storage = Path(read(RuntimeSettings, plan["runtime"], "runtime").storage)
    shards = storage / "data" / "shards" / plan["data"]["name"]
    if plan["init_from"] or plan["teacher"]:
        from modules.registry.pretrained import with_pretrained

        plan = with_pretrained(plan, shards)
    *earlier, number = identities(plan, shards)
    folder = RunFolder(storage / "runs" / number[:16])
    with folder.held():
        if folder.finished():
            print(f"{plan['name']}: already trained, nothing to do")
        else:

            def start(plan: dict[str, Any], number: str, folder: RunFolder) -> None:
                _start(plan, number, shards, folder, console)

            start(after_phases(plan, shards, storage / "runs", start), number, folder)
        if publish is not None:
            runs = [RunFolder(folder.path.parent / one[:16]) for one in earlier]
            folder.publish(publish, dict(zip(plan["phases"] or {}, runs, strict=True)))
    summary = folder.read("summary.json") or {}
    where = folder.path if publish is None else publish
    print(f"{plan['name']}: {summary['steps']} steps in {summary['seconds_total']:.1f} s, weights in {where}")


def _start(plan: dict[str, Any], number: str, shards: Path, folder: Any, console: Any) -> None:
    from modules.shapes.shape_check import check_shapes
    from modules.training.interruption import Interrupted

    verb = "going on with" if folder.checkpoint.exists() else "training"
    print(f"{plan['name']}: {verb} {folder.path}", flush=True)
    check_shapes(plan)
    try:
        if plan["runtime"]["backend"] == "ray":
            from modules.training.ray_training import train_on_workers

            train_on_workers(plan, number, shards, folder, console)
        else:
            from modules.training.run import train

            train(plan, number, shards, folder, console)
    except Interrupted as interrupted:
        print(
            f"interrupted by {interrupted}: the same command goes on from {folder.checkpoint}",
            file=sys.stderr,
        )
        sys.exit(interrupted.exit_status)


if __name__ == "__main__":
    run(main)
