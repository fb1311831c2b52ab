"""Exhibits: written, read back the same, and shown."""

import base64
import io
import json
import re
import wave
from pathlib import Path

import numpy
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.evaluation.exhibits import KINDS, Animation, AnnotatedImage, Box, Gallery, Sound, SoundPlayers
from modules.evaluation.findings import Findings
from modules.evaluation.grid_image import grid_image
from modules.report.exhibit_figures import COLOURS, exhibit_figure
from modules.report.exhibit_reading import read_exhibits
from tests.report.made_exhibits import SIDE, exhibits


@pytest.fixture
def written(tmp_path: Path) -> Path:
    kept = Findings({"num_samples": 1}, exhibits=exhibits()).save(tmp_path)
    folder = tmp_path / "exhibits"
    assert set(folder.iterdir()) <= set(kept)
    return folder / "exhibits.json"


def same(first: object, second: object) -> bool:
    """Whether two exhibits are equal, sounds and heat as far as their files can hold them."""
    if isinstance(first, numpy.ndarray) and isinstance(second, numpy.ndarray):
        step = 0.003 if first.dtype.kind == "f" else 0
        return first.shape == second.shape and bool(numpy.allclose(first, second, rtol=0, atol=step))
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    if hasattr(first, "__dataclass_fields__"):
        return type(first) is type(second) and same(list(vars(first).values()), list(vars(second).values()))
    return first == second


def test_every_kind_is_read_as_it_was_written(written: Path) -> None:
    found, made = read_exhibits(written), exhibits()
    assert {one.kind for one in made} == set(KINDS)
    assert [one.kind for one in found] == [one.kind for one in made]
    for one, other in zip(found, made, strict=True):
        assert same(one, other), one.kind
    assert not same(found[2], found[3]) and not same(found[4], Gallery("scenes", "", "", []))


def test_no_exhibits_leave_no_folder(tmp_path: Path) -> None:
    Findings({"num_samples": 1}).save(tmp_path)
    assert not (tmp_path / "exhibits").exists() and read_exhibits(tmp_path / "exhibits/exhibits.json") == []


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("table", {"rows": [["one"]]}),
        ("table", {"kind": "film"}),
        ("sounds", {"sounds": [{"label": "a", "file": "stages-0-0.png"}]}),
        ("sounds", {"sounds": [{"label": "a", "file": "../metrics.json"}]}),
        ("strips", {"strips": [{"label": "a", "files": ["sounds-0.wav"]}]}),
        ("animation", {"files": []}),
        ("animation", {"frames_per_s": 0}),
        ("animation", {"frames_per_s": float("nan")}),
        ("animation", {"files": ["course-000.png", "scenes-0.png"]}),
        ("gallery", {"images": [{"label": "a"}]}),
    ],
)
def test_a_damaged_exhibit_is_one_line(written: Path, kind: str, changes: dict) -> None:
    entries = json.loads(written.read_text())
    (entry,) = (one for one in entries if one["kind"] == kind)
    entry |= changes
    written.write_text(json.dumps(entries))
    with pytest.raises(UserError, match=r"exhibits\.json|metrics\.json") as caught:
        read_exhibits(written)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_than_its_image_is_refused(written: Path) -> None:
    Image.new("L", (3, 3)).save(written.parent / "scenes-1-mask0.png")
    with pytest.raises(UserError, match="of another size than its image"):
        read_exhibits(written)


def test_a_sound_travels_in_the_page_sample_by_sample() -> None:
    samples = numpy.array([0, 0.5, -1, 1], numpy.float32)
    (player,) = exhibit_figure(SoundPlayers("s", "S", "", [Sound("a click", samples, 4)])).players
    kind, _, data = player.address.partition(",")
    assert kind == "data:audio/wav;base64" and player.label == "a click, 1 s"
    with wave.open(io.BytesIO(base64.b64decode(data))) as opened:
        level = numpy.frombuffer(opened.readframes(9), "<i2")
        assert (opened.getframerate(), opened.getnchannels(), level.tolist()) == (
            4,
            1,
            [0, 16384, -32767, 32767],
        )


def test_a_sound_without_samples_has_a_player_all_the_same() -> None:
    empty = Sound("nothing", numpy.zeros(0, numpy.float32), 8000)
    (player,) = exhibit_figure(SoundPlayers("s", "S", "", [empty])).players
    assert player.label == "nothing, 0 s"


def test_an_animation_has_every_frame_and_its_last_one_standing_still() -> None:
    frames = [numpy.full((4, 6), 20 * number, numpy.uint8) for number in range(5)]
    found = exhibit_figure(Animation("a", "A", "", frames, frames_per_s=4))
    assert found.moving and found.still and found.moving.width_px == found.still.width_px == 288
    with Image.open(io.BytesIO(base64.b64decode(found.moving.address.partition(",")[2]))) as moving:
        assert (moving.n_frames, moving.info["duration"]) == (5, 250)  # type: ignore[attr-defined]
        levels = []
        for number in range(5):
            moving.seek(number)
            levels.append(moving.convert("L").getpixel((0, 0)))
    assert levels == [0, 20, 40, 60, 80]
    with Image.open(io.BytesIO(base64.b64decode(found.still.address.partition(",")[2]))) as still:
        assert still.getpixel((0, 0)) == 80


def test_boxes_lie_where_they_belong_and_one_label_has_one_colour() -> None:
    pixels = numpy.zeros((SIDE, SIDE), numpy.uint8)
    boxes = [Box(10, 20, 30, 44, "cat", 0.5), Box(0, 0, 5, 5, "dog"), Box(1, 1, 2, 2, "cat")]
    (plate,) = exhibit_figure(Gallery("g", "G", "", [AnnotatedImage("a", pixels, boxes)])).plates
    drawn = re.findall(
        r'<rect class="box" stroke="(.*?)" x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"', plate.drawing
    )
    assert drawn[0] == (COLOURS[0], "60", "120", "120", "144")  # enlarged by six
    assert [colour for colour, *_ in drawn] == [COLOURS[0], COLOURS[1], COLOURS[0]]
    assert ">cat 0.50</text>" in plate.drawing and 'aria-label="a: cat, dog, cat"' in plate.drawing


def test_one_scale_for_a_gallery() -> None:
    """A cell of a grid is as large beside a long sentence as beside a short one, and names stay readable."""

    def shown(*grids: tuple[int, int]) -> list[tuple[int, float]]:
        images = [
            AnnotatedImage(
                "", grid_image(numpy.ones((rows, columns)), ["a"] * rows, [str(n) for n in range(columns)])
            )
            for rows, columns in grids
        ]
        plates = exhibit_figure(Gallery("attention", "A", "", images)).plates
        widths = [image.pixels.shape[1] for image in images]
        return [(plate.width_px, plate.width_px / width) for plate, width in zip(plates, widths, strict=True)]

    ((small, alone),) = shown((3, 4))
    assert alone == 3, "small grids are enlarged, by a whole factor"
    (short, first), (long, second) = shown((3, 4), (25, 30))
    assert first == second == 1 and short == small / 3 and long > 5 * short
    assert shown((8, 80))[0][1] == 1, "a grid over a text may be wide"
    (_, first), (_, second) = shown((90, 90), (30, 45))
    assert first == pytest.approx(second, abs=0.002) and first < 0.6, "all shrink with the largest"
    assert exhibit_figure(Gallery("empty", "E", "", [])).plates == []
