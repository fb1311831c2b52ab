"""What an evaluation shows: samples as crisp PNGs, sheets of predictions, the confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from modules.registry.evaluation import Evaluation, Prediction
from modules.registry.outcome import write_json

SMALLEST_SIDE_PX = 140
LABELLED_CLASSES = 40


def draw_evaluation(evaluation: Evaluation, classes: Sequence[str], folder: Path) -> list[Path]:
    """The worst mistakes and a few samples, a PNG each, and the sheets that show them at a glance.

    Returns:
        The sheets.
    """
    sheets = [folder / "confusion.png"]
    draw_confusion(evaluation.confusion, classes, sheets[0])
    for name, predictions in (("mistakes", evaluation.mistakes), ("samples", evaluation.samples)):
        (folder / name).mkdir()
        entries = []
        for place, one in enumerate(predictions):
            if one.picture is None:
                continue
            file = f"{place:02d}-{one.index}.png"
            write_picture(one.picture, folder / name / file)
            entries.append(
                {
                    "file": file,
                    "index": one.index,
                    "truth": classes[one.truth],
                    "prediction": classes[one.prediction],
                    "probability": one.probability,
                    "truth_probability": one.truth_probability,
                }
            )
        write_json(entries, folder / name / f"{name}.json")
        if entries:
            sheets.append(folder / f"{name}.png")
            draw_samples(predictions, classes, sheets[-1])
    return sheets


def write_picture(picture: Tensor, file: Path) -> None:
    """One sample as a PNG, enlarged by a whole factor without smoothing so that each pixel can be seen.

    Args:
        picture: [channels, height, width] or [height, width], uint8 0..255 or float 0..1.
        file: the PNG to write.
    """
    image = _image(picture)
    factor = max(1, round(SMALLEST_SIDE_PX / max(image.size)))
    image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).save(file)


def draw_confusion(confusion: Tensor, classes: Sequence[str], file: Path) -> None:
    """The confusion matrix, each row as shares of its class."""
    share = (confusion / confusion.sum(dim=1, keepdim=True).clamp_min(1)).numpy()
    labelled = len(classes) <= LABELLED_CLASSES
    side = 2.5 + 0.5 * min(len(classes), LABELLED_CLASSES)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="prediction", ylabel="truth")
    if labelled:
        axes.set_xticks(range(len(classes)), _plain(classes), rotation=90)
        axes.set_yticks(range(len(classes)), _plain(classes))
        for row, column in confusion.nonzero().tolist():
            ink = "white" if share[row, column] > 0.5 else "black"
            text = str(int(confusion[row, column]))
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=7)
    figure.savefig(file, dpi=110)


def draw_samples(
    predictions: Sequence[Prediction], classes: Sequence[str], file: Path, num_columns: int = 6
) -> None:
    """A sheet of pictures, each with its prediction and probability; the truth too where it is another."""
    shown = [one for one in predictions if one.picture is not None]
    num_rows = max(1, -(-len(shown) // num_columns))
    figure = Figure(figsize=(1.6 * num_columns, 1.95 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).flat
    for axes in panels:
        axes.set_axis_off()
    for axes, one in zip(figure.axes, shown, strict=False):
        axes.imshow(_image(one.picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        right = one.prediction == one.truth
        title, truth = (f"{name[:18]}" for name in _plain((classes[one.prediction], classes[one.truth])))
        title = f"{title} {one.probability:.0%}" + ("" if right else f"\nis {truth}")
        axes.set_title(title, fontsize=7, color="black" if right else "firebrick")
    figure.savefig(file, dpi=110)


def _image(picture: Tensor | None) -> Image.Image:
    assert picture is not None
    pixels = (
        picture
        if picture.dtype == torch.uint8
        else (picture.float().clamp(0, 1) * 255).round().to(torch.uint8)
    )
    if pixels.ndim == 2:
        pixels = pixels[None]
    pixels = pixels if len(pixels) in (1, 3) else pixels[:1]
    return Image.fromarray(pixels.permute(1, 2, 0).squeeze(-1).numpy())


def _plain(names: Sequence[str]) -> list[str]:
    """Names as text for matplotlib, which takes what stands between dollar signs for mathematics."""
    return [name.replace("$", r"\$") for name in names]
