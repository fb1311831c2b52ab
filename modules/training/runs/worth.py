"""What a run was worth: where its time went, what it held for how long, and how well it used its device."""

from typing import Any

import torch

from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.execution_settings import RuntimeSettings
from modules.training.monitoring.model_flops import dtype_of, model_flops, peak_flops
from modules.training.runs.sessions import SessionTimes


def held(runtime: RuntimeSettings) -> tuple[float, float]:
    """The cores and GPUs that a training holds: those of its workers, or its threads and its device.

    Args:
        runtime: of the plan, whose number of threads is set.
    """
    if runtime.backend == "ray":
        each = runtime.cpus_per_worker, runtime.gpus_per_worker
        return runtime.num_workers * each[0], runtime.num_workers * each[1]
    on_gpu = runtime.accelerator in ("gpu", "cuda")
    on_gpu = on_gpu or (runtime.accelerator == "auto" and torch.cuda.is_available())
    return float(torch.get_num_threads()), float(on_gpu)


def worth_of(plan: Plan, times: SessionTimes, alone: bool) -> dict[str, Any]:
    """Time and money as a summary holds them.

    Args:
        plan: of the run.
        times: of all its sessions.
        alone: whether all that is paid for is held for this run; trials of a sweep share it.
    """
    figures: dict[str, Any] = {
        "wall_seconds": round(times.wall_seconds, 3),
        "seconds_by_part": {part: round(value, 3) for part, value in times.seconds.items()},
        "goodput": round(times.goodput, 4),
        "cpu_hours": round(times.cpu_hours, 6),
        "gpu_hours": round(times.gpu_hours, 6),
    }
    price = plan.runtime.price_per_hour
    if price is not None and alone:
        figures["money"] = round(times.wall_seconds / 3600 * price, 6)
    return figures


def utilisation(
    plan: Plan, times: SessionTimes, one_pass_a_step: bool | None, device: torch.device, num_workers: int
) -> dict[str, float]:
    """`mfu` and `peak_flops_measured`, the latter of all workers together; empty where it would be wrong.

    So it is where the multiply-adds of a step are not three times those of a forward pass (several turns, a
    closure, frozen parts) or differ from sample to sample.

    Args:
        plan: of the run.
        times: of all its sessions.
        one_pass_a_step: see `modules.training.monitoring.wall_time.WallTime`.
        device: that trained.
        num_workers: that trained together, each on such a device.
    """
    ragged = any(isinstance(size, str) for field in plan.data.fields.values() for size in field.shape)
    multiply_adds = plan.cost.multiply_adds
    known = one_pass_a_step and multiply_adds > 0 and not ragged and not plan.fine_tuning.frozen_parts
    if not known or not times.num_steps or times.training_seconds <= 0:
        return {}
    peak = peak_flops(device, dtype_of(plan.trainer.precision))
    if peak is None:
        return {}
    samples_per_s = times.num_steps * plan.trainer.batch_size / times.training_seconds
    peak *= num_workers
    return {
        "mfu": float(f"{model_flops(multiply_adds) * samples_per_s / peak:.4g}"),
        "peak_flops_measured": float(f"{peak:.4g}"),
    }


def tracked(figures: dict[str, Any]) -> dict[str, float]:
    """The figures of `worth_of` and `utilisation` as metrics of the tracker."""
    names = ("wall_seconds", "goodput", "cpu_hours", "gpu_hours", "money", "mfu", "peak_flops_measured")
    metrics = {f"worth/{name}": float(figures[name]) for name in names if name in figures}
    parts = figures.get("seconds_by_part", {})
    return metrics | {f"worth/seconds/{part}": float(value) for part, value in parts.items()}
