"""data/README.md: git tracks it and nothing else of data/, and it names every source."""

import subprocess

from modules.configuration.composition.conf_contents import names, source
from modules.configuration.static_analysis.definitions import ROOT
from modules.sources.several import joined_licences


def test_it_names_every_source_with_its_package_and_licence() -> None:
    text = (ROOT / "data" / "README.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    listed = {row[0].strip("`"): (row[1], row[2]) for row in rows}
    for name in names("source"):
        found = source(name)
        parts = found.get("parts", [found])
        package, licence = listed[name]
        for part in parts:
            assert (f"`{part['package']}`" if "package" in part else "generated") in package
        assert licence == joined_licences([part["licence"] for part in parts])


def test_git_ignores_what_lies_beside_it() -> None:
    ignored = ["data/cache", "data/raw/fashion_mnist", "data/shards/fashion_mnist/shards.json"]
    command = ["git", "check-ignore", "--no-index", "data/README.md", *ignored]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ignored
