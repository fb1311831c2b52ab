"""What it costs to make one sequence of another: losses over all alignments, decoding, training.

python -m benchmarks.transduction

(a) Connectionist temporal classification: loss and gradient with respect to logits, beside torch's log
softmax and `ctc_loss`; and the largest error of either gradient, as a part of the largest element of one
that is computed in 64 bits. (b) The best path beside a beam search. (c) An encoder and decoder with attention
that writes: many sequences at a time beside one by one, by beam search beside greedily. (d) Its training step
beside one of torch's own modules, and on bucketed beside shuffled batches; and that of a reader of number
plates, with the loss of (a), beside torch's. Sides take turns, in (a) and (b)
of `CALLS` calls each, and medians are compared; CPU time of one thread, as the machine may be busy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.side_by_side import cpu_seconds_in_turn, training_step
from modules.bricks.ctc_loss import ctc_loss
from modules.configuration.command import arguments, run
from modules.datamodules.bucketed_order import BucketedOrder
from modules.datamodules.epoch_order import EpochOrder
from modules.datamodules.vocabulary import BEGIN, END
from modules.generation import ctc_decoding
from modules.generation.beam_search import beam_search
from modules.generation.ctc_decoding import best_path
from modules.generation.decoding import greedy
from modules.metrics.mean import Mean
from modules.models.recurrent.crnn import CRNN
from modules.models.recurrent.encoder_decoder import EncoderDecoder
from modules.tasks.sequence_to_sequence import SequenceToSequence
from modules.tasks.transcription import Transcription
from modules.training.runs.freed_memory import keep_freed_memory

CALLS = 5
SIZES = ((150, 32, 28, 28), (1000, 16, 28, 200), (5000, 4, 28, 600))
"""Frames, samples, labels, labels of a target."""


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: turns of each side, after one that warms up.
    """

    rounds: int = 9


def losses(rounds: int) -> None:
    """Part (a)."""
    print("\n| frames, samples, labels, target | yard, ms | torch, ms | ratio | error | torch's |")
    print("|---|---:|---:|---:|---:|---:|")
    for size in SIZES:
        logits, *others = _batch(*size)
        ours, theirs = (_turn(loss, logits, others) for loss in (ctc_loss, _torchs))
        fast, slow = cpu_seconds_in_turn(ours, theirs, rounds, CALLS)
        exact = _gradient(_torchs, logits.double(), others)
        errors = [
            float((_gradient(loss, logits, others) - exact).abs().max() / exact.abs().max())
            for loss in (ctc_loss, _torchs)
        ]
        ratio = f"{1e3 * fast:.2f} | {1e3 * slow:.1f} | {slow / fast:.1f}"
        print(f"| {', '.join(map(str, size))} | {ratio} | {errors[0]:.0e} | {errors[1]:.0e} |", flush=True)


def decoding(rounds: int) -> None:
    """Part (b)."""
    print("\n| 150 frames, 28 labels | beam search, ms a sample | best path, ms a sample | ratio |")
    print("|---|---:|---:|---:|")
    logits, frames, *_ = _batch(*SIZES[0])
    for beam in (1, 10, 100):
        slow, fast = cpu_seconds_in_turn(
            lambda beam=beam: ctc_decoding.beam_search(2 * logits[:4], frames[:4], beam),
            lambda: best_path(2 * logits[:4], frames[:4]),
            rounds,
            CALLS,
        )
        print(f"| beam of {beam} | {250 * slow:.2f} | {250 * fast:.3f} | {slow / fast:.0f} |", flush=True)


def writing(rounds: int) -> None:
    """Part (c)."""
    print("\n| writing 40 tokens | ms a sequence | beside it | ratio |\n|---|---:|---|---:|")
    for vocab_size, embedding_size, hidden_size in ((4000, 128, 256), (14, 32, 64)):
        model = _endless(EncoderDecoder(vocab_size, vocab_size, embedding_size, hidden_size).eval())
        source, length = torch.randint(4, vocab_size, (100, 35)), torch.randint(5, 36, (100,))

        def written(count: int, beam: int = 1, model=model, source=source, length=length) -> None:
            begin = torch.full_like(length[:count], BEGIN)
            with torch.inference_mode():
                state = model.start(source[:count], length[:count])
                if beam == 1:
                    greedy(model, begin, state, 40, END)
                else:
                    beam_search(model, begin, state, 40, END, beam)

        together, alone = cpu_seconds_in_turn(partial(written, 100), partial(written, 1), rounds)
        print(f"| {vocab_size} tokens, greedily, 100 at a time | {10 * together:.2f}", end="")
        print(f" | one by one {1e3 * alone:.1f} | {100 * alone / together:.1f} |")
        beam, one = cpu_seconds_in_turn(partial(written, 20, 5), partial(written, 20), rounds)
        print(f"| {vocab_size} tokens, a beam of 5, 20 at a time | {50 * beam:.2f}", end="")
        print(f" | greedily {50 * one:.2f} | {beam / one:.1f} |", flush=True)


def training(rounds: int) -> None:
    """Part (d)."""
    print("\n| training step of an encoder and decoder, 64 pairs | ms | beside it | ratio |")
    print("|---|---:|---|---:|")
    batch = _pairs(np.full(64, 33), np.full(64, 34))
    task = SequenceToSequence(EncoderDecoder(4000, 4000)).train()
    plain = _Plain()
    ours, theirs = training_step(task, task.loss, batch), training_step(plain, plain.loss, batch)
    yard, torchs = cpu_seconds_in_turn(ours, theirs, rounds)
    print(
        f"| yard | {1e3 * yard:.0f} | torch's modules {1e3 * torchs:.0f} | {torchs / yard:.2f} |", flush=True
    )
    # The lengths of verses: about log-normal, 5 to 100 tokens.
    lengths = np.exp(np.random.default_rng(0).normal(3.5, 0.4, 4096)).clip(5, 100).astype(int)
    order = EpochOrder(len(lengths), 1000, 0, 0)
    taken = []
    for numbers in (BucketedOrder(order, lengths, 64, 0, 0).numbers(0, 640), order.numbers(0, 640)):
        batches = [_pairs(lengths[some], lengths[some]) for some in np.split(numbers, 10)]
        steps = [training_step(task, task.loss, one) for one in batches]
        taken.append(lambda steps=steps: [step() for step in steps])
    bucketed, shuffled = cpu_seconds_in_turn(taken[0], taken[1], max(rounds // 3, 1))
    print(f"| bucketed batches | {100 * bucketed:.0f} | shuffled {100 * shuffled:.0f} |", end="")
    print(f" {shuffled / bucketed:.2f} |", flush=True)
    reader, plain = Transcription(CRNN((1, 32, 160), 37)).train(), _PlainReader().train()
    plates = _plates(64)
    ours, theirs = training_step(reader, reader.loss, plates), training_step(plain, plain.loss, plates)
    yard, torchs = cpu_seconds_in_turn(ours, theirs, rounds)
    print(f"| reader of plates, 64 images | {1e3 * yard:.0f} | torch's modules {1e3 * torchs:.0f}", end="")
    print(f" | {torchs / yard:.2f} |", flush=True)


class _PlainReader(nn.Module):
    """Convolutions, an LSTM in both directions and `nn.CTCLoss`, as one writes it without a framework."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, along in ((1, 32, 2), (32, 64, 2), (64, 96, 1), (96, 128, 1)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers.append(nn.MaxPool2d((2, along)))
        self.maps = nn.Sequential(*layers)
        self.lstm = nn.LSTM(256, 128, batch_first=True, bidirectional=True)
        self.output, self.criterion = nn.Linear(256, 37), nn.CTCLoss()

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        columns = self.maps(batch["image"] / 255).permute(0, 3, 1, 2).flatten(2)
        log_probabilities = self.output(self.lstm(columns)[0]).log_softmax(2).transpose(0, 1)
        frames = torch.full((len(columns),), columns.shape[1])
        labels = batch["text"][:, 1:-1]
        return Mean.of(self.criterion(log_probabilities, labels, frames, batch["text_length"] - 2)[None])


class _Plain(nn.Module):
    """The same net of torch's own modules, as one writes it without a framework."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(4000, 128), nn.Embedding(4000, 128)
        self.encoder = nn.LSTM(128, 256, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(128, 256, batch_first=True)
        self.bridge, self.keys = nn.Linear(512, 512), nn.Linear(512, 256, bias=False)
        self.combine, self.output = nn.Linear(768, 256, bias=False), nn.Linear(256, 4000)

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        length, target = batch["source_length"], batch["target"]
        embedded = self.source(batch["source"])
        packed = nn.utils.rnn.pack_padded_sequence(embedded, length, batch_first=True, enforce_sorted=False)
        read, (last, _) = self.encoder(packed)
        read, _ = nn.utils.rnn.pad_packed_sequence(read, batch_first=True)
        hidden, cell = self.bridge(torch.cat([last[0], last[1]], 1)).tanh().chunk(2, 1)
        states, _ = self.decoder(
            self.target(target[:, :-1]), (hidden[None].contiguous(), cell[None].contiguous())
        )
        scores = states @ self.keys(read).transpose(1, 2)
        keep = torch.arange(read.shape[1]) < length[:, None]
        context = scores.masked_fill(~keep[:, None], float("-inf")).softmax(2) @ read
        logits = self.output(self.combine(torch.cat([context, states], 2)).tanh())
        losses = functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), reduction="none")
        wanted = torch.arange(target.shape[1] - 1) < batch["target_length"][:, None] - 1
        return Mean.of(losses.view(wanted.shape), wanted)


def _pairs(sources: np.ndarray, targets: np.ndarray) -> dict[str, Tensor]:
    batch: dict[str, Tensor] = {}
    for name, lengths in {"source": sources, "target": targets}.items():
        length = torch.from_numpy(np.array(lengths, np.int64))
        tokens = torch.randint(4, 4000, (len(length), int(length.max())))
        batch[name] = tokens * (torch.arange(tokens.shape[1]) < length[:, None])
        batch[f"{name}_length"] = length
    return batch


def _plates(count: int) -> dict[str, Tensor]:
    signs = torch.full((count,), 9)
    image = torch.randint(0, 256, (count, 1, 32, 160), dtype=torch.uint8)
    return {"image": image, "text": torch.randint(1, 37, (count, 9)), "text_length": signs}


def _endless(model: EncoderDecoder) -> EncoderDecoder:
    """Never writes the end: every sequence is as long."""
    with torch.no_grad():
        assert model.output.bias is not None
        model.output.bias[END] = -1e9
    return model


def _batch(time: int, batch: int, num_labels: int, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    targets = torch.randint(1, num_labels, (batch, length))
    logits = torch.randn(batch, time, num_labels)
    return logits, torch.full((batch,), time), targets, torch.full((batch,), length)


def _torchs(logits: Tensor, frames: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    log_probabilities = logits.log_softmax(2).transpose(0, 1)
    return functional.ctc_loss(log_probabilities, targets, frames, target_lengths, reduction="none")


def _gradient(loss: Callable[..., Tensor], logits: Tensor, others: list[Tensor]) -> Tensor:
    logits = logits.detach().requires_grad_()
    return torch.autograd.grad(loss(logits, *others).sum(), logits)[0]


def _turn(loss: Callable[..., Tensor], logits: Tensor, others: list[Tensor]) -> Callable[[], object]:
    return lambda: _gradient(loss, logits, others)


def main(argv: list[str]) -> None:
    """Measures all parts and prints tables in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    losses(chosen.rounds)
    decoding(chosen.rounds)
    writing(chosen.rounds)
    training(chosen.rounds)


if __name__ == "__main__":
    run(main)
