"""Images of answers as files: over an image, or, where numbers were given, by themselves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.registry.answer_images import write_images
from modules.registry.answer_table import show


def pixels(file: str) -> list:
    return np.asarray(Image.open(file)).tolist()


def test_a_mask_lies_over_an_image_and_on_black_where_numbers_were_given(tmp_path: Path) -> None:
    white, numbers = np.ones((1, 1, 2), np.float32), np.zeros(3, np.float32)
    answers = [{"input": "a.png", "mask": [[0, 1]]}, {"input": "b.json", "mask": [[0, 1]]}]
    write_images(answers, [[white], [numbers]], tmp_path)
    assert [Path(answer["file"]).name for answer in answers] == ["000-a.png", "001-b.png"]
    assert [pixels(answer["file"]) for answer in answers] == [
        [[[255, 255, 255], [255, 216, 128]]],
        [[[0, 0, 0], [255, 176, 0]]],
    ]
    assert all("mask" not in answer for answer in answers)


def test_several_outputs_have_a_file_each(tmp_path: Path) -> None:
    answer = {"input": "c.csv:1, v.csv:1", "image": {"image": [[[7, 8]]]}, "mask": {"mask": [[1, 0]]}}
    write_images([answer], [[np.zeros(3, np.float32)]], tmp_path)
    assert pixels(answer["image"]["file"]) == [[7, 8]]
    assert pixels(answer["mask"]["file"]) == [[[255, 176, 0], [0, 0, 0]]]


def test_outputs_called_as_what_they_hold_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        [
            {
                "input": "c.csv:1",
                "image": {"file": "made/0.png"},
                "mask": {"mask": [[1]], "shares": {"object": 1.0}},
            }
        ]
    )
    said = capsys.readouterr().out
    assert "made/0.png" in said and "mask: write it with out=folder" in said and "image: write" not in said
