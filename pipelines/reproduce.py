"""Trains a model once more from what is recorded of it, and compares the weights bit by bit.

python -m pipelines.reproduce model=lenet@champion
python -m pipelines.reproduce model=runs/1a2b3c4d5e6f7081
python -m pipelines.reproduce model=build/train/lenet

Its code is the working tree's where that says the same, else its commit's; data and models that it began from
are read where they lie. Exit status: 0 where every weight is the same, 1 where one differs.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from modules.configuration.command import arguments, run


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        model: name@champion, name@version, or a folder of runs/ or build/train/.
        out: folder for code and results, one below it for each model.
        tracking: where the registry is: a file of conf/tracking or an MLflow URI.
        storage: folder that holds data/, runs/ and build/.
    """

    model: str
    out: str = "build/reproduce"
    tracking: str = "sqlite"
    storage: str = "."


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.registry.rebuilding import (
        bring_code,
        machine_differences,
        recorded,
        train_again,
        weight_differences,
    )
    from modules.weights.state_dict import read_state_dict

    with recorded(chosen.model, chosen.tracking) as model:
        out = Path(chosen.out) / (model.identity[:16] or model.name)
        shutil.rmtree(out, ignore_errors=True)
        code = out / "code"
        print(f"{model.name}: code {bring_code(model, code)}", flush=True)
        differences = machine_differences(model)
        for line in differences:
            print(f"{model.name}: {line}", flush=True)
        weights = train_again(model, code, out, Path(chosen.storage))
        apart = weight_differences(model.weights, read_state_dict(weights, ""))
        if not apart:
            print(f"{model.name}: reproduced: all {len(model.weights)} tensors are the same bit by bit")
            return 0
        for line in apart[:10]:
            print(f"{model.name}: {line}")
        hint = "; what differs of the machine is above" if differences else ""
        print(f"{model.name}: not reproduced: {len(apart)} of {len(model.weights)} tensors differ{hint}")
        return 1


if __name__ == "__main__":
    run(main)
