"""Whether this machine has what one trial asks for; a cluster is asked once it is there."""

import os

from modules.configuration.errors import UserError
from modules.configuration.schema.execution_settings import RuntimeSettings


def check_resources(runtime: RuntimeSettings) -> None:
    """Refuses what this machine never has, where Ray is to be started on it.

    Raises:
        UserError: a trial asks for more CPUs or GPUs than there are, or for a number that changes.
    """
    if runtime.min_workers is not None:
        raise UserError(
            f"runtime.min_workers={runtime.min_workers}: a trial always has runtime.num_workers workers",
            "Set it to null; a sweep itself takes nodes that come, and goes on without those that leave",
        )
    if runtime.address is not None:
        return
    wanted = {"cpus": runtime.cpus_per_worker, "gpus": runtime.gpus_per_worker}
    for kind, each in wanted.items():
        number = each * runtime.num_workers
        if number and number > (there := _NUMBER[kind]()):
            times = f" x runtime.num_workers={runtime.num_workers}" if runtime.num_workers > 1 else ""
            named = kind[:-1].upper() + "s" * (number != 1)
            raise UserError(
                f"a trial asks for {number:g} {named} and this machine has {there}"
                f" (runtime.{kind}_per_worker={each:g}{times})",
                f"Lower runtime.{kind}_per_worker, or name a cluster: runtime.address=host:port",
            )


def num_gpus() -> int:
    """The GPUs that torch sees."""
    import torch

    return torch.cuda.device_count()


_NUMBER = {"cpus": lambda: os.cpu_count() or 1, "gpus": num_gpus}
