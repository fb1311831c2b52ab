"""The table of a network: brick, input, output, parameters, multiply-adds; then what training will take."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modules.configuration.plans.training_cost import Cost
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
