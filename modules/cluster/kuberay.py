"""KubeRay: a job as a manifest, a RayJob and a ConfigMap with its code, for `kubectl apply`.

Fields: https://docs.ray.io/en/latest/cluster/kubernetes/references/api.html. No secret is written down: Ray's
token is one that KubeRay makes for each cluster (authOptions, KubeRay 1.5.1), or a Secret named here.
"""

import base64
import lzma
import shlex
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modules.cluster.cluster_settings import KubeRayCluster
from modules.cluster.code_package import size
from modules.cluster.job import Job, Record
from modules.configuration.errors import UserError
from modules.configuration.yaml_files import to_yaml, write_if_changed

MANIFESTS = Path("build/jobs")
_CODE, _PACKED, _PACKED_FILE = "/trainyard-code", "/trainyard-packed", "code.zip.xz"
_UNPACK = f"import lzma; open('{_CODE}/code.zip', 'wb').write(lzma.open('{_PACKED}/{_PACKED_FILE}').read())"
"""Ray takes a zip, and a zip compresses each file by itself: as one piece they fit a ConfigMap."""
# Of what a ConfigMap holds, decoded; the API takes no more.
_MAX_CONFIG_MAP = 2**20


def manifest(job: Job, settings: KubeRayCluster) -> str:
    """The manifest: two documents of YAML.

    Raises:
        UserError: the code is too large for a ConfigMap.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "code.zip"
        job.package.write_zip(archive, compressed=False)
        code = lzma.compress(archive.read_bytes(), preset=9)
    if len(code) > _MAX_CONFIG_MAP:
        raise UserError(f"the code takes {size(len(code))}, a ConfigMap holds {size(_MAX_CONFIG_MAP)}")
    names: dict[str, Any] = {"name": job.name, "labels": {"app.kubernetes.io/part-of": "trainyard"}}
    if settings.namespace is not None:
        names["namespace"] = settings.namespace
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": names,
        "binaryData": {_PACKED_FILE: base64.b64encode(code).decode()},
    }
    return to_yaml(_ray_job(job, settings, names)) + "---\n" + to_yaml(config_map)


def submit(job: Job, settings: KubeRayCluster) -> Record:
    """Writes the manifest and says how it is sent."""
    path = MANIFESTS / f"{job.name}.yaml"
    write_if_changed(path, manifest(job, settings))
    space = f" --namespace={settings.namespace}" if settings.namespace else ""
    print(f"Wrote {path}. Send it, follow it, end it:")
    # Without --server-side kubectl would copy all of it into an annotation, which holds 256 KiB.
    for line in (f"apply --server-side -f {path}", f"logs --follow job/{job.name}", f"delete -f {path}"):
        print(f"  kubectl{space} {line}")
    return Record(job.name, "kuberay", job.typed, time.time(), {"namespace": settings.namespace})


def _ray_job(job: Job, settings: KubeRayCluster, names: dict[str, Any]) -> dict[str, Any]:
    runtime_env = {
        "working_dir": f"file://{_CODE}/code.zip",
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(settings.grace_s)},
    }
    authentication = {"mode": "token"}
    if settings.token_secret is not None:
        authentication["secretName"] = settings.token_secret
    worker = {
        "groupName": "workers",
        "replicas": settings.num_nodes,
        "minReplicas": settings.num_nodes,
        "maxReplicas": settings.num_nodes,
        "rayStartParams": {},
        "template": _pod(job, settings, "ray-worker", settings.cpus_per_node, settings.gpus_per_node),
    }
    # The head trains nothing: it must outlive every worker.
    head = {"rayStartParams": {"num-cpus": "0"}, "template": _pod(job, settings, "ray-head", 1, 0)}
    spec = {
        "entrypoint": shlex.join(["python", *job.arguments]),
        "runtimeEnvYAML": to_yaml(runtime_env),
        "shutdownAfterJobFinishes": True,
        "rayClusterSpec": {
            "rayVersion": version("ray"),
            "authOptions": authentication,
            "headGroupSpec": head,
            "workerGroupSpecs": [worker],
        },
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": names, "spec": spec}


def _pod(job: Job, settings: KubeRayCluster, name: str, num_cpus: int, num_gpus: int) -> dict[str, Any]:
    resources: dict[str, str] = {"cpu": str(num_cpus), "memory": settings.memory_per_node}
    if num_gpus:
        resources["nvidia.com/gpu"] = str(num_gpus)
    container: dict[str, Any] = {
        "name": name,
        "image": settings.image,
        "resources": {"requests": resources, "limits": resources},
        "volumeMounts": [
            {"name": "code", "mountPath": _CODE, "readOnly": True},
            {"name": "storage", "mountPath": settings.storage},
        ],
    }
    if settings.env_secret is not None:
        container["envFrom"] = [{"secretRef": {"name": settings.env_secret}}]
    unpacking = {
        "name": "unpack-code",
        "image": settings.image,
        "command": ["python", "-c", _UNPACK],
        "volumeMounts": [
            {"name": "packed", "mountPath": _PACKED, "readOnly": True},
            {"name": "code", "mountPath": _CODE},
        ],
    }
    volumes = [
        {"name": "packed", "configMap": {"name": job.name}},
        {"name": "code", "emptyDir": {}},
        {"name": "storage", "persistentVolumeClaim": {"claimName": settings.claim}},
    ]
    pod = {
        "terminationGracePeriodSeconds": settings.grace_s,
        "initContainers": [unpacking],
        "containers": [container],
        "volumes": volumes,
    }
    return {"spec": pod}
