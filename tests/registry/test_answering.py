"""From samples to answers by exported programs, of every kind; and the two ways to read a vocabulary."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import VocabularySettings
from modules.datamodules.vocabulary import build_vocabulary
from modules.registry import answering
from modules.registry.answering import check_outputs
from modules.registry.export import Description, export_program, load_program, save_program
from modules.tasks.served import ServedInput, ServedOutput
from pipelines import predict
from tests.registry.made_models import BUILT, FEELINGS, IMAGE, SEEN, VOCABULARY, examples, made

TEXTS = ["what a day!", "Good, what a good day (a day!)", "bad", "unseen words here"]
VOCABULARIES = {
    "characters": build_vocabulary(VocabularySettings("characters", 22), TEXTS, "text"),
    "words": build_vocabulary(VocabularySettings("words", 16, lower_case=True), TEXTS, "text"),
    "subwords": build_vocabulary(VocabularySettings("subwords", 266), TEXTS, "text"),
}


@pytest.mark.parametrize("kind", VOCABULARIES)
@settings(max_examples=60)
@given(text=st.one_of(st.sampled_from(TEXTS), st.text(max_size=30)))
def test_the_script_reads_and_writes_as_the_vocabulary(kind: str, text: str) -> None:
    vocabulary = VOCABULARIES[kind]
    plain = vocabulary.to_plain()
    numbers = vocabulary.encode(text)
    assert answering.encode(plain, text) == numbers
    for tokens in (numbers, [2, *numbers, 3, 5, 5], [1, *numbers, 0, 1]):
        assert answering.decode(plain, tokens) == vocabulary.decode(tokens)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A program of each made model."""
    folder, found = tmp_path_factory.mktemp("programs"), {}
    for name in BUILT:
        served = made(name)
        found[name] = folder / f"{name}.pt2"
        program = export_program(served, list(examples(served).values()))
        description = Description(name, "0" * 64, served.inputs, served.outputs)
        save_program(program, description, found[name])
    return found


@pytest.mark.parametrize("name", BUILT)
def test_a_program_gives_what_the_model_gives_for_any_size(files: dict[str, Path], name: str) -> None:
    program, description = load_program(files[name])
    served = made(name)
    assert (description.inputs, description.outputs) == (served.inputs, served.outputs)
    generator = torch.Generator().manual_seed(2)
    for size, time in ((1, 40), (3, 77), (2, 19)):
        arguments = []
        for one in served.inputs:
            if one.symbols:
                long = torch.rand(size, time, generator=generator)
                arguments.append(long if one.kind == "sound" else (long * 10).long())
                arguments.append(torch.arange(size) + time - size + 1)
            else:
                arguments.append(torch.rand(size, 1, 6, 8, generator=generator))
        for answer, eager in zip(
            answering.run(program, arguments), answering.run(served.module, arguments), strict=True
        ):
            torch.testing.assert_close(answer, eager)


def predicted(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    predict.main([*arguments, "output=json"])
    return json.loads(capsys.readouterr().out)


def test_a_text_is_classified(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    served = made("text_classes")
    (answer,) = predicted(capsys, f"model={files['text_classes']}", "input=What a day")
    tokens = torch.tensor([[2, *VOCABULARY.encode("what a day"), 3]])
    expected = dict(zip(FEELINGS, served.module(tokens, torch.tensor([5]))[0].tolist(), strict=True))
    assert answer["input"] == "What a day"
    assert {one["class"]: one["probability"] for one in answer["classes"]} == pytest.approx(expected)
    predict.main([f"model={files['text_classes']}", "input=What a day", "top=1"])
    printed = capsys.readouterr().out
    assert "What a day" in printed and max(expected, key=lambda name: expected[name]) in printed


def test_texts_of_several_lengths_are_answered_as_each_alone(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("a", "what a good day!"), ("b", "bad")):
        (tmp_path / f"{name}.txt").write_text(text)
    model = f"model={files['text_classes']}"
    together = predicted(capsys, model, f"input={tmp_path}")
    for answer, text in zip(together, ("what a good day!", "bad"), strict=True):
        (alone,) = predicted(capsys, model, f"input={text}")
        for one, other in zip(answer["classes"], alone["classes"], strict=True):
            assert one["class"] == other["class"]
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)


def test_a_text_answers_with_text_and_with_a_label_for_each_step(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    tokens, length = torch.tensor([[2, *VOCABULARY.encode("a good day"), 3]]), torch.tensor([5])
    (answer,) = predicted(capsys, f"model={files['text_text']}", "input=a good day")
    assert answer["text"] == VOCABULARY.decode(made("text_text").module(tokens, length)[0].tolist())
    (answer,) = predicted(capsys, f"model={files['text_labels']}", "input=a good day")
    numbers = made("text_labels").module(tokens, length)[0].tolist()
    assert answer["labels"] == [FEELINGS[number] for number in numbers]
    predict.main([f"model={files['text_labels']}", "input=a good day"])
    assert "0" in capsys.readouterr().out


def test_a_sound_is_classified(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = (numpy.sin(numpy.arange(500) / 7) / 2).astype(numpy.float32)
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype="FLOAT")
    (answer,) = predicted(capsys, f"model={files['sound_classes']}", f"input={tmp_path / 'a.wav'}")
    row = made("sound_classes").module(torch.from_numpy(wave)[None], torch.tensor([500]))[0].tolist()
    found = {one["class"]: one["probability"] for one in answer["classes"]}
    assert found == pytest.approx(dict(zip(FEELINGS, row, strict=True)))
    soundfile.write(tmp_path / "short.wav", wave[10:15], 8000)
    with pytest.raises(UserError, match=r"cannot take inputs of the sizes \[1, 5\]") as raised:
        predict.main([f"model={files['sound_classes']}", f"input={tmp_path / 'short.wav'}"])
    assert "\n" not in str(raised.value)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = numpy.random.default_rng(0).integers(0, 256, (6, 8), dtype=numpy.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def tensor(image: Path) -> torch.Tensor:
    return torch.from_numpy(numpy.array(Image.open(image))).float()[None, None] / 255


def test_boxes_are_told_and_drawn(
    files: dict[str, Path], image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"model={files['image_boxes']}", f"input={image}", f"out={tmp_path / 'out'}"]
    (answer,) = predicted(capsys, *arguments)
    (box,) = answer["boxes"]  # the one of no score is none
    row = made("image_boxes").module(tensor(image))[0, 0].tolist()
    sides = [box[side] for side in ("left", "top", "right", "bottom")]
    assert (box["class"], box["score"], sides) == ("cat", 0.75, pytest.approx(row[:4]))
    with Image.open(answer["file"]) as drawn:
        assert drawn.size == (320, 240) and drawn.mode == "RGB"
        assert (255, 176, 0) in {colour for _, colour in drawn.getcolors(2**16) or []}
    predict.main(arguments)
    assert "cat" in capsys.readouterr().out


def test_a_mask_and_an_image_are_written(
    files: dict[str, Path], image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = predicted(capsys, f"model={files['image_mask']}", f"input={image}")
    mask = made("image_mask").module(tensor(image))[0]
    assert answer["mask"] == mask.tolist()
    assert answer["shares"] == {
        SEEN[number]: pytest.approx(float((mask == number).float().mean()))
        for number in mask.unique().tolist()
    }
    out = f"out={tmp_path / 'out'}"
    (answer,) = predicted(capsys, f"model={files['image_mask']}", f"input={image}", out)
    with Image.open(answer["file"]) as shown:
        assert shown.size == (8, 6) and "mask" not in answer
    (answer,) = predicted(capsys, f"model={files['image_image']}", f"input={image}", out)
    expected = (made("image_image").module(tensor(image))[0, 0] * 255).round()
    with Image.open(answer["file"]) as written:
        assert numpy.abs(numpy.array(written) - expected.detach().numpy()).max() <= 1


def test_several_inputs_and_outputs_have_their_names(
    files: dict[str, Path], image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = predicted(capsys, f"model={files['both']}", f"input={image},what a day")
    tokens = torch.tensor([[2, *VOCABULARY.encode("what a day"), 3]])
    values, classes = made("both").module(tensor(image), tokens, torch.tensor([5]))
    assert list(answer["code"]["outputs"].values()) == pytest.approx(values[0].tolist(), abs=1e-6)
    assert answer["label"]["classes"][0]["probability"] == pytest.approx(float(classes.max()), abs=1e-6)
    predict.main([f"model={files['both']}", f"input={image},what a day"])
    assert "first" in capsys.readouterr().out
    with pytest.raises(UserError, match="the model takes 2 inputs, and input names 1"):
        predict.main([f"model={files['both']}", f"input={image}"])


def test_a_batch_is_padded_and_a_wrong_shape_is_refused() -> None:
    one = {"name": "text", "kind": "text", "shape": ["time"]}
    padded, length = answering.batch(one, [numpy.array([4, 5, 6]), numpy.array([7])])
    assert padded.tolist() == [[4, 5, 6], [7, 0, 0]] and length.tolist() == [3, 1]
    fixed = one | {"shape": [2]}
    assert answering.batch(fixed, [numpy.array([4])])[0].tolist() == [[4, 0]], "texts are filled up"
    with pytest.raises(ValueError, match=r"text is \[3\], and the model takes \[2\]"):
        answering.batch(fixed, [numpy.array([4, 5, 6])])
    with pytest.raises(ValueError, match=r"image is \[6, 8\]"):
        answering.batch(vars(IMAGE), [numpy.zeros((6, 8))])


ONE = {"outputs": [{"name": "scores", "kind": "values", "shape": [3]}]}


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        ([torch.zeros(2, 3), torch.zeros(2, 3)], "it gives 2 outputs, and says 1"),
        ([torch.zeros(2)], r"its output scores is \[2\], and it says \[2, 3\]"),
        ([torch.zeros(2, 3, 1)], r"is \[2, 3, 1\]"),
        ([torch.zeros(1, 3)], r"is \[1, 3\]"),
        ([torch.full((2, 3), torch.nan)], "holds NaN or infinity"),
        ([torch.zeros(2, 3, dtype=torch.complex64)], "no tensor of real numbers"),
        ([torch.zeros(2, 3).to_sparse()], "no tensor of real numbers"),
        (["x"], "no tensor of real numbers"),
    ],
)
def test_an_answer_that_is_not_what_the_description_says_is_refused(outputs: list, problem: str) -> None:
    check_outputs(ONE, [torch.zeros(2, 3)], 2)
    with pytest.raises(ValueError, match=problem):
        check_outputs(ONE, outputs, 2)


def test_an_input_larger_than_any_memory_is_no_description() -> None:
    with pytest.raises(ValueError, match="one sample of image would be more than"):
        Description(
            "x",
            "y",
            (ServedInput("image", "image", (1, 50_000, 50_000)),),
            (ServedOutput("o", "values", (1,), ("a",)),),
        )


def test_images_of_several_sizes_come_with_both_sizes_and_answers_are_cut_to_them() -> None:
    one = {"name": "image", "kind": "image", "shape": [1, "height", "width"]}
    samples = [numpy.ones((1, 2, 5), numpy.float32), numpy.ones((1, 4, 3), numpy.float32)]
    images, sizes = answering.batch(one, samples)
    assert images.shape == (2, 1, 4, 5) and sizes.tolist() == [[2, 5], [4, 3]]
    mask = {"name": "mask", "kind": "mask", "shape": ["height", "width"], "classes": ["ground"]}
    answers = answering.say(
        {"inputs": [one], "outputs": [mask]}, [images, sizes], [torch.zeros(2, 4, 5).long()]
    )
    assert [numpy.shape(answer["mask"]) for answer in answers] == [(2, 5), (4, 3)]
