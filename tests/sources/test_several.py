"""A source of several parts: each in its folder, verified, with every licence."""

import hashlib
from pathlib import Path

import pytest

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.static_analysis.kinds import check_kinds
from modules.configuration.static_analysis.targets import build
from modules.sources.local_folder import LocalFolder
from modules.sources.several import Several, joined_licences
from modules.sources.url import Url


def part(tmp_path: Path, name: str, text: str, licence: str = "CC0-1.0", sha256: str = "") -> Url:
    file = tmp_path / f"{name}.txt"
    file.write_text(text)
    return Url(name, file.as_uri(), sha256 or hashlib.sha256(text.encode()).hexdigest(), licence)


def test_each_part_lies_in_its_own_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    several = Several(
        "both", [part(tmp_path, "one", "1", "MIT"), part(tmp_path, "two", "2", "GPL-2 AND MIT")]
    )
    several.fetch(tmp_path / "cache", out)
    assert {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.txt")} == {
        "one/one.txt": "1",
        "two/two.txt": "2",
    }
    assert sorted(path.name for path in (tmp_path / "cache/both").iterdir()) == ["one-one.txt", "two-two.txt"]
    assert several.licence == "MIT AND GPL-2" and not several.changes


def test_a_part_that_fails_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    several = Several("both", [part(tmp_path, "one", "1"), part(tmp_path, "two", "2", sha256="0" * 64)])
    with pytest.raises(UserError, match=r"^the part 'two' of the source 'both': two-two\.txt isn't what"):
        several.fetch(tmp_path / "cache", out)


def test_parts_that_cannot_be_together_are_refused(tmp_path: Path) -> None:
    one = part(tmp_path, "one", "1")
    with pytest.raises(UserError, match="the source 'both' has no parts"):
        Several("both", [])
    with pytest.raises(UserError, match="the source 'both' has two parts 'one'"):
        Several("both", [one, one])
    with pytest.raises(UserError, match="the part 'mine' of the source 'both' can change"):
        Several("both", [one, LocalFolder("mine", str(tmp_path), "MIT")])
    with pytest.raises(UserError, match=r"name='\.\./both' is no plain name"):
        Several("../both", [one])


def test_licences_are_said_once() -> None:
    assert joined_licences(["MIT", "GPL-2 AND MIT", "CC0-1.0"]) == "MIT AND GPL-2 AND CC0-1.0"


def test_parts_are_built_from_yaml_and_are_sources(tmp_path: Path) -> None:
    one = {
        "_target_": "modules.sources.url.Url",
        "name": "one",
        "url": "https://a/b",
        "sha256": "0" * 64,
        "licence": "MIT",
    }
    node = {"_target_": "modules.sources.several.Several", "name": "both", "parts": [one]}
    check_kinds({"data": {"source": node}})
    assert [type(made) for made in build(node).parts] == [Url]
    model = {"_target_": "modules.datamodules.formats.idx.IdxReader"}
    with pytest.raises(ConfigError, match=r"data\.source\.parts\[0\]\._target_.*is not a source"):
        check_kinds({"data": {"source": node | {"parts": [model]}}})
