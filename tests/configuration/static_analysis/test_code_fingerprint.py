"""Fingerprints follow imports: what a recipe does not reach does not change it, nor do comments."""

from pathlib import Path

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.plans.code_rings import CARRIERS, CARRYING_ROOTS
from modules.configuration.static_analysis.code_fingerprint import (
    code_files,
    code_fingerprint,
    reached_modules,
)
from modules.configuration.static_analysis.definitions import ROOT, define

LENET = "modules.models.convolutional.lenet.LeNet"
PERCEPTRON = "modules.models.feedforward.perceptron.Perceptron"
CONVOLUTION = "modules/bricks/convolution.py"


def append(code: Path, path: str, text: str) -> None:
    (code / path).write_text((code / path).read_text() + text)


def test_a_brick_that_only_lenet_uses_changes_only_lenet(code: Path) -> None:
    before = {model: code_fingerprint([model], code) for model in (LENET, PERCEPTRON)}
    assert CONVOLUTION in before[LENET]["files"] and CONVOLUTION not in before[PERCEPTRON]["files"]
    append(code, CONVOLUTION, "\nADDED = 1\n")
    assert code_fingerprint([LENET], code)["fingerprint"] != before[LENET]["fingerprint"]
    assert code_fingerprint([PERCEPTRON], code) == before[PERCEPTRON]


def test_comments_layout_and_docstrings_change_nothing(code: Path) -> None:
    before = code_fingerprint([LENET], code)
    path = code / CONVOLUTION
    text = (
        path.read_text().replace('"""', '"""Said otherwise. ', 1).replace("\n\n\n", "\n\n\n\n# A comment.\n")
    )
    path.write_text(text + "\n\n'''A string that nobody reads.'''\n")
    assert code_fingerprint([LENET], code) == before


def test_every_kind_of_import_is_followed(code: Path) -> None:
    package = code / "modules" / "made"
    (package / "inner").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "a.py": "from . import b\nfrom .inner import c\nfrom modules.made import d\nimport modules.made.e\n",
        "b.py": "def late():\n    from .f import name\n    return name\n",
        "d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from modules.made import g\n",
        "e.py": "import torch\nfrom .inner.h import *\n",
        "f.py": "name = 1\n",
        "g.py": "",
        "unreached.py": "",
        "page.html": "<p>",
        "inner/__init__.py": "from ..k import thing\n",
        "inner/c.py": "",
        "inner/h.py": "from .. import a\n",
        "k.py": "thing = 1\n",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    reached = reached_modules(["modules.made.a"], code)
    expected = ["", ".a", ".b", ".d", ".e", ".f", ".inner", ".inner.c", ".inner.h", ".k"]
    assert reached == ["modules", *(f"modules.made{name}" for name in expected)]
    before = code_fingerprint(["modules.made.a"], code)
    assert "modules/made/page.html" in before["files"]
    (package / "page.html").write_text("<b>")
    assert code_fingerprint(["modules.made.a"], code)["fingerprint"] != before["fingerprint"]


def test_only_what_counts_is_in_a_recipes_fingerprint() -> None:
    from modules.shapes.make_plan import training_code

    files = {name: training_code(compose([f"recipe={name}"])).files for name in ("lenet", "perceptron")}
    assert "modules/training/fit.py" in files["lenet"]
    assert "modules/datamodules/shard_loader.py" in files["lenet"]
    assert set(files["lenet"]) - set(files["perceptron"]) == {
        "modules/bricks/convolution.py",
        "modules/bricks/normalisation.py",
        "modules/bricks/pooling.py",
        "modules/models/convolutional/__init__.py",
        "modules/models/convolutional/lenet.py",
        "modules/models/features.py",
    }
    for reached in files["lenet"]:
        assert not reached.startswith(("modules/sources", "modules/report", "modules/registry", "pipelines"))
        assert not reached.startswith(
            ("modules/configuration", "modules/tracking", "modules/training/progress")
        )


def test_what_carries_a_training_is_in_a_ring_of_its_own(code: Path) -> None:
    files = code_files(list(CARRYING_ROOTS))
    assert {"modules/training/monitoring/progress.py", "modules/training/runs/run.py"} <= set(files)
    for path in CARRIERS:
        assert (ROOT / path).exists(), f"{path} is listed, and is not there"
        assert any(reached.startswith(path) for reached in files), f"{path} carries no training"


def test_a_document_counts_nowhere(code: Path) -> None:
    before = code_fingerprint([LENET], code)
    (code / "modules" / "models" / "README.md").write_text("About models")
    (code / "modules" / "bricks" / "notes.txt").write_text("x")
    assert code_fingerprint([LENET], code) == before


def test_a_name_that_leads_nowhere_and_broken_code_are_one_line(code: Path) -> None:
    with pytest.raises(UserError, match="leads to no source"):
        code_fingerprint(["modules.models.nothing.Thing"], code)
    append(code, CONVOLUTION, "\ndef broken(:\n")
    with pytest.raises(UserError, match=r"convolution.py:\d+: no valid Python"):
        code_fingerprint([LENET], code)


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("torch.optim.AdamW", "torch/optim/adamw.py"),
        ("torch.optim.SGD", "torch/optim/sgd.py"),
        ("torch.nn.Linear", "torch/nn/modules/linear.py"),
        ("torch.nn.modules.linear.Linear", "torch/nn/modules/linear.py"),
        ("torch.optim.lr_scheduler.CosineAnnealingLR", "torch/optim/lr_scheduler.py"),
        (LENET, "modules/models/convolutional/lenet.py"),
    ],
)
def test_definitions_are_followed_to_their_file(target: str, file: str) -> None:
    found = define(target)
    assert found is not None and found.module.path.as_posix().endswith(file)
    assert found.name == target.rpartition(".")[2]


def test_definitions_that_are_none() -> None:
    for target in (
        "torch.nn.functional",
        "modules.nothing",
        "nothing_at_all.x.y",
        "sys.exit",
        "LeNet",
        "",
        "a..b",
    ):
        assert define(target) is None
    assert (ROOT / "modules").is_dir()
