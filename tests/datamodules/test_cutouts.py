"""Files by patterns, objects trimmed to what is opaque, photographs in colour."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.datamodules.cutouts import FilePatterns, read_cutout, read_photograph
from tests.datamodules.scenes_data import write_cutout


def test_patterns_say_which_files(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/b/2.png", "c/3.png", "c/4.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = FilePatterns(tmp_path)
    assert files.fitting(["c/[!4]*", "a/*.png"], "groups") == ["a/1.png", "a/b/2.png", "c/3.png"]
    assert FilePatterns(tmp_path, "a").fitting(["*.png"], "groups") == ["1.png", "b/2.png"]
    assert files.path("c/3.png") == tmp_path / "c/3.png"
    with pytest.raises(UserError, match=r"^groups\.x: 'd/\*' fits no file in "):
        files.fitting(["a/*", "d/*"], "groups.x")


def test_an_object_is_trimmed_to_its_opaque_pixels(tmp_path: Path) -> None:
    write_cutout(tmp_path / "box.png", "rectangle", (1, 2, 3))
    cutout = read_cutout(tmp_path / "box.png")
    assert (cutout.mode, cutout.size) == ("RGBA", (20, 12))
    assert set(map(tuple, np.asarray(cutout).reshape(-1, 4).tolist())) == {(1, 2, 3, 255)}
    large = Image.new("RGBA", (1000, 500), (9, 9, 9, 255))
    large.putpixel((0, 0), (0, 0, 0, 0))
    large.save(tmp_path / "large.png")
    assert read_cutout(tmp_path / "large.png").size == (256, 128)


def test_what_cuts_nothing_out_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (5, 5)).save(tmp_path / "photograph.png")
    with pytest.raises(UserError, match=r"photograph\.png has no transparent pixel"):
        read_cutout(tmp_path / "photograph.png")
    Image.new("RGBA", (5, 5), (0, 0, 0, 127)).save(tmp_path / "glass.png")
    with pytest.raises(UserError, match=r"glass\.png has no opaque pixel"):
        read_cutout(tmp_path / "glass.png")
    (tmp_path / "text.png").write_text("no")
    with pytest.raises(UserError, match=r"text\.png is no image"):
        read_cutout(tmp_path / "text.png")


def test_a_photograph_is_in_colour_and_of_bounded_size(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1024), (10, 20, 30)).save(tmp_path / "large.png")
    photograph = read_photograph(tmp_path / "large.png")
    assert (photograph.mode, photograph.size) == ("RGB", (1000, 512))
    assert photograph.getpixel((500, 256)) == (10, 20, 30)
    Image.new("L", (20, 10), 7).save(tmp_path / "grey.png")
    with pytest.raises(UserError, match=r"grey\.png is grey"):
        read_photograph(tmp_path / "grey.png")
