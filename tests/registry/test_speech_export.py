"""A speech recogniser as a program: the text of a sound of any length, as the model reads it."""

from pathlib import Path

import torch

from modules.configuration.composition.compose import compose
from modules.datamodules.vocabulary import SPECIAL, Vocabulary
from modules.models.recurrent.speech_recogniser import SpeechRecogniser
from modules.registry.export import Description, export_program, load_program, save_program
from modules.tasks.transcription import Transcription
from tests.plans import plan_of


def test_a_program_reads_sounds_of_any_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = Transcription(SpeechRecogniser(8000, 8, hidden_size=8), source="sound").eval()
    words = Vocabulary("words", (*SPECIAL, "one", "two", "three", "four"))
    served = task.served(plan_of(compose(["recipe=spoken_numbers"])).data, {"text": words})
    program = export_program(served, (torch.randn(2, 4000), torch.tensor([4000, 3001])))
    file = tmp_path / "program.pt2"
    save_program(program, Description("numbers", "0" * 16, served.inputs, served.outputs), file)
    loaded, description = load_program(file)
    assert [(one.kind, one.sample_rate_hz) for one in description.inputs] == [("sound", 8000)]
    for samples, length in ((20_000, [20_000]), (801, [801, 1]), (5, [5])):
        sounds = torch.randn(len(length), samples)
        text, expected = loaded(sounds, torch.tensor(length)), served.module(sounds, torch.tensor(length))
        # A program always gives as many places as there are frames.
        assert torch.equal(text[:, : expected.shape[1]], expected) and not text[:, expected.shape[1] :].any()
    assert text.shape[0] == 1
