"""What a trained task serves: one value that export, registry, prediction and MLflow's server follow from.

The module is called with one tensor for each input, [batch, *shape], in their order; after an input whose
shape holds a symbol comes how long each sample is, int64 [batch], of several symbols [batch, symbols]. It
returns a tensor for each output, or the one alone. What a kind means:

image    input: float32 [channels, height, width] in 0..1; output: the same
text     input: int64 [time], tokens between begin and end; output: int64 [time], tokens up to the first end
sound    input: float32 [time] in -1..1
clip     input: float32 [frames, channels, height, width] in 0..1
vector   input: float32 of any shape
classes  output: float32 [classes], the probability of each class, of which one is right
values   output: float32 [values], each with a name
score    output: float32 [1], how well the inputs go together; of several samples the best is wanted
boxes    output: float32 [boxes, 6]: left, top, right, bottom as shares of width and height, score, class
         number; a score of 0 is no box
mask     output: int64 [height, width], the class number of each pixel
labels   output: int64 [time], the class number of each step of an input
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from torch import nn

InputKind = Literal["image", "text", "sound", "clip", "vector"]
OutputKind = Literal["classes", "values", "score", "text", "boxes", "mask", "image", "labels"]
Shape = tuple[int | str, ...]
"""Sizes of one sample's axes; a name where the size differs from sample to sample."""


@dataclass(frozen=True)
class ServedInput:
    """What a model takes.

    Attributes:
        name: of the field.
        kind: what it is.
        shape: of one sample.
        vocabulary: of text, as `Vocabulary.to_plain` gives it.
        ends: of text, whether the end token is put behind it; not where a model goes on writing.
        sample_rate_hz: of sound.
    """

    name: str
    kind: InputKind
    shape: Shape
    vocabulary: Mapping[str, Any] | None = None
    ends: bool = True
    sample_rate_hz: int | None = None

    def __post_init__(self) -> None:
        _check(self.name, self.kind, InputKind, self.shape)
        if (self.kind == "text") != (self.vocabulary is not None):
            raise ValueError(f"{self.name}: text has a vocabulary, and nothing else has")
        if (self.kind == "sound") != (self.sample_rate_hz is not None):
            raise ValueError(f"{self.name}: sound has a sample rate, and nothing else has")

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sizes that differ from sample to sample."""
        return tuple(size for size in self.shape if isinstance(size, str))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the tensors that the module takes for it."""
        return (self.name, f"{self.name}_length") if self.symbols else (self.name,)

    @property
    def dtype(self) -> Literal["int64", "float32"]:
        return "int64" if self.kind == "text" else "float32"


@dataclass(frozen=True)
class ServedOutput:
    """What a model gives.

    Attributes:
        name: what it is called among several.
        kind: what it is.
        shape: of one sample.
        classes: names, of classes, values, boxes, masks and labels.
        vocabulary: of text.
    """

    name: str
    kind: OutputKind
    shape: Shape
    classes: tuple[str, ...] = ()
    vocabulary: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _check(self.name, self.kind, OutputKind, self.shape)
        if (self.kind == "text") != (self.vocabulary is not None):
            raise ValueError(f"{self.name}: text has a vocabulary, and nothing else has")
        if (self.kind in ("text", "image", "score")) == bool(self.classes) or not all(
            isinstance(name, str) and name.isprintable() for name in self.classes
        ):
            raise ValueError(f"{self.name}: the list of its classes is empty, wrong, or not wanted")
        if self.kind == "score" and self.shape != (1,):
            raise ValueError(f"{self.name}: a score is one number, and its shape {list(self.shape)}")
        if self.kind in ("classes", "values") and self.shape != (len(self.classes),):
            raise ValueError(f"{self.name}: {len(self.classes)} names for the shape {list(self.shape)}")


@dataclass(frozen=True)
class Served:
    """What a trained task serves.

    Attributes:
        module: shares the model's weights.
        inputs: what it takes, in order.
        outputs: what it gives, in order.
        exported: whether torch can export the module. If not, as where an answer is an optimisation, it is
            neither registered nor served, and `predict` answers from the run alone.
    """

    module: "nn.Module"
    inputs: tuple[ServedInput, ...]
    outputs: tuple[ServedOutput, ...]
    exported: bool = True

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the tensors that the module is called with."""
        return tuple(name for one in self.inputs for name in one.arguments)


def _check(name: Any, kind: Any, kinds: Any, shape: Any) -> None:
    """
    Raises:
        ValueError: it is no description; it may come from somebody else's file.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{name!r} is no name of an input or output")
    if kind not in get_args(kinds):
        raise ValueError(f"{name}: there is no kind {kind!r}")
    if not shape or not all(
        n.isidentifier() if isinstance(n, str) else type(n) is int and n > 0 for n in shape
    ):
        raise ValueError(f"{name}: {shape!r} is no shape")
