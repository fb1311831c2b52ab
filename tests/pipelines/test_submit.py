"""`python -m pipelines.submit` as a user gives it: what would be sent, and every mistake in one line."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modules.cluster.cluster_settings import read_cluster
from modules.cluster.code_package import collect
from modules.cluster.command_line import CommandLine, cluster_overrides, read_command_line
from modules.cluster.job import Job
from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from pipelines.submit import rendered
from tests.commands import environment, run
from tests.training.small import write_small_shards

SQLITE = {"uri": "sqlite:///mlflow.db", "artifact_root": "mlartifacts"}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yard")
    write_small_shards(folder / "data" / "shards" / "fashion_mnist")
    return folder


def submit(yard: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    return run("pipelines.submit", *arguments, folder=yard, variables=variables)


RECIPE = ("recipe=lenet", "data.samples_per_record=50")


def only_git(folder: Path) -> Path:
    """A folder for PATH in which there is no kubectl, whatever this machine has."""
    folder.mkdir(exist_ok=True)
    (folder / "git").symlink_to(str(shutil.which("git")))
    return folder


def test_a_dry_run_shows_the_request_and_every_file(yard: Path) -> None:
    status, out, err = submit(yard, "cluster=local", "--dry-run", "--full", "--", *RECIPE)
    assert (status, err) == (0, "")
    asked = json.loads(out)
    assert asked["num_files"] == len(asked["files"])
    words = shlex.split(asked["entrypoint"])
    assert words[:5] == [sys.executable, "-m", "pipelines.train", *RECIPE]
    assert {"runtime=ray", "runtime.address=auto", f"runtime.storage={yard}"} <= set(words)
    assert f"tracking.uri=sqlite:///{yard}/mlflow.db" in words
    assert asked["files"]["conf/recipe/convolutional/lenet.yaml"] > 0
    assert asked["num_bytes"] == sum(asked["files"].values())
    assert not [name for name in asked["files"] if name.startswith(("data/", "runs/", ".git", "tests/"))]
    assert not (yard / "build").exists()


def test_without_shared_storage_the_shards_go_along(yard: Path) -> None:
    status, out, _ = submit(yard, "cluster=ray", "--dry-run", "--full", "--", *RECIPE, "runtime=local")
    assert status == 0
    asked = json.loads(out)
    assert "data/shards/fashion_mnist/shards.json" in asked["files"]
    words = shlex.split(asked["entrypoint"])
    assert "runtime=ray" not in words and "runtime=local" in words
    assert not [word for word in words if word.startswith(("runtime.storage", "tracking."))]


def test_a_dry_run_counts_the_files_that_it_does_not_name() -> None:
    package = collect(())
    asked = json.loads(rendered(Job("job", ["-m", "x"], [], package), read_cluster("local", [])))
    assert "files" not in asked and asked["num_files"] == len(package.files) > 100


def test_a_batch_script_is_what_would_be_submitted(yard: Path) -> None:
    hostile = "tracking.experiment='$(touch executed); a\\'b'"
    status, out, _ = submit(
        yard, "cluster=slurm", "cluster.time_limit=04:00:00", "cluster.setup=[module load cuda]", "--dry-run",
        "cluster.gpus_per_node=2", "cluster.gpu_type=h100", "cluster.dependency=afterok:12",
        "cluster.options=[exclusive, mail-type=END]", "--", *RECIPE, hostile,
    )  # fmt: skip
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {"#SBATCH --time=04:00:00", "#SBATCH --requeue", "#SBATCH --open-mode=append"} <= set(lines)
    asked = {"#SBATCH --gpus-per-node=h100:2", "#SBATCH --dependency=afterok:12", "#SBATCH --exclusive"}
    assert asked | {"#SBATCH --mail-type=END"} <= set(lines)
    assert "#SBATCH --signal=B:TERM@60" in lines and "module load cuda" in lines
    words = shlex.split(lines[-1])
    assert words[:6] == [
        "exec",
        "bash",
        "cluster/slurm/ray_nodes.sh",
        sys.executable,
        "-m",
        "pipelines.train",
    ]
    assert hostile in words
    assert not list(yard.rglob("executed*")) and not (yard / "jobs").exists()
    assert subprocess.run(["bash", "-n"], input=out, text=True).returncode == 0


def test_a_manifest_goes_to_stdout_or_to_a_file(yard: Path) -> None:
    status, out, _ = submit(yard, "cluster=kuberay", "--dry-run", "--", *RECIPE)
    assert status == 0
    assert [document["kind"] for document in yaml.safe_load_all(out)] == ["RayJob", "ConfigMap"]
    no_kubectl = {"PATH": str(only_git(yard / "bin"))}
    status, out, _ = submit(yard, "cluster=kuberay", "cluster.namespace=yard", "--", *RECIPE, **no_kubectl)
    assert status == 0 and "not sent" in out and "submitted" not in out
    (path,) = (yard / "build" / "jobs").glob("*.yaml")
    assert f"kubectl --namespace=yard apply --server-side -f build/jobs/{path.name}" in out
    status, out, err = submit(yard, "status", **no_kubectl)
    assert status == 2 and "kubectl --namespace=yard get rayjob/" in err
    status, out, _ = submit(yard, "list", COLUMNS="150", **no_kubectl)
    assert status == 0 and path.stem in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--", "recipe=lenet"], "cluster=... is missing"),
        (["cluster=slrm", "--", "recipe=lenet"], "Did you mean slurm?"),
        (["cluster=local"], "nothing to submit: there is no --"),
        (["cluster=local", "--"], "nothing to submit stands after --"),
        (["cluster=local", "cluster.num_node=3", "--", "recipe=lenet"], "Did you mean num_nodes?"),
        (["cluster=local", "recipe=lenet"], "there is no argument 'recipe'"),
        (["cluster=local", "--", "recipe=lenett"], "Did you mean lenet?"),
        (["cluster=local", "--", "recipe=lenet", "model.num_filter=3"], "Did you mean model.num_filters?"),
        (["cluster=local", "--", "recipe=lenet", "--cfg", "job"], "a job takes no --cfg"),
        (["cluster=local", "--", *RECIPE, "data.name=nowhere"], "shards/nowhere/shards.json is not there"),
        (["cluster=local", "--", *RECIPE, "runtime.num_workers=8"], "8 workers want 8 CPUs, 2 nodes have 2"),
        (["cluster=slurm", "--", *RECIPE, "runtime.num_workers=2"], "Add runtime=ray"),
        (["cluster=kuberay", "cluster.image=a b", "--", "recipe=lenet"], "is no single word"),
        (["cluster=ray", "cluster.address=http://127.0.0.1:1", "--", "recipe=lenet"], "no Ray dashboard"),
        (["follow", "job=nothing"], "there is no job nothing"),
        (["cancel", "job=../../etc"], "is no name for a job"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(yard: Path, arguments: list[str], said: str) -> None:
    (yard / "build" / "jobs").mkdir(parents=True, exist_ok=True)
    (yard / "build" / "jobs" / "other.json").write_text(
        json.dumps({"name": "other", "cluster": "ray", "typed": [], "submitted_s": 0.0, "where": {}})
    )
    dry = ["--dry-run"] if "slurm" in str(arguments) else []
    status, out, err = submit(yard, *dry, *arguments)
    assert (status, out) == (2, ""), out
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err, err


def test_shapes_are_checked_before_anything_is_sent(yard: Path) -> None:
    status, out, err = submit(yard, "cluster=local", "--", *RECIPE, "model.kernel_size=29")
    assert (status, out) == (2, "")
    assert "error: " in err and "model.kernel_size" in err


def test_no_slurm_is_said_at_once(yard: Path) -> None:
    tools = only_git(yard / "tools")
    status, _, err = submit(yard, "cluster=slurm", "--", "recipe=nonsense", PATH=str(tools))
    assert status == 2 and err.count("\n") == 1
    assert err.startswith("error: sinfo is missing: no SLURM here. Submit from a login node of the cluster")


def test_help_takes_no_time_and_names_the_verbs(yard: Path) -> None:
    status, out, _ = submit(yard, "--help")
    assert status == 0
    assert "submit|follow|status|cancel|list|stop" in out and "local, ray, slurm or kuberay" in out
    loaded = (
        "import sys, pipelines.submit; print([m for m in ('torch', 'ray', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=yard, env=environment(), capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


def test_flags_stand_before_overrides_wherever_they_were_given() -> None:
    line = read_command_line(["-m", "recipe=lenet", "seed=0,1"])
    assert line == CommandLine(["recipe=lenet", "seed=0,1"], True)
    assert line.arguments(["runtime=ray"]) == [
        "-m", "pipelines.train", "-m", "recipe=lenet", "seed=0,1", "runtime=ray",
    ]  # fmt: skip


def test_a_sweep_is_one_on_the_cluster_unless_the_user_says_how() -> None:
    cluster = read_cluster("ray", ["cluster.storage=/shared/yard"])
    added = cluster_overrides(CommandLine(["recipe=lenet", "seed=0,1"], True), cluster, SQLITE)
    assert added == [
        "runtime=ray", "runtime.address=auto", "hydra/sweeper=ray", "runtime.storage=/shared/yard",
        "tracking.uri=sqlite:////shared/yard/mlflow.db", "tracking.artifact_root=/shared/yard/mlartifacts",
    ]  # fmt: skip
    own = ["hydra/launcher=ray", "runtime.storage=/mine", "tracking.uri=http://server"]
    added = cluster_overrides(
        CommandLine(own, True), cluster, {"uri": "http://server", "artifact_root": None}
    )
    assert added == ["runtime=ray", "runtime.address=auto"]


def test_a_path_that_hydra_would_read_is_quoted_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def storage(name: str) -> str:
        line = CommandLine(["recipe=lenet"], False)
        cluster = read_cluster("ray", [f"cluster.storage={tmp_path}/{name}"])
        return next(
            o
            for o in cluster_overrides(line, cluster, {"uri": None, "artifact_root": None})
            if "storage" in o
        )

    assert storage("a b,c") == f"runtime.storage='{tmp_path}/a b,c'"
    assert compose([storage("a b,c")])["runtime"]["storage"] == f"{tmp_path}/a b,c"
    with pytest.raises(UserError, match="cannot be written as an override"):
        storage("${oc.env:HOME}")


def test_a_job_is_told_what_an_hour_of_its_nodes_costs() -> None:
    price = ["cluster.num_nodes=3", "cluster.price_per_hour=2.5"]
    line = CommandLine(["recipe=lenet"], False)
    for kind in ("slurm", "kuberay"):
        assert "runtime.price_per_hour=7.5" in cluster_overrides(line, read_cluster(kind, price), SQLITE)
        unknown = cluster_overrides(line, read_cluster(kind, price[:1]), SQLITE)
        assert not [override for override in unknown if "price" in override]
    own = CommandLine(["recipe=lenet", "runtime.price_per_hour=1"], False)
    assert not [o for o in cluster_overrides(own, read_cluster("slurm", price), SQLITE) if "price" in o]
    assert compose(["recipe=lenet", "runtime.price_per_hour=7.5"])["runtime"]["price_per_hour"] == 7.5


@pytest.mark.parametrize("price", ["-1", "inf", "nan"])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    with pytest.raises(UserError, match=r"runtime.price_per_hour: .* is no price. Give 0 or more, or null"):
        compose(["recipe=lenet", f"runtime.price_per_hour={price}"])


def test_one_node_of_slurm_trains_as_at_home() -> None:
    line = CommandLine(["recipe=lenet"], False)
    alone = cluster_overrides(line, read_cluster("slurm", []), SQLITE)
    assert not [override for override in alone if override.startswith(("runtime=", "runtime.address"))]
    several = cluster_overrides(line, read_cluster("slurm", ["cluster.num_nodes=2"]), SQLITE)
    assert several[:2] == ["runtime=ray", "runtime.address=auto"]
    assert f"runtime.storage={Path.cwd()}" in several
