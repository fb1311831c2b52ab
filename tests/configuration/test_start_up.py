"""What every user waits for imports none of the heavy libraries."""

import subprocess
import sys

import pytest

from modules.configuration.static_analysis.definitions import ROOT

HEAVY = {"torch", "numpy", "pytorch_lightning", "mlflow", "ray", "dvc", "matplotlib", "pandas", "webdataset"}
PROGRAM = """
import atexit, runpy, sys
def tell():
    print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)

atexit.register(tell)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def start(*argv: str) -> tuple[int, str, set[str]]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *argv], cwd=ROOT, capture_output=True, text=True)
    told, _, loaded = ran.stderr.partition("LOADED")
    return ran.returncode, ran.stdout + told, set(loaded.split())


VERBS = sorted(path.stem for path in (ROOT / "pipelines").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_light(verb: str) -> None:
    status, shown, loaded = start(f"pipelines.{verb}", "--help")
    assert status == 0 and f"pipelines.{verb}" in shown
    assert not loaded & HEAVY and "hydra" not in loaded


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["pipelines.train", "recipe=lent"], "Did you mean lenet?"),
        (["pipelines.train", "recipe=lenet", "model.num_filters=[8,a]"], "model.num_filters[1]"),
        (["pipelines.train", "-m", "seed=1,x"], "seed"),
        (["pipelines.train", "-m", "hydra/sweeper=ray", "seed=1,x"], "seed"),
        (
            ["pipelines.train", "-m", "hydra/sweeper=ray", "model.num_filtrs=1,2"],
            "Did you mean model.num_filters?",
        ),
        (["pipelines.train", "-m", "hydra/launcher=ray", "optimizer.ler=1,2"], "Did you mean optimizer.lr?"),
        (["pipelines.sweep", "space=lent"], "Did you mean lenet?"),
        (["pipelines.sweep", "lenet"], "Begin with space="),
        (["pipelines.sweep", "plan=nothing.yaml"], "nothing.yaml is not there"),
        (["pipelines.plan", "recipe=lenet", "+model.num_filtrs=[8]"], "Did you mean num_filters?"),
        (["pipelines.plan", "--lsit"], "Did you mean --list?"),
    ],
)
def test_a_refused_configuration_is_light_and_one_line(argv: list[str], expected: str) -> None:
    status, shown, loaded = start(*argv)
    assert status == 2 and shown.startswith("error: ") and shown.count("\n") == 1
    assert expected in shown and not loaded & HEAVY


def test_list_and_cfg_are_light() -> None:
    status, shown, loaded = start("pipelines.plan", "--list")
    assert status == 0 and not loaded & HEAVY
    recipes = sorted(path.stem for path in (ROOT / "conf" / "recipe").rglob("*.yaml"))
    assert [line.split()[0] for line in shown.splitlines()] == recipes
    status, shown, loaded = start("pipelines.train", "--cfg", "job")
    assert status == 0 and "trainer:" in shown and not loaded & HEAVY


def test_no_pipeline_imports_a_heavy_library_at_its_top() -> None:
    imports = "; ".join(f"import pipelines.{verb}" for verb in VERBS)
    program = f"import sys; {imports}; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {name.partition(".")[0] for name in ran.stdout.split()} & HEAVY
