"""Small models of every kind of input and output, with what they serve."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.datamodules.vocabulary import BEGIN, END, SPECIAL, Vocabulary
from modules.generation.decoding import greedy
from modules.tasks.served import Served, ServedInput, ServedOutput

WORDS = ("what", "a", "day", "good", "bad", "!")
VOCABULARY = Vocabulary("words", (*SPECIAL, *WORDS), lower_case=True)
PLAIN = VOCABULARY.to_plain()
TEXT = ServedInput("text", "text", ("time",), PLAIN)
SOUND = ServedInput("sound", "sound", ("time",), sample_rate_hz=8000)
IMAGE = ServedInput("image", "image", (1, 6, 8))
FEELINGS = ("bad", "so so", "good")
SEEN = ("ground", "cat", "dog")


def kept(length: Tensor, like: Tensor) -> Tensor:
    """True where a step is no padding, [batch, time, 1]."""
    return (torch.arange(like.shape[1]) < length[:, None])[:, :, None]


class TextClassifier(nn.Module):
    """Means of the states of torch's own LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 5)
        self.lstm = nn.LSTM(5, 4, batch_first=True)
        self.weights = nn.ParameterList(self.lstm.parameters())
        del self.lstm
        self.output = nn.Linear(4, 3)

    def forward(self, text: Tensor, length: Tensor) -> Tensor:
        steps = self.embedding(text)
        zeros = steps.new_zeros(1, text.shape[0], 4)
        states, *_ = torch.lstm(steps, (zeros, zeros), list(self.weights), True, 1, 0.0, False, False, True)
        return self.output((states * kept(length, text)).sum(1) / length[:, None]).softmax(1)


class Tagger(nn.Module):
    """A class for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 3)

    def forward(self, text: Tensor, length: Tensor) -> Tensor:
        return self.embedding(text).argmax(2)


class Translator(nn.Module):
    """Greedy decoding inside the program, of a fixed number of steps."""

    def __init__(self, num_steps: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 8)
        self.cell = nn.GRUCell(8, 8)
        self.output = nn.Linear(8, len(VOCABULARY))
        self.num_steps = num_steps

    def forward(self, text: Tensor, length: Tensor) -> Tensor:
        state = (self.embedding(text) * kept(length, text)).sum(1)
        begin = torch.full((text.shape[0],), BEGIN)
        written = greedy(self, begin, state, self.num_steps, END)
        return functional.pad(written, (0, self.num_steps - written.shape[1]))

    def step(self, token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = self.cell(self.embedding(token), state)
        return self.output(state), state


class SoundClassifier(nn.Module):
    """A strided convolution over the samples, and its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, 4, 9, stride=4)
        self.output = nn.Linear(4, 3)

    def forward(self, sound: Tensor, length: Tensor) -> Tensor:
        maps = self.convolution(sound[:, None]).relu()
        steps = (length - 9) // 4 + 1
        keep = (torch.arange(maps.shape[2]) < steps[:, None])[:, None]
        return self.output((maps * keep).sum(2) / steps[:, None]).softmax(1)


class ImageModel(nn.Module):
    """One of several answers about an image."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weights = nn.Linear(48, {"classes": 3, "values": 2, "boxes": 12}.get(kind, 48))
        self.maps = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        flat = self.weights(image.flatten(1))
        if self.kind == "classes":
            return flat.softmax(1)
        if self.kind == "boxes":
            boxes = flat.unflatten(1, (2, 6)).sigmoid()
            score = torch.tensor([0.75, 0.0]).expand(image.shape[0], 2)
            number = torch.tensor([1.0, 2.0]).expand(image.shape[0], 2)
            return torch.cat([boxes[..., :4], score[..., None], number[..., None]], 2)
        if self.kind == "mask":
            return self.maps(image).argmax(1)
        return flat if self.kind == "values" else flat.sigmoid().view_as(image)


class Both(nn.Module):
    """Numbers of an image and a text."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 2)

    def forward(self, image: Tensor, text: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        mean = (self.embedding(text) * kept(length, text)).sum(1)
        return mean + image.mean((1, 2, 3))[:, None], mean.softmax(1)


OUTPUTS = {
    "classes": ServedOutput("label", "classes", (3,), FEELINGS),
    "values": ServedOutput("code", "values", (2,), ("first", "second")),
    "boxes": ServedOutput("found", "boxes", ("boxes", 6), SEEN),
    "mask": ServedOutput("mask", "mask", (6, 8), SEEN),
    "image": ServedOutput("image", "image", (1, 6, 8)),
    "labels": ServedOutput("tags", "labels", ("time",), FEELINGS),
    "text": ServedOutput("answer", "text", ("answer_time",), vocabulary=PLAIN),
}
BUILT = {
    "text_classes": lambda: (TextClassifier(), (TEXT,), ("classes",)),
    "text_labels": lambda: (Tagger(), (TEXT,), ("labels",)),
    "text_text": lambda: (Translator(), (TEXT,), ("text",)),
    "sound_classes": lambda: (SoundClassifier(), (SOUND,), ("classes",)),
    **{
        f"image_{kind}": lambda kind=kind: (ImageModel(kind), (IMAGE,), (kind,))
        for kind in ("classes", "values", "boxes", "mask", "image")
    },
    "both": lambda: (Both(), (IMAGE, TEXT), ("values", "classes")),
}


def made(name: str) -> Served:
    """What a model of `BUILT` serves, with weights that are always the same."""
    torch.manual_seed(4)
    module, inputs, outputs = BUILT[name]()
    classes = OUTPUTS["classes"]
    chosen = [OUTPUTS[kind] for kind in outputs]
    if name == "both":
        chosen = [chosen[0], ServedOutput("label", "classes", (2,), classes.classes[:2])]
    return Served(module.eval().requires_grad_(False), inputs, tuple(chosen))


def examples(served: Served) -> dict[str, Tensor]:
    """Two samples of each argument."""
    generator = torch.Generator().manual_seed(1)
    found = {}
    for one in served.inputs:
        if one.kind == "text":
            found[one.name] = torch.randint(4, len(VOCABULARY), (2, 5), generator=generator)
            found[f"{one.name}_length"] = torch.tensor([5, 3])
        elif one.kind == "sound":
            found[one.name] = torch.randn(2, 400, generator=generator) / 4
            found[f"{one.name}_length"] = torch.tensor([400, 300])
        else:
            found[one.name] = torch.rand(2, 1, 6, 8, generator=generator)
    return found
