"""Charts of a sweep beside its parallel coordinates: all learning curves, and the importance of the keys."""

import math

from markupsafe import Markup

from modules.report.axes import axes
from modules.report.importance import Importances
from modules.report.parallel_coordinates import CROWD, kind_of, shades_of
from modules.report.svg import Scale, element, figure, path
from modules.report.sweep_results import SweepResults

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 280, 44, 58, 24, 38
BAR, LONGEST = 22.0, 26  # height of a bar's row, characters of its key


def learning_curves(sweep: SweepResults) -> Markup | None:
    """The metric of every trial by epochs; a ring ends a stopped trial's curve, a cross a failed one's."""
    curves = [
        (trial, [(epoch, value) for epoch, value in sorted(trial.curve.items()) if math.isfinite(value)])
        for trial in reversed(sweep.ranked())
    ]
    curves = [(trial, points) for trial, points in curves if points]
    if not curves:
        return None
    last = max(points[-1][0] for _, points in curves)
    x = Scale(1, max(last, 2), LEFT, WIDTH - RIGHT)
    y = _vertical(sweep, [[value for _, value in points] for _, points in curves])
    shades = shades_of(sweep)
    across = [(epoch, f"{epoch:.0f}") for epoch in x.ticks(8) if epoch == int(epoch) and epoch >= 1]
    name = sweep.metric + (" (logarithmic)" if y.log else "")
    marks = axes(x, y, 5, across, ("epochs", name), TOP - 12)
    lines = []
    for trial, points in curves:
        plotted = [(x(epoch), y(value)) for epoch, value in points]
        inside = [element("title", f"trial {trial.number}: {points[-1][1]:.4g} after {points[-1][0]} epochs")]
        inside += [element("path", d=path(plotted), style=f"--shade:{shades[trial.number]:.2f}")] * (
            len(plotted) > 1
        )
        end_x, end_y = plotted[-1]
        if trial.status == "FAILED":
            cross = f"M{end_x - 3},{end_y - 3}l6,6m0,-6l-6,6"
            inside.append(element("path", d=cross))
        elif trial.status == "STOPPED":
            inside.append(element("circle", cx=end_x, cy=end_y, r=2.2, class_="ring"))
        elif trial is sweep.best or len(plotted) == 1:
            inside.append(element("circle", cx=end_x, cy=end_y, r=3.5 if trial is sweep.best else 2))
        lines.append(element("a", *inside, href=f"#trial-{trial.number}", class_=kind_of(sweep, trial)))
    clip = element(
        "rect", x=LEFT - 5, y=TOP - 5, width=WIDTH - RIGHT - LEFT + 10, height=HEIGHT - BOTTOM - TOP + 10
    )
    marks.append(element("clipPath", clip, id="plot"))
    marks.append(element("g", *lines, clip_path="url(#plot)", class_="crowd" if len(lines) > CROWD else None))
    best = sweep.best
    if best is not None and best.curve and best.value is not None:
        height = min(max(y(best.curve[max(best.curve)]), TOP), HEIGHT - BOTTOM)
        marks.append(
            element("text", f"{best.value:.4g}", x=x(max(best.curve)) + 8, y=height + 4, class_="best-name")
        )
    label = f"{sweep.metric} of {len(curves)} trials over up to {last} epochs"
    return figure(WIDTH, HEIGHT, label, *marks)


def importance_bars(found: Importances) -> Markup:
    """One bar a key."""
    left, right = 160.0, 40.0
    height = BAR * len(found.of) + 6
    x = Scale(0, max(1.0, *found.of.values()), left, WIDTH - right)
    marks = []
    for row, (key, value) in enumerate(found.of.items()):
        middle = BAR * row + BAR / 2 + 3
        name = key if len(key) <= LONGEST else "…" + key[-LONGEST + 1 :]
        marks.append(element("text", name, x=left - 9, y=middle + 4, text_anchor="end", class_="name"))
        marks.append(
            element("rect", x=left, y=middle - 6, width=WIDTH - right - left, height=12, class_="track")
        )
        marks.append(
            element("rect", x=left, y=middle - 6, width=max(x(value) - left, 1), height=12, class_="bar")
        )
        marks.append(element("text", f"{value:.2f}", x=WIDTH - right + 8, y=middle + 4))
    told = ", ".join(f"{key} {value:.2f}" for key, value in found.of.items())
    return figure(WIDTH, height, f"Importance by {found.method}: {told}", *marks)


def _vertical(sweep: SweepResults, curves: list[list[float]]) -> Scale:
    """From what trials reach, not from where hopeless ones wander: those leave the frame."""
    best = sweep.best
    reached = sorted((max if sweep.mode == "max" else min)(values) for values in curves)
    starts = sorted(values[0] for values in curves)
    wanted = [*reached[len(reached) // 20 : len(reached) - len(reached) // 20], starts[len(starts) // 2]]
    wanted += [value for value in best.curve.values() if math.isfinite(value)] if best is not None else []
    low, high = min(wanted), max(wanted)
    if low > 0 and high / low > 10:
        return Scale(low / 1.1, high * 1.1, HEIGHT - BOTTOM, TOP, log=True)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return Scale(low - margin, high + margin, HEIGHT - BOTTOM, TOP)
