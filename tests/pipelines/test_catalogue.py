"""`python -m pipelines.catalogue`: what is asked, what is shown, and a small catalogue under real DVC."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT
from modules.planning.catalogue_order import choose, read_entries, recipes_of
from pipelines.catalogue import main
from tests.dvc_yard import MODELS, command, environment, make_dvc_yard, recipe

FAMILIES = "adversarial, boltzmann, captioning, convolutional"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained there."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("family=recurent", "no family 'recurent'. Did you mean recurrent?"),
        ("family=zzz", f"no family 'zzz'. There is: {FAMILIES}"),
        ("max_minutes=0", "max_minutes=0 is no number above 0"),
        ("max_minutes=-1", "max_minutes=-1 is no number above 0"),
        ("max_minutes=nan", "max_minutes=nan is no number above 0"),
        ("max_minutes=inf", "max_minutes=inf is no number above 0"),
        ("max_minutes=ten", "max_minutes=ten is no float"),
        ("jobs=0", "jobs=0 is no number of recipes"),
        ("dry_run=perhaps", "dry_run=perhaps is neither true nor false"),
        ("famly=recurrent", "there is no argument 'famly'. Did you mean family?"),
    ],
)
def test_what_is_refused(argument: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        main([argument, "dry_run=true"] if "dry_run" not in argument else [argument])
    assert not any(Path.cwd().iterdir())


def test_a_dry_run_shows_all_and_touches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dry_run=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[: lines.index("")]]
    assert rows[0] == ["recipe", "state", "minutes"]
    order = [row[0] for row in rows[1:]]
    assert order.index("fcn_32s") < order.index("fcn_16s") < order.index("fcn_8s")
    assert order.index("thing_embedding") < order.index("things_regressed")
    assert ["neuron", "not", "trained", "0.13"] in rows and ["rbm_ones", "not", "trained", "unknown"] in rows
    assert lines[-1].startswith(f"left to train: {len(order)} of {len(order)} recipes, ")
    assert "left out" not in " ".join(lines) and not any(Path.cwd().iterdir())


def test_a_dry_run_of_the_short_ones_of_a_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry_run", "family=segmentation", "max_minutes=25"]) == 0
    shown = capsys.readouterr().out
    out = shown[shown.index("left out") :].splitlines()
    assert "fcn_nuclei" in shown and "lenet" not in shown
    assert out[0].startswith("left out, longer than max_minutes, or nobody knows: fcn_32s, ")
    assert out[1] == "left out, need one that is left out: fcn_16s"


def small(name: str, like: str, minutes: str, changes: str = "") -> str:
    """A recipe of the small yard; what it says of the score is below chance."""
    text = recipe(name, *MODELS[like]).replace("at_least: 0.3", f"at_least: 0.0, minutes: {minutes}")
    for change in changes.splitlines():
        key = change.partition(":")[0]
        lines = [line for line in text.splitlines() if not line.startswith(f"{key}:")]
        text = "\n".join([*lines, change, ""])
    return text


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that is trained to its end, one that diverges, one that needs it, one that takes long."""
    lasting = "trainer: {max_epochs: 100000, batch_size: 20, checkpoint_every_steps: 20}"
    recipes = {
        "small_lenet": small("small_lenet", "small_lenet", "2").replace(
            "/tracking: none", "/tracking: sqlite"
        ),
        "diverging": small("diverging", "small_perceptron", "1", "optimizer: {lr: 1.0e+30}"),
        "taught": small("taught", "small_perceptron", "0.5", "init_from: build/train/diverging"),
        "lasting": small("lasting", "small_perceptron", "60", lasting),
    }
    return make_dvc_yard(tmp_path_factory.mktemp("catalogue"), recipes, {})


def run(yard: Path, *arguments: str) -> tuple[int, str, str]:
    line = [sys.executable, "-m", "pipelines.catalogue", *arguments]
    done = subprocess.run(line, cwd=yard, env=environment(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def states(yard: Path) -> dict[str, str]:
    shown = command(yard, sys.executable, "-m", "pipelines.catalogue", "dry_run=true").partition("\n\n")[0]
    return {row.split()[0]: " ".join(row.split()[1:-1]) for row in shown.splitlines()[1:]}


@pytest.mark.timeout(900)
def test_one_that_fails_stops_none_but_those_that_need_it(yard: Path) -> None:
    """Two at once."""
    status, out, err = run(yard, "max_minutes=10", "jobs=2")
    assert status == 1, out + err
    assert "left out, longer than max_minutes, or nobody knows: lasting" in out
    assert "left to train: 3 of 3 recipes, 0.1 hours of one core for 3" in out
    order = re.findall(r"^(\w+): (?:\d of 3, minutes|needs)", out, re.MULTILINE)
    assert order == ["diverging", "small_lenet", "taught"]
    for name in ("diverging", "small_lenet"):
        assert f"{name} | Running stage 'train@{name}'" in out
    assert "taught: needs diverging, and is not tried" in out
    assert err.splitlines()[-1] == "failed: diverging; not tried, for they need these: taught"
    assert (yard / "build/promote/small_lenet.json").is_file()
    assert "small_lenet" in (yard / "build/report/index.html").read_text() and "test accuracy" in out
    found = states(yard)
    assert found["small_lenet"] == "trained" and found["lasting"] == "not trained"
    assert "trained" not in (found["diverging"], found["taught"])


def test_a_stage_is_of_the_recipes_whose_results_it_takes(tmp_path: Path) -> None:
    entries = read_entries()
    found = recipes_of("report", entries, ROOT / "dvc.yaml")
    assert found == {"neuron", "perceptron", "lenet", "lenet_digits", "dbn_digits"}
    assert choose(entries, [], recipes=found).recipes[0].name == "neuron"
    for stage, message in (
        ("reprot", "has no stage 'reprot'. Did you mean report?"),
        ("plan", "takes the results of no recipe"),
    ):
        with pytest.raises(UserError, match=message):
            recipes_of(stage, entries, ROOT / "dvc.yaml")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_goes_on_where_it_was(sent: signal.Signals, yard: Path) -> None:
    before = checkpoints(yard)
    line = [sys.executable, "-m", "pipelines.catalogue"]
    log = yard / f"{sent.name}.log"
    with log.open("w") as stream:
        running = subprocess.Popen(line, cwd=yard, env=environment(), stdout=stream, stderr=stream)
        try:
            until = time.monotonic() + 400
            while checkpoints(yard) == before:
                assert running.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            running.send_signal(sent)
            assert running.wait(300) == 128 + sent
        finally:
            running.kill()
            left = started_in(yard)
            for process in left:
                process.kill()
    shown = log.read_text()
    assert "diverging failed; going on" in shown
    assert ("lasting: going on with" if before else "lasting: training") in shown
    assert f"interrupted by {sent.name}: the same command goes on where it was" in shown
    assert "Running stage 'evaluate@lasting'" not in shown
    assert states(yard)["lasting"] == "interrupted"
    assert not left, "nothing goes on without it"


def checkpoints(yard: Path) -> dict[Path, int]:
    """When each run that is not finished was saved, by its checkpoint."""
    found = (yard / "runs").glob("*/checkpoints/last.ckpt")
    return {
        path: path.stat().st_mtime_ns
        for path in found
        if not (path.parents[1] / "weights.pt").exists()
        and "name: lasting" in (path.parents[1] / "plan.yaml").read_text()
    }


def started_in(folder: Path) -> list[psutil.Process]:
    """Living processes that train or make stages there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and {"dvc", "pipelines.train"} & set(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found
