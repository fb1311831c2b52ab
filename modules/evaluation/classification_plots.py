"""What an evaluation of a classifier shows: crisp samples, sheets of predictions, the confusion matrix."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from modules.evaluation.findings import write_json
from modules.evaluation.image_tiles import pixels
from modules.evaluation.predictions import Predictions

NUM_SHOWN = 24
SMALLEST_SIDE_PX = 140
LABELLED_CLASSES = 40


def plot_mistakes_and_samples(
    predictions: Predictions, classes: Sequence[str], images: Callable[[list[int]], Tensor], folder: Path
) -> list[Path]:
    """The worst mistakes and a few samples: a PNG each with a list in JSON, and a sheet that shows them all.

    Args:
        predictions: for the split.
        classes: names.
        images: from positions in the split to images, [image, (channel,) height, width].
        folder: where `mistakes/`, `samples/` and the sheets go.

    Returns:
        The sheets.
    """
    chosen = {
        "mistakes": predictions.worst_mistakes(NUM_SHOWN),
        "samples": predictions.spread_samples(NUM_SHOWN),
    }
    sheets = []
    for name, positions in chosen.items():
        (folder / name).mkdir()
        entries = [_entry(predictions, classes, rank, place) for rank, place in enumerate(positions)]
        write_json(entries, folder / name / f"{name}.json")
        if not positions:
            continue
        shown = images(positions)
        for entry, image in zip(entries, shown, strict=True):
            write_image(image, folder / name / entry["file"])
        sheets.append(folder / f"{name}.png")
        _plot_sheet(entries, shown, sheets[-1])
    return sheets


def _entry(predictions: Predictions, classes: Sequence[str], rank: int, place: int) -> dict[str, Any]:
    truth, prediction = int(predictions.truth[place]), int(predictions.prediction[place])
    index = int(predictions.index[place])
    return {
        "file": f"{rank:02d}-{index}.png",
        "index": index,
        "truth": classes[truth],
        "prediction": classes[prediction],
        "probability": float(predictions.probabilities[place, prediction]),
        "truth_probability": float(predictions.probabilities[place, truth]),
    }


def write_image(pixels: Tensor, file: Path) -> None:
    """One sample as a PNG, enlarged by a whole factor without smoothing so that each pixel can be seen.

    Args:
        pixels: [channels, height, width] or [height, width]: whole numbers 0..255, floating-point numbers
            0..1 or truth values.
        file: the PNG to write.
    """
    image = _image(pixels)
    factor = max(1, round(SMALLEST_SIDE_PX / max(image.size)))
    image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).save(file)


def plot_confusion(confusion: Tensor, classes: Sequence[str], file: Path) -> None:
    """The confusion matrix, each row as shares of its class."""
    share = (confusion / confusion.sum(dim=1, keepdim=True).clamp_min(1)).numpy()
    labelled = len(classes) <= LABELLED_CLASSES
    side = 2.5 + 0.5 * min(len(classes), LABELLED_CLASSES)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="prediction", ylabel="truth")
    if labelled:
        names = [_plain(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90)
        axes.set_yticks(range(len(classes)), names)
        for row, column in confusion.nonzero().tolist():
            ink = "white" if share[row, column] > 0.5 else "black"
            text = str(int(confusion[row, column]))
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=7)
    figure.savefig(file, dpi=110)


def _plot_sheet(entries: Sequence[dict[str, Any]], images: Tensor, file: Path, num_columns: int = 6) -> None:
    """Images with prediction and probability above them; the truth too where it is another."""
    num_rows = -(-len(entries) // num_columns)
    figure = Figure(figsize=(1.5 * num_columns, 1.75 * num_rows))
    # One pair of axes for all images: a pair for each would take ten times as long.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.05, num_columns), ylim=(num_rows, -0.05))
    axes.set_axis_off()
    for place, (entry, image) in enumerate(zip(entries, images, strict=True)):
        row, column = divmod(place, num_columns)
        extent = (column, column + 0.95, row + 0.98, row + 0.2)
        axes.imshow(_image(image), "gray", vmin=0, vmax=255, extent=extent, aspect="auto")
        right = entry["prediction"] == entry["truth"]
        title = f"{_plain(entry['prediction'])} {entry['probability']:.0%}"
        title += "" if right else f"\nis {_plain(entry['truth'])}"
        ink = "black" if right else "firebrick"
        axes.text(column + 0.475, row + 0.18, title, ha="center", va="bottom", fontsize=7, color=ink)
    axes.set(xlim=(-0.05, num_columns), ylim=(num_rows, -0.05))
    figure.savefig(file, dpi=110)


def _image(image: Tensor) -> Image.Image:
    in_0_to_1 = image.is_floating_point() or image.dtype == torch.bool
    levels = image.float() / (1 if in_0_to_1 else 255)
    return Image.fromarray(pixels(levels if levels.ndim == 3 else levels[None]))


def _plain(name: str, most: int = 20) -> str:
    """A name as text for matplotlib, which takes what stands between dollar signs for mathematics."""
    return (name if len(name) <= most else f"{name[: most - 1]}…").replace("$", r"\$")
