"""What the yard costs where images have boxes and masks.

python -m benchmarks.vision

(a) training FCN-8s and SSD on shards of `scenes` by the yard, against a plain torch loop with the same net,
loss and optimiser on samples that lie in memory; (b) reading scenes with their boxes and masks from shards,
shuffled, against gathering the same, padded, from memory; (c) non-maximum suppression of 1,000 boxes. Sides
take turns, and medians are compared; CPU time of one thread, as the machine may be busy.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.plans import planned
from benchmarks.training import by_yard
from modules.bricks.boxes import box_overlaps
from modules.configuration.command import arguments, run
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.datamodules.ragged import EndToEnd
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.generation.detections import suppress
from modules.tracking.tracker import Tracker
from modules.training.fit import initial_task
from modules.training.runs.freed_memory import keep_freed_memory

RECIPES, TARGET = ("fcn_8s", "ssd"), 0.95
NUM_BOXES = 1000


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: times that each side runs, after one that warms up.
        steps: of each training.
        data: the shards of scenes.
    """

    rounds: int = 3
    steps: int = 20
    data: Path = Path("data/shards/scenes")


def by_hand(plan: Plan, fields: dict[str, Tensor]) -> float:
    """The loop that one writes without any framework, in seconds of CPU time."""
    task = initial_task(plan).train()
    optimizer = build(plan.optimizer, params=task.model.parameters())
    schedule = build(plan.schedule)
    size, num_steps = plan.trainer.batch_size, plan.trainer.max_steps
    assert num_steps is not None
    started = time.process_time()
    order = torch.randperm(len(fields["image"]))
    for step, rows in enumerate(order[: num_steps * size].split(size)):
        optimizer.param_groups[0]["lr"] = plan.optimizer["lr"] * schedule(step / num_steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.trainer.precision == "bf16-mixed"):
            loss = task.loss({name: values[rows] for name, values in fields.items()}).quotient
        optimizer.zero_grad()
        loss.backward()
        if plan.trainer.gradient_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(task.parameters(), plan.trainer.gradient_clip_norm)
        optimizer.step()
    return time.process_time() - started


def training(chosen: Arguments, split: ShardSplit, fields: dict[str, Tensor]) -> None:
    """Part (a)."""
    print("| training | by hand, samples/s | yard on shards | ratio | aimed at |\n|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        settings = planned([]).configuration["tracking"] | {
            "uri": f"sqlite:///{folder}/mlflow.db",
            "artifact_root": folder,
        }
        about = {"name": "benchmark", "identity": "0", "tags": {}}
        tracker = Tracker(Path(folder) / "tracking", settings, about)
        for recipe in RECIPES:
            plan = planned([f"recipe={recipe}", f"trainer.max_steps={chosen.steps}",
                            f"trainer.block_steps={chosen.steps}", "runtime.accelerator=cpu"])  # fmt: skip
            size = plan.trainer.batch_size
            seconds: tuple[list[float], list[float]] = ([], [])
            for _ in range(chosen.rounds + 1):
                seconds[0].append(by_hand(plan, fields))
                loader = TrainingLoader(split, size, chosen.steps, seed=0, max_steps=chosen.steps)
                seconds[1].append(by_yard(plan, loader, tracker, time.process_time))
            hand, yard = (chosen.steps * size / statistics.median(taken[1:]) for taken in seconds)
            print(f"| {recipe} | {hand:.1f} | {yard:.1f} | {yard / hand:.3f} | {TARGET} |", flush=True)
        tracker.finish(wait_s=60.0)


def reading(chosen: Arguments, split: ShardSplit, fields: dict[str, Tensor]) -> None:
    """Part (b)."""
    arrays = {name: values.numpy() for name, values in fields.items()}
    rng = np.random.default_rng(0)

    def from_shards(numbers: np.ndarray) -> None:
        for values in split.read_block(numbers).values():
            if isinstance(values, EndToEnd):
                list(values.batches())

    def from_memory(numbers: np.ndarray) -> None:
        for values in arrays.values():
            values[numbers]

    speeds: dict[str, list[float]] = {"shards": [], "memory": []}
    for _ in range(5 * chosen.rounds + 1):
        numbers = rng.permutation(split.num_samples)[:1600].reshape(-1, 16)
        for name, side in (("shards", from_shards), ("memory", from_memory)):
            speeds[name].append(numbers.size / _seconds(lambda side=side, numbers=numbers: side(numbers)))
    shards, memory = (statistics.median(taken[1:]) for taken in speeds.values())
    print("\n| reading scenes, samples/s | from shards | from memory | ratio | aimed at |")
    print("|---|---:|---:|---:|---:|")
    print(
        f"| blocks of 100 batches of 16 | {shards:,.0f} | {memory:,.0f} | {shards / memory:.2f} | {TARGET} |"
    )


def suppression(chosen: Arguments) -> None:
    """Part (c)."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(NUM_BOXES, 2, generator=generator) * 128
    side = torch.rand(NUM_BOXES, 2, generator=generator) * 40 + 4
    boxes = torch.cat([centre - side / 2, centre + side / 2], dim=1)[None]
    print(f"\n| suppression of {NUM_BOXES:,} boxes | ms | one by one, ms | aimed at |\n|---|---:|---:|---:|")
    for num_classes in (20, 1):
        classes = torch.randint(0, num_classes, (1, NUM_BOXES), generator=generator)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(10 * chosen.rounds + 1):
            taken[0].append(_seconds(lambda classes=classes: suppress(boxes, classes, 0.45)))
            taken[1].append(_seconds(lambda classes=classes: _one_by_one(boxes[0], classes[0])))
        fast, slow = (1e3 * statistics.median(seconds[1:]) for seconds in taken)
        print(f"| of {num_classes} classes | {fast:.2f} | {slow:.1f} | 2 |")


def _one_by_one(boxes: Tensor, classes: Tensor) -> list[int]:
    """The textbook's loop: the best box, then all that are left but those that overlap it."""
    left, kept = torch.arange(len(boxes)), []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        overlaps = box_overlaps(boxes[first][None], boxes[left])[0]
        left = left[(overlaps <= 0.45) | (classes[left] != classes[first])]
    return kept


def _seconds(side: Callable[[], object]) -> float:
    started = time.process_time()
    side()
    return time.process_time() - started


def main(argv: list[str]) -> None:
    """Measures all parts and prints tables in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.set_num_threads(1)
    keep_freed_memory()
    split = ShardSet.open(chosen.data).split("train")
    arrays = split.read(np.arange(split.num_samples), index=False)
    fields = {name: torch.from_numpy(array) for name, array in arrays.items()}
    suppression(chosen)
    reading(chosen, split, fields)
    training(chosen, split, fields)


if __name__ == "__main__":
    run(main)
