"""The table of a network: brick, input, output, parameters, multiply-adds; then what training will take."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modules.configuration.plans.training_cost import Cost
from modules.shapes.calls import Node
from modules.shapes.shape_check import ShapeReport

_BYTES = ("B", "kB", "MB", "GB", "TB")


def shape_table(report: ShapeReport, multiply_adds_per_s: float | None = None) -> RenderableType:
    """What `python -m pipelines.plan recipe=...` prints.

    Args:
        report: of `check_shapes`.
        multiply_adds_per_s: arithmetic of the machine, for the time of a step; without it no time is given.
    """
    table = Table(
        title=report.name or None, title_style="bold", show_footer=True, header_style="bold", expand=False
    )
    table.add_column("brick", "total", overflow="fold")
    table.add_column("class", style="cyan", overflow="fold")
    table.add_column("input", overflow="fold")
    table.add_column("output", overflow="fold")
    table.add_column("parameters", f"{report.cost.num_parameters:,}", justify="right", no_wrap=True)
    table.add_column("multiply-adds", f"{report.cost.multiply_adds:,}", justify="right", no_wrap=True)
    for row in report.rows:
        calls = f" (runs {row.num_calls}×)" if row.num_calls > 1 else ""
        table.add_row(
            Text(row.path.removeprefix("model.")),
            f"{row.brick}{calls}",
            "\n".join(row.inputs),
            "\n".join(row.outputs),
            f"{row.num_parameters:,}" if row.num_parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
        )
    return Group(table, cost_table(report.cost, multiply_adds_per_s))


def network_text(report: ShapeReport, most: int = 12) -> str:
    """The network in a few lines: its bricks in the order in which they are passed, a line for each branch.

    Args:
        report: of `check_shapes`.
        most: lines; what is left out is said.
    """
    after: dict[Node, list[Node]] = {}
    before: dict[Node, list[Node]] = {}
    for edge in report.edges:
        after.setdefault(edge.source, []).append(edge.target)
        before.setdefault(edge.target, []).append(edge.source)

    def follows_alone(node: Node) -> bool:
        """Whether it goes on with the line of the node before it."""
        return len(before.get(node, ())) == 1 and len(after[before[node][0]]) == 1

    lines = []
    for start in dict.fromkeys([*after, *before]):
        if follows_alone(start):
            continue
        chain = [start]
        while len(after.get(chain[-1], ())) == 1 and follows_alone(after[chain[-1]][0]):
            chain.append(after[chain[-1]][0])
        following = after.get(chain[-1], [])
        if len(chain) > 1 or following:
            lines.append(" → ".join(map(_called, [*chain, *following[:1]])))
            lines += [f"{_called(chain[-1])} → {_called(node)}" for node in following[1:]]
    left = len(lines) - most
    shown = lines[:most] + (
        [f"and {left} more branches; as an image: python -m pipelines.plan --all"] if left > 0 else []
    )
    return "\n".join(f"{'network' if not number else '':<8} {line}" for number, line in enumerate(shown))


def _called(node: Node) -> str:
    return node.path.removeprefix("model.") if node.kind == "brick" else node.name.replace("_", " ")


def cost_table(cost: Cost, multiply_adds_per_s: float | None = None) -> Table:
    """The estimates, each with what it is made of."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    parts = {
        "weights": cost.weight_bytes,
        "optimizer": cost.optimizer_bytes,
        f"{cost.batch_size:,} samples forward and backward": cost.working_bytes,
    }
    made_of = ", ".join(f"{name} {'?' if size is None else bytes_text(size)}" for name, size in parts.items())
    table.add_row("memory of a step", f"about {bytes_text(cost.memory_bytes)}", made_of)
    table.add_row(
        "arithmetic of a step",
        f"{cost.step_multiply_adds / 1e9:,.3g} G multiply-adds",
        f"{cost.batch_size:,} × (forward {cost.multiply_adds:,} + backward {cost.backward_multiply_adds:,})",
    )
    if multiply_adds_per_s:
        seconds = cost.step_multiply_adds / multiply_adds_per_s
        rate = f"at {multiply_adds_per_s / 1e9:,.0f} G/s, which one large matrix product reaches here"
        table.add_row("time of a step", f"at least {seconds * 1e3:,.3g} ms", rate)
    return table


def bytes_text(num_bytes: int) -> str:
    """A size in the unit that suits it: 23.7 MB."""
    size, units = float(num_bytes), iter(_BYTES)
    unit = next(units)
    while size >= 1000 and unit != _BYTES[-1]:
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}"
