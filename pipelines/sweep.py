"""Searches a space of conf/space on Ray, or goes on where it was interrupted.

python -m pipelines.sweep space=lenet                          any overrides may follow, such as runtime=...
python -m pipelines.sweep plan=build/plan/spaces/lenet.yaml    leaves build/sweep/<space>/ as well

A space of one's own needs no file: python -m pipelines.train -m hydra/sweeper=ray ...
"""

import shutil
from dataclasses import replace
from pathlib import Path

from modules.configuration.command import run
from modules.configuration.errors import UserError
from modules.configuration.names import suggest

BUILD = Path("build/sweep")
RESULTS = ("best.yaml", "ledger.jsonl", "index.html")


def main(argv: list[str]) -> None:
    """Sweeps the space that the command line names."""
    if {"--help", "-h"} & set(argv):
        print((__doc__ or "").strip())
        return
    first, *others = argv or [""]
    kind, _, value = first.partition("=")
    if kind == "space" and value:
        _sweep(value, others)
    elif kind == "plan" and value:
        _sweep_plan(Path(value), others)
    else:
        raise UserError(f"{first!r} names no space", "Begin with space=... or plan=...; see --help")


def _sweep(name: str, others: list[str]) -> None:
    from modules.configuration.composition.conf_contents import names, space_overrides

    if name not in names("space"):
        raise UserError(f"there is no space {name!r}", suggest(name, names("space")))
    from modules.sweeps.control.sweep_command import sweep
    from modules.sweeps.control.sweep_setup import set_up

    sweep(set_up([*space_overrides(name), *others]))


def _sweep_plan(path: Path, others: list[str]) -> None:
    from modules.configuration.yaml_files import read_yaml

    plan = read_yaml(path)
    if not isinstance(plan.get("overrides"), list) or "search" not in plan:
        raise UserError(f"{path} is no plan of a space", "Write it: python -m pipelines.plan --all")
    from modules.configuration.names import check_name
    from modules.configuration.plans.plan_files import heard_here
    from modules.sweeps.control.sweep_command import sweep
    from modules.sweeps.control.sweep_setup import as_plain, complete, draft

    out = BUILD / check_name("space", plan.get("name"))
    drafted = draft([*map(str, plan["overrides"]), *others])
    if as_plain(drafted.search) != plan["search"]:
        raise UserError(
            f"{path} is not what conf/ and the code say now", "Write it: python -m pipelines.plan --all"
        )
    ready = complete(drafted)
    if not any(override.startswith("runtime.on_failure=") for override in others):
        ready = replace(ready, runtime=heard_here(ready.runtime))
    try:
        sweep(ready)
    finally:
        _publish(ready.folder, out)


def _publish(folder: Path, out: Path) -> None:
    """Copies what there is of the results: a failed trial takes nothing from the others."""
    out.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)


if __name__ == "__main__":
    run(main)
