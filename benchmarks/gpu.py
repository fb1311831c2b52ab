"""What a GPU makes of the yard's networks: one command of a few minutes, which needs no data.

python -m benchmarks.gpu
python -m benchmarks.gpu device=cpu quick=true     whether it runs at all, on small sizes

Each row is a training step (forward, backward, update) on made samples that lie on the device, in bfloat16
where nothing else is said; a side that is compared takes turns with the yard's, and medians are compared.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from benchmarks.plans import planned
from modules.bricks.md_lstm_layer import MDLSTMLayer
from modules.bricks.recurrent_layer import BidirectionalLayer
from modules.configuration.command import arguments, run
from modules.configuration.errors import UserError
from modules.models.convolutional.resnet import ResNet
from modules.models.feedforward.perceptron import Perceptron
from modules.tasks.task import Task
from modules.training.fit import initial_task
from modules.training.runs.training_errors import explained

Step = Callable[[], object]


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        device: cuda, or cpu to try the script.
        rounds: turns that count, after one that warms up.
        quick: small sizes, few steps.
    """

    device: Literal["cuda", "cpu"] = "cuda"
    rounds: int = 5
    quick: bool = False


class Bench:
    """Rows of the table, and what they are measured with.

    Args:
        chosen: from the command line.
    """

    def __init__(self, chosen: Arguments) -> None:
        self.device = torch.device(chosen.device)
        self.rounds, self.quick = chosen.rounds, chosen.quick

    def size(self, full: int, small: int) -> int:
        """A size, smaller where the script is only tried."""
        return small if self.quick else full

    def seconds(self, *sides: Step) -> list[float]:
        """The median seconds of a call of each side, in turns."""
        calls = self.size(20, 1)
        taken: list[list[float]] = [[] for _ in sides]
        for _ in range(self.rounds + 1):
            for side, seconds in zip(sides, taken, strict=True):
                self._wait()
                started_s = time.perf_counter()
                for _ in range(calls):
                    side()
                self._wait()
                seconds.append((time.perf_counter() - started_s) / calls)
        return [statistics.median(seconds[1:]) for seconds in taken]

    def row(self, what: str, measured: str, aimed_at: str = "") -> None:
        print(f"| {what} | {measured} | {aimed_at} |", flush=True)

    def training(self, net: nn.Module, loss: Callable[[], Tensor]) -> Step:
        """A step of AdamW in mixed precision."""
        fused = self.device.type == "cuda"
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=fused)

        def step() -> None:
            optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16):
                found = loss()
            found.backward()
            optimizer.step()

        return step

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def products(bench: Bench) -> float:
    """The card's own speed: floating-point operations a second of a matrix product."""
    size = bench.size(8192, 256)
    one, other = (torch.randn(size, size, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    (seconds,) = bench.seconds(lambda: one @ other)
    speed = 2 * size**3 / seconds
    bench.row(f"matrix product of {size}x{size}", f"{speed / 1e12:,.1f} TFLOP/s")
    return speed


def perceptron(bench: Bench, peak: float) -> None:
    width, batch = bench.size(8192, 64), bench.size(16384, 32)
    net = Perceptron((1, 1, width), 10, (width, width, width)).to(bench.device)
    images = torch.rand(batch, 1, 1, width, device=bench.device)
    labels = torch.randint(10, (batch,), device=bench.device)
    (seconds,) = bench.seconds(bench.training(net, lambda: nn.functional.cross_entropy(net(images), labels)))
    weights = sum(parameter.numel() for parameter in net.parameters() if parameter.ndim == 2)
    speed = 6 * weights * batch / seconds
    share = f"{speed / 1e12:,.1f} TFLOP/s, {speed / peak:.2f} of the product"
    bench.row(f"perceptron, 3 x {width}, batch {batch}", share, "0.60")


def recipes(bench: Bench) -> None:
    """Networks of 28x28 images through their own tasks."""
    batch = bench.size(4096, 16)
    for recipe in ("lenet", "rbm"):
        task = initial_task(planned([f"recipe={recipe}", "tracking=none"])).to(bench.device).train()
        made = {
            "image": torch.randint(256, (batch, 1, 28, 28), device=bench.device, dtype=torch.uint8),
            "label": torch.randint(10, (batch,), device=bench.device),
        }
        (seconds,) = bench.seconds(bench.training(task.model, _loss(task, made)))
        bench.row(f"{recipe}, batch {batch}", f"{batch / seconds:,.0f} images/s")


def _loss(task: Task, batch: dict[str, Tensor]) -> Callable[[], Tensor]:
    return lambda: task.loss(batch).quotient


def resnet(bench: Bench) -> None:
    """Of basic blocks, 34 layers: the yard has no bottlenecks."""
    side, batch = bench.size(224, 32), bench.size(256, 2)
    blocks, filters = ([3, 4, 6, 3], [64, 128, 256, 512]) if not bench.quick else ([1], [8])
    net = ResNet((3, side, side), 1000, blocks, filters, stem="large").to(bench.device)
    net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    images = torch.rand(batch, 3, side, side, device=bench.device).to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,), device=bench.device)
    (seconds,) = bench.seconds(bench.training(net, lambda: nn.functional.cross_entropy(net(images), labels)))
    bench.row(
        f"ResNet-34, {side}x{side}, batch {batch}", f"{batch / seconds:,.0f} images/s", "5,500 of ResNet-50"
    )


def recurrent(bench: Bench) -> None:
    batch, length, size = bench.size(64, 2), bench.size(200, 5), bench.size(512, 8)
    ours = BidirectionalLayer("lstm", size, size).to(bench.device)
    theirs = nn.LSTM(size, size, batch_first=True, bidirectional=True).to(bench.device)
    inputs = torch.randn(batch, length, size, device=bench.device)
    lengths = torch.full((batch,), length, device=bench.device)
    seconds = bench.seconds(
        bench.training(ours, lambda: ours(inputs, lengths).float().square().mean()),
        bench.training(theirs, lambda: theirs(inputs)[0].float().square().mean()),
    )
    what = f"bidirectional LSTM, {size} units, {length} steps, batch {batch}"
    bench.row(
        what,
        f"{1e3 * seconds[0]:.1f} ms, cuDNN's {1e3 * seconds[1]:.1f} ms: {seconds[1] / seconds[0]:.2f}",
        "0.97",
    )
    side, batch = bench.size(64, 4), bench.size(16, 2)
    layer = MDLSTMLayer(2, 4, 16).to(bench.device)
    grid = torch.randn(batch, side, side, 4, device=bench.device)
    (taken,) = bench.seconds(bench.training(layer, lambda: layer(grid).float().square().mean()))
    bench.row(f"MDLSTM, four directions of 16 units, {side}x{side}, batch {batch}", f"{1e3 * taken:.1f} ms")


def copies(bench: Bench) -> None:
    """From the host's memory, pinned or not."""
    if bench.device.type != "cuda":
        return
    pageable = torch.empty(2**28, dtype=torch.uint8)
    pinned = pageable.pin_memory()
    seconds = bench.seconds(
        lambda: pinned.to(bench.device, non_blocking=True), lambda: pageable.to(bench.device)
    )
    speeds = [pageable.numel() / taken / 1e9 for taken in seconds]
    bench.row("copies to the card", f"pinned {speeds[0]:.1f} GB/s, pageable {speeds[1]:.1f} GB/s")


def collectives(bench: Bench) -> None:
    """A group of one process: whether NCCL and sharded parameters work at all here, and what they cost."""
    from torch.distributed.fsdp import fully_shard

    backend = "nccl" if bench.device.type == "cuda" else "gloo"
    store = distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        width, batch = bench.size(4096, 16), bench.size(4096, 4)
        plain, sharded = (Perceptron((1, 1, width), 10, (width, width)).to(bench.device) for _ in range(2))
        fully_shard(sharded, mesh=distributed.device_mesh.init_device_mesh(bench.device.type, (1,)))
        images = torch.rand(batch, 1, 1, width, device=bench.device)
        labels = torch.randint(10, (batch,), device=bench.device)

        def step(net: Any) -> Step:
            return bench.training(net, lambda: nn.functional.cross_entropy(net(images), labels))

        seconds = bench.seconds(step(sharded), step(plain))
        ratio = f"{1e3 * seconds[0]:.2f} ms, plain {1e3 * seconds[1]:.2f} ms"
        bench.row(f"fully_shard over one process ({backend}), 2 x {width}", ratio)
    finally:
        distributed.destroy_process_group()


def out_of_memory(bench: Bench) -> None:
    """The line that a user sees."""
    if bench.device.type != "cuda":
        return
    try:
        with explained(1024):
            torch.empty(2**50, dtype=torch.uint8, device=bench.device)
    except UserError as error:
        bench.row("out of memory is told as", f"`{error}`")


def main(argv: list[str]) -> None:
    """Measures all and prints a table in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no GPU here", "Try the script: device=cpu quick=true")
    bench = Bench(chosen)
    card = torch.cuda.get_device_name() if chosen.device == "cuda" else "the CPU"
    print(f"{card}, torch {torch.__version__}\n\n| what | measured | aimed at |\n|---|---|---|")
    peak = products(bench)
    perceptron(bench, peak)
    for part in (recipes, resnet, recurrent, copies, collectives, out_of_memory):
        part(bench)


if __name__ == "__main__":
    run(main)
