"""conf/cluster/: every file fits its dataclass, every mistake is one line that names its place."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from modules.cluster.cluster_settings import KINDS, SlurmCluster, read_cluster
from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import UserError


def test_every_kind_has_its_file_and_every_file_its_kind() -> None:
    assert {path.stem for path in (CONF / "cluster").glob("*.yaml")} == set(KINDS)
    for name, kind in KINDS.items():
        assert isinstance(read_cluster(name, []), kind)
        written = yaml.safe_load((CONF / "cluster" / f"{name}.yaml").read_text())
        assert set(written) == {field.name for field in fields(kind)}


def test_a_command_line_wins_over_the_file() -> None:
    cluster = read_cluster(
        "slurm", ["cluster.num_nodes=3", "cluster.time_limit=04:00:00", "cluster.account=null"]
    )
    assert isinstance(cluster, SlurmCluster)
    # YAML would have made a number of the time.
    assert (cluster.num_nodes, cluster.time_limit, cluster.account) == (3, "04:00:00", None)


@pytest.mark.parametrize(
    ("kind", "override", "said"),
    [
        (
            "slurm",
            "cluster.num_node=3",
            r"cluster\.num_node: SlurmCluster has no 'num_node'\. Did you mean num_nodes",
        ),
        ("slurm", "cluster.num_nodes=three", r"'three' \(str\) where int"),
        ("slurm", "cluster.num_nodes=0", "0 is below 1"),
        ("slurm", "cluster.partition=a\nsrun evil", "is no single word"),
        ("slurm", "cluster.account=a b", "is no single word"),
        ("slurm", "cluster.constraint=--wrap", "is no single word"),
        ("slurm", "cluster.num_nodes=[", "cannot be read"),
        ("local", "cluster.gpus_per_node=-1", "-1 is below 0"),
        ("ray", "cluster.address=head:8265", "is no http://host:port"),
        ("ray", "cluster.storage=here", "is no absolute path"),
        ("kuberay", "cluster.storage=here", "is no absolute path"),
        ("slurm", "cluster.login=user@host", "is no absolute path"),
        ("slurm", "cluster.options=[--exclusive]", "is no option"),
        ("slurm", "cluster.gpu_type=h100", "without a GPU"),
        ("slurm", "cluster.container_runtime=docker", "apptainer"),
        ("kuberay", "cluster.image=a: b", "is no single word"),
        ("kuberay", "cluster.pull_secrets=[a b]", "is no single word"),
        ("kuberay", "cluster.tolerations=[{keys: a}]", "Did you mean key?"),
        ("kuberay", "cluster.time_limit_s=0", "time_limit_s"),
        ("slurm", "cluster.price_per_hour=-1", "is no price"),
    ],
)
def test_a_mistake_names_the_command_line(kind: str, override: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        read_cluster(kind, [override])
    assert override.split("=")[0] in str(raised.value)


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    text = (CONF / "cluster" / "local.yaml").read_text().replace("num_nodes: 2", "num_nodes: two")
    (tmp_path / "cluster" / "local.yaml").write_text(text)
    with pytest.raises(UserError, match=r"cluster/local\.yaml: cluster\.num_nodes: 'two'"):
        read_cluster("local", [], tmp_path)
