"""The manifest: it fits KubeRay's schema, holds the code and the words of the command, and no secret."""

import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from modules.cluster import kuberay
from modules.cluster.cluster_settings import KubeRayCluster, read_cluster
from modules.cluster.code_package import Package, collect
from modules.cluster.job import Job, Record, new_name
from modules.cluster.kuberay import manifest
from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT
from tests.cluster.hostile import HOSTILE, PRINT_ARGUMENTS
from tests.cluster.kuberay_schema import SCHEMAS


def documents(job: Job, *overrides: str) -> dict[str, Any]:
    settings = read_cluster("kuberay", list(overrides))
    assert isinstance(settings, KubeRayCluster)
    found = list(yaml.safe_load_all(manifest(job, settings)))
    check(found)
    return {document["kind"]: document for document in found}


def check(found: list[dict[str, Any]]) -> None:
    for document in found:
        jsonschema.validate(document, SCHEMAS[document["kind"]])


def job(*arguments: str) -> Job:
    return Job(new_name("lenet_digits"), list(arguments), [], collect())


def test_it_fits_the_schema_and_names_what_it_was_asked_for() -> None:
    sent = job("-m", "pipelines.train", "recipe=lenet")
    found = documents(
        sent,
        "cluster.num_nodes=3",
        "cluster.gpus_per_node=2",
        "cluster.namespace=yard",
        "cluster.claim=shared",
    )
    ray_job = found["RayJob"]
    (workers,) = ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == workers["minReplicas"] == 3
    for pod in (workers["template"], ray_job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]):
        claims = [volume.get("persistentVolumeClaim") for volume in pod["spec"]["volumes"]]
        assert {"claimName": "shared"} in claims
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert {document["metadata"]["namespace"] for document in found.values()} == {"yard"}
    assert ray_job["spec"]["entrypoint"] == "python -m pipelines.train recipe=lenet"


def test_workers_are_checked_first_where_that_is_asked_for(tmp_path: Path) -> None:
    sent = job("-c", "pass")
    found = documents(sent, "cluster.health_check=true", "cluster.gpus_per_node=2", "cluster.env_secret=keys")
    check(list(found.values()))
    spec = found["RayJob"]["spec"]["rayClusterSpec"]
    (workers,) = spec["workerGroupSpecs"]
    pod = workers["template"]["spec"]
    assert [one["name"] for one in pod["initContainers"]] == ["unpack-code", "health-check"]
    checking, trains = pod["initContainers"][1], pod["containers"][0]
    for key in ("image", "resources", "volumeMounts", "envFrom"):
        assert checking[key] == trains[key]
    words = checking["command"][2]
    assert words.endswith("python -m pipelines.health storage=/trainyard")
    head = spec["headGroupSpec"]["template"]["spec"]
    assert [one["name"] for one in head["initContainers"]] == ["unpack-code"], "the head trains nothing"
    for one in documents(sent)["RayJob"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        assert len(one["template"]["spec"]["initContainers"]) == 1


def test_the_schema_is_one_that_refuses(tmp_path: Path) -> None:
    found = documents(job("-c", "pass"))
    for path in (("spec", "entryPoint"), ("spec", "rayClusterSpec", "rayversion")):
        broken = json.loads(json.dumps(found["RayJob"]))
        node = broken
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = "x"
        with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
            check([broken])


def test_the_code_comes_along_where_ray_is_told_to_find_it(tmp_path: Path) -> None:
    sent = job("-c", "pass")
    found = documents(sent)
    spec = found["RayJob"]["spec"]
    pod = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (unpacking,) = pod["initContainers"]
    code, packed = tmp_path / "code", tmp_path / "packed"
    code.mkdir()
    packed.mkdir()
    for name, content in found["ConfigMap"]["binaryData"].items():
        (packed / name).write_bytes(base64.b64decode(content))
    assert unpacking["command"][:2] == ["python", "-c"]
    words = unpacking["command"][2].replace("/trainyard-code", str(code))
    subprocess.run([sys.executable, "-c", words.replace("/trainyard-packed", str(packed))], check=True)
    with zipfile.ZipFile(code / "code.zip") as archive:
        assert set(archive.namelist()) == set(sent.package.files)
    assert yaml.safe_load(spec["runtimeEnvYAML"])["working_dir"] == "file:///trainyard-code/code.zip"
    (container,) = pod["containers"]
    assert {"name": "code", "mountPath": "/trainyard-code", "readOnly": True} in container["volumeMounts"]


def test_code_that_fits_no_config_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(2**20))
    with pytest.raises(UserError, match=r"a ConfigMap holds 1\.0 MiB"):
        documents(Job("big", [], [], Package({"modules/big": tmp_path / "big"})))


def test_words_stay_words_through_the_submitters_shell(tmp_path: Path) -> None:
    entrypoint = documents(job("-c", PRINT_ARGUMENTS, *HOSTILE))["RayJob"]["spec"]["entrypoint"]
    assert shlex.split(entrypoint)[3:] == HOSTILE
    # KubeRay's submitter puts it behind `ray job submit --` in a script for bash.
    command = entrypoint.replace("python", shlex.quote(sys.executable), 1)
    done = subprocess.run(["bash", "-c", f"exec {command} ;"], cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(done.stdout.removeprefix("ARGUMENTS ")) == HOSTILE
    assert not list(tmp_path.iterdir())


def test_where_pods_run_and_what_they_may(tmp_path: Path) -> None:
    found = documents(
        job("-c", "pass"),
        "cluster.head_memory=6Gi",
        "cluster.shared_memory=2Gi",
        "cluster.pull_secrets=[login]",
        "cluster.service_account=trainer",
        "cluster.node_selector={gpu: h100}",
        "cluster.tolerations=[{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]",
        "cluster.priority_class=high",
        "cluster.queue=team",
        "cluster.time_limit_s=3600",
        "cluster.max_restarts=4",
        "cluster.keep_s=60",
    )
    metadata, spec = found["RayJob"]["metadata"], found["RayJob"]["spec"]
    assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert "kueue.x-k8s.io/queue-name" not in found["ConfigMap"]["metadata"]["labels"]
    limits = [spec[name] for name in ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")]
    assert limits == [3600, 4, 60]
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    for pod in (head, workers["template"]["spec"]):
        assert pod["imagePullSecrets"] == [{"name": "login"}]
        assert pod["serviceAccountName"] == "trainer" and pod["priorityClassName"] == "high"
        assert pod["nodeSelector"] == {"gpu": "h100"} and pod["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert pod["securityContext"] == {"fsGroup": 1000}
        (mounted,) = [
            some["name"] for some in pod["containers"][0]["volumeMounts"] if some["mountPath"] == "/dev/shm"
        ]
        assert {"name": mounted, "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}} in pod["volumes"]
    assert head["containers"][0]["resources"]["limits"]["memory"] == "6Gi"
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "8Gi"


KUBECTL = """#!/usr/bin/env python3
# Stands in for kubectl, as there is no Kubernetes here: answers from a file of states, each once.
import pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "asked").open("a") as asked:
    asked.write(" ".join(words) + "\\n")
if (here / "refusal").exists():
    sys.exit((here / "refusal").read_text())
if "get" in words:
    first, *rest = (here / "states").read_text().splitlines()
    (here / "states").write_text("\\n".join(rest or [first]))
    print(first)
if "logs" in words:
    print("epoch 1/1", flush=True)
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bin" / "kubectl"
    path.parent.mkdir()
    path.write_text(KUBECTL)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("modules.cluster.kuberay._POLL_S", 0.01)
    monkeypatch.chdir(tmp_path)
    return path.parent


def sent(*overrides: str) -> Record:
    settings = read_cluster("kuberay", list(overrides), ROOT / "conf")
    assert isinstance(settings, KubeRayCluster)
    monitored = Job("lenet-1", ["-c", "pass"], [], Package({}))
    return kuberay.submit(monitored, settings)


def test_a_job_is_sent_followed_and_ended(kubectl: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = sent("cluster.namespace=yard")
    assert record.where["sent"] and Path(record.where["manifest"]).exists()
    states = ["", "Initializing ", "Running RUNNING", "Running RUNNING", "Complete SUCCEEDED"]
    (kubectl / "states").write_text("\n".join(states))
    assert kuberay.follow(record) == 0
    shown = capfd.readouterr().out.splitlines()
    assert shown == [
        "lenet-1: unknown",
        "lenet-1: Initializing",
        "epoch 1/1",
        "lenet-1: Complete SUCCEEDED",
    ]
    (kubectl / "states").write_text("Failed FAILED")
    assert kuberay.status(record) == "Failed FAILED" and kuberay.follow(record) == 1
    assert kuberay.cancel(record) == "was asked to stop"
    asked = (kubectl / "asked").read_text().splitlines()
    assert asked[0] == f"--namespace=yard apply --server-side -f {record.where['manifest']}"
    assert "--namespace=yard logs --follow job/lenet-1" in asked
    assert asked[-1] == "--namespace=yard delete --wait=false rayjob/lenet-1 configmap/lenet-1"


def test_a_refusal_is_told_with_what_was_asked(kubectl: Path) -> None:
    (kubectl / "refusal").write_text('error: namespaces "yard" not found')
    with pytest.raises(
        UserError, match=r'kubectl says: namespaces "yard" not found. It was asked: kubectl --name'
    ):
        sent("cluster.namespace=yard")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_a_kubernetes_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    settings = read_cluster("kuberay", [])
    assert isinstance(settings, KubeRayCluster)
    with pytest.raises(UserError, match=r"^kubectl says: [^\n]+ kubectl auth can-i create rayjobs.ray.io$"):
        kuberay.check_there(settings)


def test_without_kubectl_nothing_is_said_to_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    record = sent()
    assert record.where["sent"] is False
    assert "not sent, as there is no kubectl here" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"Where there is one: kubectl get rayjob/lenet-1"):
        kuberay.status(record)


def test_no_secret_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2hunter2")
    settings = read_cluster("kuberay", ["cluster.token_secret=ray-token", "cluster.env_secret=mlflow-login"])
    assert isinstance(settings, KubeRayCluster)
    text = manifest(job("-m", "pipelines.train"), settings)
    assert "hunter2" not in text
    spec = yaml.safe_load(text.split("\n---\n")[0])["spec"]["rayClusterSpec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "ray-token"}
    (container,) = spec["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "mlflow-login"}}]


def test_the_cluster_for_people_fits_the_schema() -> None:
    found = list(yaml.safe_load_all((ROOT / "cluster" / "kuberay" / "raycluster.yaml").read_text()))
    assert [document["kind"] for document in found] == ["RayCluster"]
    check(found)
