"""What a job takes along: what git tracks, and nothing else."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from modules.cluster import jobs_api
from modules.cluster.code_package import SENT, Package, collect, size, untracked
from modules.configuration.errors import UserError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name in ("conf/config.yaml", "modules/a.py", "modules/secret.env", "constraints.txt", "README.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n")
    (root / "modules" / "link.py").symlink_to("/etc/hostname")
    (root / ".gitignore").write_text("*.env\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    (root / "modules" / "new.py").write_text("untracked\n")
    return root


def test_only_tracked_files_of_the_packages_are_sent(repository: Path) -> None:
    assert set(collect(root=repository).files) == {"conf/config.yaml", "constraints.txt", "modules/a.py"}
    assert untracked(repository) == ["modules/new.py"]


def test_a_deleted_file_is_not_missed(repository: Path) -> None:
    (repository / "modules" / "a.py").unlink()
    assert "modules/a.py" not in collect(root=repository).files


def test_shards_go_along_where_they_are_asked_for(repository: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards" / "digits"
    shards.mkdir(parents=True)
    (shards / "shards.json").write_text("{}")
    (shards / ".lock").write_text("")
    files = collect([shards], repository).files
    assert files["data/shards/digits/shards.json"] == shards / "shards.json"
    assert not [name for name in files if ".lock" in name]


def test_the_archive_depends_on_the_files_alone(repository: Path, tmp_path: Path) -> None:
    package = collect(root=repository)
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    assert package.write_zip(first) == first.stat().st_size
    (repository / "modules" / "a.py").touch()
    package.write_zip(second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert sorted(archive.namelist()) == sorted(package.files)
    package.write_folder(tmp_path / "copy")
    assert (tmp_path / "copy" / "modules" / "a.py").read_text() == "modules/a.py\n"


def test_outside_a_repository_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="git knows no repository"):
        collect(root=tmp_path)


def test_too_large_is_said_with_both_sizes(tmp_path: Path) -> None:
    limit = jobs_api.upload_limit()
    assert limit == 100 * 2**20  # the dashboard's, below the 512 MiB of the store behind it
    jobs_api.check_size(limit - 1)
    with pytest.raises(UserError, match=r"take 100\.0 MiB, Ray accepts 100\.0 MiB.*cluster\.storage"):
        jobs_api.check_size(limit)


def test_this_repository_is_sent_whole_and_small() -> None:
    package = collect()
    names = {Path(name).parts[0] for name in package.files}
    assert names == {Path(name).parts[0] for name in SENT}
    assert package.num_bytes < 4 * 2**20


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1536, 5 * 2**20, 3 * 2**30)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB",
    ]  # fmt: skip
    assert Package({}).num_bytes == 0
