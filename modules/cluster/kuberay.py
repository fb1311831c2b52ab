"""KubeRay: a job as a manifest, a RayJob and a ConfigMap with its code, which kubectl sends.

Fields: https://docs.ray.io/en/latest/cluster/kubernetes/references/api.html. No secret is written down: Ray's
token is one that KubeRay makes for each cluster (authOptions, KubeRay 1.5.1), or a Secret named here.
"""

import base64
import lzma
import shlex
import shutil
import subprocess
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
_POLL_S = 2.0
# Of a RayJob's states, those in which there is no log to follow yet.
_BEFORE = ("unknown", "Initializing", "Suspended", "Suspending", "Waiting")
_SUCCEEDED, _ENDED = "Complete SUCCEEDED", ("Complete", "Failed", "ValidationFailed")
# Of what a ConfigMap holds, decoded; the API takes no more.
_MAX_CONFIG_MAP = 2**20


def check_there(settings: KubeRayCluster) -> None:
    """Refuses a Kubernetes that does not answer, has no KubeRay, or gives no right to send it a job; where
    there is no kubectl nobody is asked.

    Raises:
        UserError: so it is.
    """
    if shutil.which("kubectl") is not None:
        _kubectl(settings.namespace, "auth", "can-i", "create", "rayjobs.ray.io")


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
    queue = {} if settings.queue is None else {"kueue.x-k8s.io/queue-name": settings.queue}
    queued = names | {"labels": names["labels"] | queue}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": names,
        "binaryData": {_PACKED_FILE: base64.b64encode(code).decode()},
    }
    return to_yaml(_ray_job(job, settings, queued)) + "---\n" + to_yaml(config_map)


def submit(job: Job, settings: KubeRayCluster) -> Record:
    """Writes the manifest and sends it, or where there is no kubectl says how it is sent.

    Raises:
        UserError: Kubernetes refuses it.
    """
    path = MANIFESTS / f"{job.name}.yaml"
    write_if_changed(path, manifest(job, settings))
    is_sent = shutil.which("kubectl") is not None
    where = {"namespace": settings.namespace, "manifest": str(path), "sent": is_sent}
    record = Record(job.name, "kuberay", job.typed, time.time(), where)
    # Without --server-side kubectl would copy all of it into an annotation, which holds 256 KiB.
    sending = ("apply", "--server-side", "-f", str(path))
    if is_sent:
        _kubectl(settings.namespace, *sending)
    else:
        print(f"Wrote {path}; not sent, as there is no kubectl here. Where there is one:")
        for words in (sending, _logs(record), ("get", _named(record)), ("delete", "-f", str(path))):
            print(f"  {shlex.join(_command(settings.namespace, *words))}")
    return record


def follow(record: Record) -> int:
    """Prints what a job's command writes, from when its pods are there until it has ended.

    Returns:
        0 if it succeeded.
    """
    said = ""
    while (state := status(record)).split()[0] in _BEFORE:
        if state != said:
            print(f"{record.name}: {state}", flush=True)
        said = state
        time.sleep(_POLL_S)
    if state.split()[0] != "ValidationFailed":
        subprocess.run(_command(_space(record), *_logs(record)), check=False)
    while (state := status(record)).split()[0] not in _ENDED:
        time.sleep(_POLL_S)
    print(f"{record.name}: {state}")
    return 0 if state == _SUCCEEDED else 1


def status(record: Record) -> str:
    """KubeRay's words for a job's state: of the RayJob, then of its command."""
    fields = "{.status.jobDeploymentStatus} {.status.jobStatus}"
    return _kubectl(_space(record), "get", _named(record), "-o", f"jsonpath={fields}").strip() or "unknown"


def cancel(record: Record) -> str:
    """Has Kubernetes end the job's pods, with SIGTERM first, and forget it and its code."""
    _kubectl(_space(record), "delete", "--wait=false", _named(record), f"configmap/{record.name}")
    return "was asked to stop"


def _kubectl(space: str | None, *words: str) -> str:
    command = _command(space, *words)
    if shutil.which(command[0]) is None:
        raise UserError(
            "the job is in Kubernetes, and there is no kubectl here",
            f"Where there is one: {shlex.join(command)}",
        )
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = said[-1].removeprefix("error: ") if said else "no reason given"
        raise UserError(f"kubectl says: {reason}", f"It was asked: {shlex.join(command)}")
    return done.stdout


def _space(record: Record) -> str | None:
    return record.where.get("namespace")


def _command(space: str | None, *words: str) -> list[str]:
    return ["kubectl", *([f"--namespace={space}"] if space else []), *words]


def _named(record: Record) -> str:
    return f"rayjob/{record.name}"


def _logs(record: Record) -> tuple[str, ...]:
    return ("logs", "--follow", f"job/{record.name}")  # of KubeRay's submitter


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
        "template": _pod(
            job,
            settings,
            "ray-worker",
            settings.memory_per_node,
            settings.cpus_per_node,
            settings.gpus_per_node,
        ),
    }
    if settings.health_check:
        _check_first(worker["template"]["spec"], settings)
    # The head trains nothing: it must outlive every worker.
    head = {
        "rayStartParams": {"num-cpus": "0"},
        "template": _pod(job, settings, "ray-head", settings.head_memory),
    }
    spec = {
        "entrypoint": shlex.join(["python", *job.arguments]),
        "runtimeEnvYAML": to_yaml(runtime_env),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": settings.keep_s,
        "backoffLimit": settings.max_restarts,
        "rayClusterSpec": {
            "rayVersion": version("ray"),
            "authOptions": authentication,
            "headGroupSpec": head,
            "workerGroupSpecs": [worker],
        },
    }
    if settings.time_limit_s is not None:
        spec["activeDeadlineSeconds"] = settings.time_limit_s
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": names, "spec": spec}


def _check_first(pod: dict[str, Any], settings: KubeRayCluster) -> None:
    """Has a worker's pod checked, with its devices and volumes, before Ray starts in it."""
    trains = pod["containers"][0]
    asked = shlex.quote(f"storage={settings.storage}")
    unpacked = f"cd /tmp && python -m zipfile -e {_CODE}/code.zip health && cd health"
    same = {key: trains[key] for key in ("image", "resources", "volumeMounts", "envFrom") if key in trains}
    checking = {
        "name": "health-check",
        "command": ["sh", "-c", f"{unpacked} && python -m pipelines.health {asked}"],
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    }
    pod["initContainers"].append(checking | same)


def _pod(
    job: Job, settings: KubeRayCluster, name: str, memory: str, num_cpus: int = 1, num_gpus: int = 0
) -> dict[str, Any]:
    resources: dict[str, str] = {"cpu": str(num_cpus), "memory": memory}
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
    if settings.shared_memory is not None:
        container["volumeMounts"].append({"name": "shared-memory", "mountPath": "/dev/shm"})
        memory_disk = {"medium": "Memory", "sizeLimit": settings.shared_memory}
        volumes.append({"name": "shared-memory", "emptyDir": memory_disk})
    chosen = {
        "imagePullSecrets": [{"name": name} for name in settings.pull_secrets],
        "serviceAccountName": settings.service_account,
        "securityContext": None if settings.fs_group is None else {"fsGroup": settings.fs_group},
        "nodeSelector": settings.node_selector,
        "tolerations": settings.tolerations,
        "priorityClassName": settings.priority_class,
    }
    pod = {
        "terminationGracePeriodSeconds": settings.grace_s,
        "initContainers": [unpacking],
        "containers": [container],
        "volumes": volumes,
    }
    return {"spec": pod | {name: value for name, value in chosen.items() if value}}
