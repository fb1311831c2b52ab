"""Transcription: an image of a line, or a sound, becomes text, though nobody says where each letter stands.

Connectionist temporal classification: Graves, Fernandez, Gomez & Schmidhuber (2006), ICML; of each frame the
network says a label or a blank, and the loss counts every way in which these make the text. The blank is
token 0, padding, of which no text is made.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.ctc_loss import ctc_loss, fits
from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import PADDING
from modules.generation.ctc_decoding import best_path
from modules.metrics.edit_distance import edit_distance
from modules.metrics.mean import Mean
from modules.tasks.image_inputs import image_inputs, images_and_sizes, served_image
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class BestPathText(nn.Module):
    """The text of the most probable path.

    Args:
        model: see `Transcription`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: Tensor, size: Tensor | None = None) -> Int[Tensor, "batch frames"]:
        # By name, not as *size: an exported program counts its arguments.
        logits, frames = self.model(given) if size is None else self.model(given, size)
        return best_path(logits, frames).tokens


class Transcription(Task):
    """Learns the text of images or sounds; the loss is that of a text in nats.

    Batches hold images, [batch, channels, height, width], padded at their right where they differ in width,
    or sounds, [batch, time] in -1..1, and where sizes differ `<field>_length`, [batch]; and the field of
    text, [batch, time] of int64 tokens between begin and end, with `<field>_length`.

    Args:
        model: takes images in 0..1 or sounds, and where sizes differ these too; returns logits [batch,
            frames, labels] and the number of frames of each, [batch].
        source: the field that is read.
        text: the field that is written.
    """

    serves = True
    sequence_form = "many to many"
    inputs_and_outputs = ("an image or a sound", "its text, the alignment unknown")
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/label_error": "min",
        "validation/sequence_accuracy": "max",
    }

    def __init__(self, model: nn.Module, source: str = "image", text: str = "text") -> None:
        super().__init__(model)
        self.source, self.text = source, text

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch ..."]:
        """Images in 0..1, or sounds as they are."""
        given = batch[self.source]
        return given if given.is_floating_point() else image_inputs(given)

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        return Mean.of(self._losses(batch, *self.model(*self.served_inputs(batch))))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        """The label error is the edit distance of all texts together by the number of their labels."""
        logits, frames = self.model(*self.served_inputs(batch))
        targets, length = self.targets(batch)
        found = best_path(logits, frames).tokens
        errors = [
            edit_distance([token for token in own if token != PADDING], true[:labels])
            for own, true, labels in zip(found.tolist(), targets.tolist(), length.tolist(), strict=True)
        ]
        distances = torch.tensor(errors, device=logits.device)
        return {
            "validation/loss": Mean.of(self._losses(batch, logits, frames)),
            "validation/label_error": Mean(distances.sum(), length.sum()),
            "validation/sequence_accuracy": Mean.of(distances == 0),
        }

    def targets(self, batch: dict[str, Tensor]) -> tuple[Int[Tensor, "batch longest"], Int[Tensor, " batch"]]:
        """The texts without begin and end, and how many labels each has."""
        length = batch[f"{self.text}_length"] - 2
        return batch[self.text][:, 1:-1], length

    def _losses(
        self, batch: dict[str, Tensor], logits: Float[Tensor, "batch frames labels"], frames: Tensor
    ) -> Float[Tensor, " batch"]:
        targets, length = self.targets(batch)
        losses = ctc_loss(logits, frames, targets, length)
        if not losses.is_meta and not fits(frames, targets, length).all():
            sample = int((~fits(frames, targets, length)).nonzero()[0])
            raise UserError(
                f"a text of {int(length[sample])} labels, where the model says {int(frames[sample])} frames:"
                " one must be said in each, and a blank between two that are alike",
                f"Give {self.source} more room, or take smaller steps over it",
            )
        return losses

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """To the text of the most probable path."""
        rate = data.fields[self.source].sample_rate_hz
        if rate is None:
            given = served_image(data, self.inputs, self.source)
        else:
            given = ServedInput(self.source, "sound", tuple(data.fields[self.source].shape), None, True, rate)
        vocabulary = vocabularies[self.text].to_plain()
        output = ServedOutput(self.text, "text", ("frames",), vocabulary=vocabulary)
        return Served(BestPathText(self.model), (given,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return images_and_sizes(self.inputs(batch), batch, self.source)
