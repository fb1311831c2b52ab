"""The manifest: it fits KubeRay's schema, holds the code and the words of the command, and no secret."""

import base64
import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from modules.cluster.cluster_settings import KubeRayCluster, read_cluster
from modules.cluster.code_package import Package, collect
from modules.cluster.job import Job, new_name
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
