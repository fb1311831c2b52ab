"""`python -m pipelines.fetch` as a user meets it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modules.configuration.errors import UserError
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_writer import split_samples
from modules.sources.cache import sha256_of
from pipelines.fetch import fetch, main

ROOT = Path(__file__).parents[2]


def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.fetch", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The source `pets`, a folder with a licence, as a conf tree."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/1.txt").write_text("one")
    (tmp_path / "mine/LICENSE.txt").write_text("free")
    (tmp_path / "conf/source").mkdir(parents=True)
    target = "modules.sources.local_folder.LocalFolder"
    node = {"_target_": target, "name": "pets", "path": str(tmp_path / "mine"), "licence": "CC0-1.0"}
    (tmp_path / "conf/source/pets.yaml").write_text(yaml.safe_dump(node))
    return tmp_path / "conf"


def folders(conf: Path) -> list[str]:
    return [f"{key}={conf.parent / key}" for key in ("conf", "data", "cache")]


def test_a_source_lands_with_its_record(conf: Path) -> None:
    done = run("source=pets", *folders(conf))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "pets: 2 files, sha256 verified, licence CC0-1.0\n"
    found = json.loads((conf.parent / "data/pets/source.json").read_text())
    assert found["name"] == "pets" and found["licence"] == "CC0-1.0" and len(found["sha256"]) == 64
    assert found["files"]["1.txt"] == sha256_of(conf.parent / "mine/1.txt")
    assert str(conf.parent) not in json.dumps(found), "a path of this machine is no part of the data"


def test_fetching_again_replaces_the_whole(conf: Path) -> None:
    main(["source=pets", *folders(conf)])
    (conf.parent / "data/pets/stray").write_text("x")
    (conf.parent / "mine/1.txt").unlink()
    main(["source=pets", *folders(conf)])
    assert {path.name for path in (conf.parent / "data/pets").iterdir()} == {"LICENSE.txt", "source.json"}


def test_a_failed_fetch_keeps_what_was_there(conf: Path) -> None:
    main(["source=pets", *folders(conf)])
    before = {path.name: sha256_of(path) for path in (conf.parent / "data/pets").iterdir()}
    (conf.parent / "mine").rename(conf.parent / "gone")
    with pytest.raises(UserError, match="is no folder"):
        main(["source=pets", *folders(conf)])
    assert before == {path.name: sha256_of(path) for path in (conf.parent / "data/pets").iterdir()}
    assert {path.name for path in (conf.parent / "data").iterdir()} == {"pets", ".pets.lock"}


def test_a_plan_serves_as_well(conf: Path) -> None:
    node = yaml.safe_load((conf / "source/pets.yaml").read_text()) | {
        "code": {"fingerprint": "0", "files": {}}
    }
    plan = conf.parent / "plan.yaml"
    plan.write_text(yaml.safe_dump(node))
    main([f"plan={plan}", *folders(conf)])
    assert (conf.parent / "data/pets/1.txt").read_text() == "one"


def test_licences_are_listed(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--licences", *folders(conf)])
    before = capsys.readouterr().out
    assert "pets" in before and "CC0-1.0" in before and "not fetched yet" in before
    main(["source=pets", *folders(conf)])
    capsys.readouterr()
    main(["--licences", *folders(conf)])
    assert "data/pets/LICENSE.txt" in capsys.readouterr().out.replace("\n", "")


def test_every_source_of_the_yard_is_listed_with_its_licence() -> None:
    shown = run("--licences").stdout
    for path in (ROOT / "conf/source").glob("*.yaml"):
        node = yaml.safe_load(path.read_text())
        parts = [part | {"name": f"{node['name']}/{part['name']}"} for part in node.get("parts", [])]
        for one in parts or [node]:
            line = next(line for line in shown.splitlines() if f" {one['name']} " in line)
            assert one["licence"] in line and one.get("version", "") in line


def test_a_source_of_parts_lands_whole_or_not_at_all(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = []
    for name, licence in (("one", "MIT"), ("two", "GPL-2")):
        (conf.parent / f"{name}.txt").write_text(name)
        parts.append({
            "_target_": "modules.sources.url.Url",
            "name": name,
            "url": (conf.parent / f"{name}.txt").as_uri(),
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
            "licence": licence,
        })  # fmt: skip
    node = {"_target_": "modules.sources.several.Several", "name": "both", "parts": parts}
    (conf / "source/both.yaml").write_text(yaml.safe_dump(node))
    main(["source=both", *folders(conf)])
    assert capsys.readouterr().out == "both: 2 files, sha256 verified, licence MIT AND GPL-2\n"
    found = json.loads((conf.parent / "data/both/source.json").read_text())
    assert [part["licence"] for part in found["parts"]] == ["MIT", "GPL-2"]
    assert set(found["files"]) == {"one/one.txt", "two/two.txt"}
    main(["--licences", *folders(conf)])
    shown = capsys.readouterr().out
    assert "both/one" in shown and "both/two" in shown and "not fetched yet" in shown  # pets is not
    parts[1]["sha256"] = "0" * 64
    (conf / "source/both.yaml").write_text(yaml.safe_dump(node))
    with pytest.raises(UserError, match=r"the part 'two' of the source 'both': two-two\.txt isn't what"):
        main(["source=both", *folders(conf)])
    assert found == json.loads((conf.parent / "data/both/source.json").read_text())
    assert (conf.parent / "data/both/two/two.txt").read_text() == "two"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["source=pest"], "there is no source 'pest'. Did you mean pets?"),
        (["source=../pets"], "'../pets' is no name for a source"),
        (["sorce=pets"], "there is no argument 'sorce'. Did you mean source?"),
        ([], "say what to fetch"),
        (["source=pets", "plan=x"], "say what to fetch"),
        (["plan=missing.yaml"], "missing.yaml is not there"),
    ],
)
def test_mistakes_are_one_line(conf: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, *folders(conf))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": None}, "licence"),
        ({"patch": "x"}, "patch"),
        ({"_target_": "os.system"}, "os.system is not allowed"),
        ({"_target_": "modules.sources.local_folder.LocalFoldr"}, "LocalFolder"),
        ({"name": "../escape"}, "is no plain name"),
    ],
)
def test_a_source_yaml_with_a_mistake_is_one_line(conf: Path, change: dict, message: str) -> None:
    path = conf / "source/pets.yaml"
    node = yaml.safe_load(path.read_text()) | change
    path.write_text(yaml.safe_dump({key: value for key, value in node.items() if value is not None}))
    done = run("source=pets", *folders(conf))
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (conf.parent / "escape").exists()


def test_nothing_can_be_written_is_one_line(conf: Path) -> None:
    done = run("source=pets", *folders(conf)[:1], "data=/sys/raw")
    assert done.returncode == 2
    assert done.stderr.startswith("error: can't write /sys/raw") and done.stderr.count("\n") == 1


def test_fetch_imports_no_torch() -> None:
    code = (
        "import sys, pipelines.fetch, pipelines.shard, modules.sources.debian; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_local_folder_has_the_hash_of_its_files(conf: Path) -> None:
    node = yaml.safe_load((conf / "source/pets.yaml").read_text())
    first = fetch(node, conf.parent / "data", conf.parent / "cache")["sha256"]
    assert fetch(node, conf.parent / "other", conf.parent / "cache")["sha256"] == first
    (conf.parent / "mine/1.txt").write_text("two")
    assert fetch(node, conf.parent / "data", conf.parent / "cache")["sha256"] != first


def test_a_folder_is_looked_at_and_the_look_fetches(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("a")
    node = {"_target_": "modules.sources.local_folder.LocalFolder", "name": "mine", "licence": "CC0-1.0"}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(node | {"path": str(tmp_path / "mine"), "code": {}}))
    plan, look = tmp_path / "plan.yaml", tmp_path / "look.yaml"
    main([f"plan={plan}", f"look={look}"])
    first = look.read_text()
    main([f"plan={look}", f"data={tmp_path / 'raw'}"])
    assert (tmp_path / "raw/mine/a.txt").read_text() == "a"
    (tmp_path / "mine" / "b.txt").write_text("b")
    main([f"plan={plan}", f"look={look}"])
    assert yaml.safe_load(first)["listing"].keys() == {"a.txt"}
    assert yaml.safe_load(look.read_text())["listing"].keys() == {"a.txt", "b.txt"}


def test_a_name_that_is_no_utf8_is_fetched_and_sharded(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "one"
    mine.mkdir(parents=True)
    odd = os.fsencode(mine) + b"/caf\xe9.txt"
    Path(os.fsdecode(odd)).write_text("a")
    node = {"_target_": "modules.sources.local_folder.LocalFolder", "name": "mine", "licence": "CC0-1.0"}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(node | {"path": str(tmp_path / "mine")}))
    main([f"plan={tmp_path / 'plan.yaml'}", f"look={tmp_path / 'look.yaml'}"])
    main([f"plan={tmp_path / 'look.yaml'}", f"data={tmp_path / 'raw'}"])
    (copied,) = (tmp_path / "raw/mine/one").iterdir()
    assert os.fsencode(copied.name) == b"caf\xe9.txt"
    found = split_samples({"train": ArraySamples(["one/caf\udce9.txt"], {})}, {})
    assert found["train"][1].tolist() == [0]
