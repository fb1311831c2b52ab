"""The epochs whose weights a run kept, as its tracker hears of them."""

import math
from typing import Any

from modules.tracking.tracker import Tracker
from modules.training.runs.run_folder import RunFolder
from modules.training.selection import kept_weights


def tell_of_kept(
    tracker: Tracker, folder: RunFolder, history: dict[str, list[list[float]]], summary: dict[str, Any]
) -> None:
    """Tells the tracker of each epoch whose weights are kept, and what was measured of it."""
    best = summary.get("best", {}).get("epoch")
    for one in summary.get("kept", []):
        epoch, step = one["epoch"], one["step"]
        measured = {
            f"kept/{name}": value  # the run's own curve has the point already
            for name, points in history.items()
            for at, value in points
            if at == step and name.startswith("validation/") and math.isfinite(value)
        }
        file = kept_weights(folder.checkpoint.parent, epoch).absolute()
        tags = {"identity": summary["identity"], "weights": str(file), "is_best": str(epoch == best).lower()}
        tracker.model(f"epoch_{epoch}", step, measured, tags)
