"""Tasks of clips as exported programs: the same answers for any number of frames, of one as well."""

from pathlib import Path
from typing import Literal

import pytest
import torch

from modules.configuration.composition.compose import compose
from modules.datamodules.vocabulary import SPECIAL, Vocabulary
from modules.models.convolutional.resnet import ResNet
from modules.models.multimodal.frame_labeller import FrameLabeller
from modules.models.multimodal.video_captioner import VideoCaptioner
from modules.registry.export import Description, export_program, load_program, save_program
from modules.tasks.sequence_labelling import SequenceLabelling
from modules.tasks.sequence_to_sequence import SequenceToSequence
from modules.tasks.served import Served
from tests.plans import plan_of

SHAPE = ("frames", 3, 32, 32)
VOCABULARY = Vocabulary("words", (*SPECIAL, *"abcdef"))


def served_task(name: Literal["mean", "recurrent", "labels"]) -> Served:
    torch.manual_seed(0)
    data = plan_of(compose(["recipe=frame_actions", f"data.fields.clip.shape={list(SHAPE)}"])).data
    backbone = ResNet((6, 32, 32), None, 1, (4, 6), stem="large")
    if name == "labels":
        labeller = FrameLabeller(SHAPE, backbone, 10, 6, "pixels", 5)  # pyright: ignore[reportArgumentType]
        return SequenceLabelling(labeller, "clip", "actions").eval().served(data, {})
    model = VideoCaptioner(SHAPE, backbone, 10, name, 6, "pixels", hidden_size=6)  # pyright: ignore[reportArgumentType]
    return SequenceToSequence(model, "clip", "caption", 6).eval().served(data, {"caption": VOCABULARY})


@pytest.mark.parametrize("name", ["mean", "recurrent", "labels"])
def test_a_program_answers_clips_of_any_length_as_its_task(
    tmp_path: Path, name: Literal["mean", "recurrent", "labels"]
) -> None:
    served = served_task(name)
    (given,) = served.inputs
    assert (given.kind, given.shape, given.arguments) == ("clip", SHAPE, ("clip", "clip_length"))
    program = export_program(served, [torch.rand(3, 8, *SHAPE[1:]), torch.tensor([8, 5, 3])])
    file = tmp_path / "program.pt2"
    save_program(program, Description(name, "0" * 64, served.inputs, served.outputs), file)
    loaded, description = load_program(file)
    assert description.inputs == served.inputs
    for batch, frames in ((1, 1), (1, 5), (4, 20), (2, 8)):
        clips = torch.rand(batch, frames, *SHAPE[1:])
        length = torch.randint(1, frames + 1, (batch,))
        length[0] = frames
        with torch.no_grad():
            found, expected = loaded(clips, length), served.module(clips, length)
        for row in range(batch):  # labels in the padding mean nothing; a program always takes all its steps
            size = int(length[row]) if name == "labels" else expected.shape[1]
            assert torch.equal(found[row, :size], expected[row, :size])
