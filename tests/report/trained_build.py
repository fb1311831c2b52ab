"""A build folder as the verbs before the report leave it, by really training small nets for a moment."""

import io
import json
import math
from pathlib import Path

import numpy
import torch
import yaml
from PIL import Image
from torch import nn
from torch.nn import functional

from modules.evaluation.findings import Chart, Findings, ReportImage, Series
from modules.models.convolutional.lenet import LeNet
from modules.models.feedforward.neuron import Neuron
from tests.report.made_exhibits import exhibits

CLASSES = ["horizontal", "vertical", "diagonal", "blob"]
SIDE, PER_CLASS, BATCH, EPOCHS = 12, 60, 20, 4


def stripes(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy grey images of four kinds, [sample, 1, SIDE, SIDE] in 0..1, with labels, in random order."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images, labels = [], []
    for label in range(len(CLASSES)):
        for _ in range(PER_CLASS):
            shift = torch.randint(SIDE, (), generator=generator)
            waves = (row + shift, column + shift, row + column + shift)
            clean = torch.sin(waves[label] * math.pi / 3) if label < 3 else torch.zeros(SIDE, SIDE)
            if label == 3:
                clean = 2 * torch.exp(-((row - 4 - shift / 4) ** 2 + (column - 6) ** 2) / 8) - 1
            noise = torch.randn(SIDE, SIDE, generator=generator)
            images.append((0.5 + 0.3 * clean + 0.35 * noise).clamp(0, 1))
            labels.append(label)
    order = torch.randperm(len(labels), generator=generator)
    return torch.stack(images)[order, None], torch.tensor(labels)[order]


def models() -> dict[str, tuple[nn.Module, int]]:
    """Name -> model, multiply-adds for one sample."""
    shape = (1, SIDE, SIDE)
    net = LeNet(shape, len(CLASSES), num_filters=[6], kernel_size=5, hidden_sizes=[], activation="relu")
    return {
        "line": (Neuron(shape, len(CLASSES)), SIDE * SIDE * len(CLASSES)),
        "net": (net, 6 * 25 * 64 + 6 * 16 * len(CLASSES)),
    }


def write_recipe(build: Path, name: str) -> None:
    """Trains one net, and writes what plan, train, evaluate and promote write about it."""
    generator = torch.Generator().manual_seed(7)
    images, labels = stripes(generator)
    cut = len(labels) * 3 // 4
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model, multiply_adds = models()[name]
    num_parameters = sum(weights.numel() for weights in model.parameters())
    plan = {
        "name": name,
        "data": {"name": "stripes", "title": "Stripes & blobs"},
        "tracking": {"uri": None, "artifact_root": None},
        "model": {"_target_": f"{type(model).__module__}.{type(model).__name__}"},
        "task": {"_target_": "modules.tasks.classification.Classification"},
        "expected": {"metric": "accuracy", "at_least": 0.7 if name == "net" else 0.97},
        "cost": {"num_parameters": num_parameters, "multiply_adds": multiply_adds, "activation_bytes": 4000},
    }
    (build / "plan").mkdir(parents=True, exist_ok=True)
    (build / "plan" / f"{name}.yaml").write_text(yaml.safe_dump(plan))
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 20"><text y="15">net</text></svg>'
    (build / "plan" / f"{name}.svg").write_text(drawing)

    if name == "net":
        (build / "plan" / "about").mkdir(exist_ok=True)
        (build / "plan" / "about" / "net.txt").write_text("Tells stripes and blobs apart.\n")

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    history: dict[str, list] = {"train/loss": [], "validation/loss": [], "validation/accuracy": []}
    for epoch in range(EPOCHS):
        for start in range(0, cut, BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(
                model(images[start : start + BATCH]), labels[start : start + BATCH]
            )
            loss.backward()
            optimizer.step()
            history["train/loss"].append([epoch * cut // BATCH + start // BATCH + 1, loss.item()])
        step = history["train/loss"][-1][0]
        with torch.no_grad():
            logits = model(images[cut:])
        history["validation/loss"].append([step, functional.cross_entropy(logits, labels[cut:]).item()])
        right = (logits.argmax(1) == labels[cut:]).double().mean().item()
        history["validation/accuracy"].append([step, right])
    train = build / "train" / name
    train.mkdir(parents=True)
    (train / "history.json").write_text(json.dumps(history))
    summary = {"recipe": name, "identity": "ab" * 32, "seed": 0, "seconds": 1.5, "seconds_total": 1.5}
    summary |= {"steps": step, "epochs": EPOCHS, "samples_per_s": 4321.0, "status": "FINISHED"}
    summary |= {"finished": "2025-11-23T12:40:00+00:00", "git_commit": "c0ffee" * 7, "git_dirty": "true"}
    summary |= {"num_parameters": num_parameters, "multiply_adds": multiply_adds}
    (train / "summary.json").write_text(json.dumps(summary))
    learned = history | {"validation/log_likelihood": [[step // 2, -90.0], [step, -95.0]]}
    pretraining = {"summary": summary | {"seconds": 2.5, "seconds_total": 2.5}, "history": learned}
    (train / "phases.json").write_text(json.dumps({"layer0": pretraining} if name == "net" else {}))
    _write_evaluation(build / "evaluate" / name, model, images[cut:], labels[cut:])
    promotion = {"recipe": name, "model": name, "version": 2, "champion": name == "net", "previous": None}
    gates = [{"gate": "score", "passed": name == "net", "detail": "0.9 against 0.7", "binding": True}]
    gates.append({"gate": "expected", "passed": False, "detail": "0.9 below 0.99", "binding": False})
    promotion |= {"gates": gates}
    (build / "promote").mkdir(exist_ok=True)
    (build / "promote" / f"{name}.json").write_text(json.dumps(promotion))


def _write_evaluation(folder: Path, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    with torch.no_grad():
        probabilities = model(images).softmax(1)
    predictions = probabilities.argmax(1)
    matrix = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.int64)
    for truth, prediction in zip(labels, predictions, strict=True):
        matrix[truth, prediction] += 1
    accuracy = (predictions == labels).double().mean().item()
    loss = functional.nll_loss(probabilities.log(), labels).item()
    (folder / "mistakes").mkdir(parents=True)
    metrics = {"accuracy": accuracy, "loss": loss, "num_samples": len(labels)}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "confusion.json").write_text(json.dumps({"classes": CLASSES, "matrix": matrix.tolist()}))
    mistakes = []
    for index in torch.nonzero(predictions != labels).flatten().tolist()[:8]:
        buffer = io.BytesIO()
        Image.fromarray((images[index, 0] * 255).byte().numpy()).save(buffer, format="PNG")
        (folder / "mistakes" / f"{index}.png").write_bytes(buffer.getvalue())
        truth, prediction = int(labels[index]), int(predictions[index])
        entry = {"file": f"{index}.png", "index": index, "truth": CLASSES[truth]}
        entry |= {"prediction": CLASSES[prediction], "probability": probabilities[index, prediction].item()}
        mistakes.append(entry | {"truth_probability": probabilities[index, truth].item()})
    (folder / "mistakes" / "mistakes.json").write_text(json.dumps(mistakes))
    weights = next(iter(model.parameters())).detach().numpy()
    filters = weights if weights.ndim == 4 else weights.reshape(-1, 1, SIDE, SIDE)
    numpy.save(folder / "filters.npy", filters)
    (folder / "provenance.json").write_text(json.dumps({"identity": "ab" * 32}))
    _show_logits(folder, model, images, labels)


def _show_logits(folder: Path, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """A cloud of points, lines and two images, as any evaluation may leave them."""
    with torch.no_grad():
        logits = model(images)[:, :2].double().tolist()
    clouds = [
        Series(name, [(x, y) for (x, y), label in zip(logits, labels.tolist(), strict=True) if label == kind])
        for kind, name in enumerate(CLASSES)
    ]
    means = [(float(row), images[:, 0, row].mean().item()) for row in range(SIDE)]
    tile = (images[0, 0] * 255).byte().numpy()
    findings = Findings(
        metrics=json.loads((folder / "metrics.json").read_text()),
        images=[
            ReportImage("tile", "A tile", "Grey, and small.", tile),
            ReportImage(
                "wall", "A wall", "Colour, and large.", numpy.stack([numpy.tile(tile, (60, 60))] * 3, 2)
            ),
        ],
        charts=[
            Chart("logits", "Two logits", "Each class for itself.", "points", "first", "second", clouds),
            Chart(
                "rows", "Rows", "Mean by row.", "lines", "row", "grey", [Series("mean", means)], log_y=True
            ),
        ],
        exhibits=exhibits(),
    )
    findings.save(folder)
