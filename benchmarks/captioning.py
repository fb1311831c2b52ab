"""What images and texts together cost: training steps of captions, and finding one among many.

python -m benchmarks.captioning

(a) A training step of the captioner with attention and of the one without, beside the same nets of torch's
own modules, as one writes them without a framework. (b) A training step on maps that a frozen SqueezeNet
gave when the dataset was packed, beside one through that net, frozen, and one that tunes it. (c) An image
looked for among 100,000 vectors, one text at a time. Sides take turns, and medians are compared; CPU time of
one thread, as the machine may be busy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.side_by_side import cpu_seconds_in_turn, training_step
from modules.configuration.command import arguments, run
from modules.metrics.mean import Mean
from modules.metrics.retrieval import ranks
from modules.models.convolutional.precomputed_maps import PrecomputedMaps
from modules.models.convolutional.resnet import ResNet
from modules.models.convolutional.squeezenet import SqueezeNet
from modules.models.multimodal.captioner import Captioner
from modules.tasks.captioning import Captioning
from modules.training.runs.freed_memory import keep_freed_memory

VOCABULARY, WORDS, BATCH = 45, 13, 64
NUM_VECTORS, SIZE = 100_000, 256


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: turns of each side, after one that warms up.
    """

    rounds: int = 9


class _Plain(nn.Module):
    """Show, attend and tell, or show and tell, of torch's own modules."""

    def __init__(self, attends: bool) -> None:
        super().__init__()
        self.attends = attends
        self.images = ResNet((3, 96, 96), None, [1, 2], (64, 128), stem="large")
        self.embedding, self.output = nn.Embedding(VOCABULARY, 128), nn.Linear(128, VOCABULARY)
        self.from_state = nn.Linear(256, 128)
        if attends:
            self.first = nn.Linear(130, 512)
            self.query, self.key = nn.Linear(256, 64, bias=False), nn.Linear(130, 64)
            self.score, self.gate = nn.Linear(64, 1, bias=False), nn.Linear(256, 1)
            self.from_context = nn.Linear(130, 128, bias=False)
            self.cell = nn.LSTMCell(258, 256)
        else:
            self.summary, self.first = nn.Linear(144 * 128, 256), nn.Linear(256, 128)
            self.lstm = nn.LSTM(128, 256, batch_first=True)

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        maps = self.images.feature_maps(batch["image"] / 255)["stage2"]
        words = self.embedding(batch["caption"][:, :-1])
        if self.attends:
            logits = self._attended(maps, words)
        else:
            first = self.first(self.summary(maps.flatten(1)).relu())
            states, _ = self.lstm(torch.cat([first[:, None], words], dim=1))
            logits = self.output(self.from_state(states[:, 1:]))
        losses = functional.cross_entropy(
            logits.flatten(0, 1), batch["caption"][:, 1:].flatten(), reduction="none"
        )
        keep = torch.arange(WORDS - 1) < batch["caption_length"][:, None] - 1
        return Mean.of(losses.view(keep.shape), keep)

    def _attended(self, maps: Tensor, words: Tensor) -> Tensor:
        line = torch.linspace(-1, 1, 12)
        where = torch.stack(torch.meshgrid(line, line, indexing="ij")).flatten(1).expand(len(maps), -1, -1)
        places = torch.cat([maps.flatten(2), where], dim=1).transpose(1, 2)
        keys, (hidden, cell) = self.key(places), self.first(places.mean(1)).tanh().chunk(2, dim=1)
        logits = []
        for word in words.unbind(1):
            scores = self.score((self.query(hidden)[:, None] + keys).tanh())
            context = self.gate(hidden).sigmoid() * (scores.softmax(1) * places).sum(1)
            hidden, cell = self.cell(torch.cat([word, context], dim=1), (hidden, cell))
            logits.append(self.output(word + self.from_state(hidden) + self.from_context(context)))
        return torch.stack(logits, dim=1)


def training(rounds: int) -> None:
    """Part (a)."""
    print("\n| training step, 64 images of 96x96 | yard, ms | torch's modules, ms | ratio |")
    print("|---|---:|---:|---:|")
    batch = {
        "image": torch.randint(0, 256, (BATCH, 3, 96, 96), dtype=torch.uint8),
        "caption": torch.randint(4, VOCABULARY, (BATCH, WORDS)),
        "caption_length": torch.full((BATCH,), WORDS),
    }
    for name, attention in (("show, attend and tell", "additive"), ("show and tell", "none")):
        backbone = ResNet((3, 96, 96), None, [1, 2], (64, 128), stem="large")
        size = 64 if attention == "additive" else None
        model = Captioner((3, 96, 96), backbone, VOCABULARY, 8, attention, size)  # pyright: ignore
        task, plain = Captioning(model, "image", "caption").train(), _Plain(attention == "additive").train()
        sides = training_step(task, task.loss, batch), training_step(plain, plain.loss, batch)
        yard, torchs = cpu_seconds_in_turn(*sides, rounds)
        print(f"| {name} | {1e3 * yard:.0f} | {1e3 * torchs:.0f} | {torchs / yard:.2f} |", flush=True)


def encoded(rounds: int) -> None:
    """Part (b)."""
    print("\n| training step, 32 images of 96x96 | on their maps, ms | beside it, ms | ratio |")
    print("|---|---:|---:|---:|")
    text = {"caption": torch.randint(4, 1000, (32, 9)), "caption_length": torch.full((32,), 9)}
    images = {"image": torch.randint(0, 256, (32, 3, 96, 96), dtype=torch.uint8)}
    maps = {"image": torch.rand(32, 512, 6, 6).half()}
    on_maps = _captioning(PrecomputedMaps((512, 6, 6), 16))
    for name, frozen in (("through the frozen net", True), ("tuning it", False)):
        net = SqueezeNet((3, 96, 96), None, max_stride=16).requires_grad_(not frozen)
        whole = _captioning(net)
        sides = (
            training_step(on_maps, on_maps.loss, maps | text),
            training_step(whole, whole.loss, images | text),
        )
        fast, slow = cpu_seconds_in_turn(*sides, rounds)
        print(f"| {name} | {1e3 * fast:.0f} | {1e3 * slow:.0f} | {slow / fast:.1f} |", flush=True)


def _captioning(backbone: nn.Module) -> Captioning:
    model = Captioner((3, 96, 96), backbone, 1000, 16, "additive", 64)  # pyright: ignore
    return Captioning(model, "image", "caption").train()


def retrieval(rounds: int) -> None:
    """Part (c)."""
    vectors = functional.normalize(torch.randn(NUM_VECTORS, SIZE), dim=1)
    queries = functional.normalize(torch.randn(100, SIZE), dim=1)

    def one() -> None:
        (vectors @ queries[0]).topk(10)

    def together() -> None:
        ranks(queries, vectors, torch.zeros(len(queries), dtype=torch.int64))

    alone, many = cpu_seconds_in_turn(one, together, rounds)
    print("\n| among 100,000 vectors of 256 numbers | ms a text |\n|---|---:|")
    print(f"| the ten closest, one text at a time | {1e3 * alone:.1f} |")
    print(f"| ranks of 100 texts together | {1e3 * many / len(queries):.1f} |", flush=True)


def main(argv: list[str]) -> None:
    """Measures all parts and prints tables in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    training(chosen.rounds)
    encoded(chosen.rounds)
    retrieval(chosen.rounds)


if __name__ == "__main__":
    run(main)
