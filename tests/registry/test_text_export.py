"""Tasks of text as exported programs: the same answers for texts of any length, from a vetted file."""

from pathlib import Path

import pytest
import torch
from torch import nn

from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.vocabulary import SPECIAL, Vocabulary
from modules.models.convolutional.text_convolution import TextConvolution
from modules.models.recurrent.encoder_decoder import EncoderDecoder
from modules.models.recurrent.recurrent_classifier import RecurrentClassifier
from modules.models.recurrent.recurrent_language_model import RecurrentLanguageModel
from modules.models.recurrent.sequence_labeller import SequenceLabeller
from modules.registry.export import Description, export_program, load_program, save_program
from modules.tasks.language_modelling import LanguageModelling
from modules.tasks.sequence_labelling import SequenceLabelling
from modules.tasks.sequence_to_sequence import SequenceToSequence
from modules.tasks.task import Task
from modules.tasks.text_classification import TextClassification
from tests.datamodules.ragged_data import ragged_settings

VOCABULARY = Vocabulary("words", (*SPECIAL, *"abcdef"))


def tasks() -> dict[str, Task]:
    torch.manual_seed(0)
    size = len(VOCABULARY)
    models: dict[str, nn.Module] = {
        cell: RecurrentClassifier(size, 3, 4, 5, cell=cell)  # pyright: ignore[reportArgumentType]
        for cell in ("elman", "gru", "lstm")
    }
    models["convolution"] = TextConvolution(size, 3, 4, 5)
    models["forwards"] = RecurrentClassifier(size, 3, 4, 5, directions="forwards")
    classifiers: dict[str, Task] = {name: TextClassification(model, 3) for name, model in models.items()}
    labelling = {
        f"labels_{directions}": SequenceLabelling(SequenceLabeller(size, size, 4, 5, directions=directions))
        for directions in ("forwards", "both")
    }
    language = LanguageModelling(RecurrentLanguageModel(size, 4, 6, num_layers=2))
    return classifiers | labelling | {"language": language}


@pytest.mark.parametrize(
    "name",
    ["elman", "gru", "lstm", "forwards", "convolution", "labels_forwards", "labels_both", "language"],
)
def test_a_program_answers_texts_of_any_length_as_its_task(tmp_path: Path, name: str) -> None:
    data = ragged_settings("label")
    text = FieldSettings("int64", ["time"], ["time"], "token")
    data.fields["text"] = text
    served = tasks()[name].eval().served(data, {"text": VOCABULARY, "labels": VOCABULARY})
    assert served is not None
    examples = [torch.randint(4, 10, (3, 8)), torch.tensor([8, 5, 3])]
    program = export_program(served, examples)
    file = tmp_path / "program.pt2"
    save_program(program, Description(name, "0" * 64, served.inputs, served.outputs), file)
    loaded, description = load_program(file)
    assert description.inputs == served.inputs
    for batch, time in ((1, 3), (4, 20), (2, 8)):
        given = torch.randint(4, 10, (batch, time)), torch.randint(3, time + 1, (batch,))
        with torch.no_grad():
            torch.testing.assert_close(loaded(*given), served.module(*given))


def test_a_program_writes_what_greedy_decoding_writes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    size = len(VOCABULARY)
    task = SequenceToSequence(EncoderDecoder(size, size, 4, 5, input_feeding=True), max_tokens=5).eval()
    served = task.served(ragged_settings("label"), {"source": VOCABULARY, "target": VOCABULARY})
    program = export_program(served, [torch.randint(4, 10, (3, 8)), torch.tensor([8, 5, 3])])
    file = tmp_path / "program.pt2"
    save_program(program, Description("x", "0" * 64, served.inputs, served.outputs), file)
    loaded, _ = load_program(file)
    for batch, time in ((1, 3), (4, 20)):
        given = torch.randint(4, 10, (batch, time)), torch.randint(1, time + 1, (batch,))
        with torch.no_grad():
            found, expected = loaded(*given), served.module(*given)
        # A program always takes all its steps.
        assert found.shape == (batch, 5) and torch.equal(found[:, : expected.shape[1]], expected)
        assert not found[:, expected.shape[1] :].any()
