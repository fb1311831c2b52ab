"""The part of KubeRay's schema that our manifests may use, closed: a field that is not here is a mistake.

Stated here from KubeRay's types of ray.io/v1 (ray-operator/apis/ray/v1: rayjob_types.go, raycluster_types.go;
on docs.ray.io "KubeRay CRD API reference", fields of v1.6), and from Kubernetes' Pod v1.
"""

from typing import Any

STRING: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
INT32: dict[str, Any] = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
STRINGS: dict[str, Any] = {"type": "object", "additionalProperties": STRING}
# resource.Quantity
QUANTITY: dict[str, Any] = {
    "type": ["string", "integer"],
    "pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
}
# A name of Kubernetes' (RFC 1123), and what KubeRay can still put a suffix to.
NAME: dict[str, Any] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47}


def fields(required: str = "", **properties: dict[str, Any]) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def items(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


METADATA = fields("name", name=NAME, namespace=STRING, labels=STRINGS, annotations=STRINGS)
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
ENVIRONMENT = fields(
    "name",
    name=STRING,
    value=STRING,
    valueFrom=fields(
        secretKeyRef=fields("key", name=STRING, key=STRING, optional=BOOLEAN),
        fieldRef=fields("fieldPath", apiVersion=STRING, fieldPath=STRING),
    ),
)
CONTAINER = fields(
    "name",
    name=NAME,
    image=STRING,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    command=items(STRING),
    resources=fields(limits=QUANTITIES, requests=QUANTITIES),
    env=items(ENVIRONMENT),
    envFrom=items(fields(secretRef=fields("name", name=STRING, optional=BOOLEAN))),
    volumeMounts=items(
        fields("name mountPath", name=STRING, mountPath=STRING, readOnly=BOOLEAN, subPath=STRING)
    ),
    securityContext={"type": "object"},
)
VOLUME = fields(
    "name",
    name=STRING,
    configMap=fields("name", name=STRING),
    persistentVolumeClaim=fields("claimName", claimName=STRING, readOnly=BOOLEAN),
    emptyDir=fields("", medium={"enum": ["", "Memory"]}, sizeLimit=QUANTITY),
)
POD_TEMPLATE = fields(
    metadata=fields(labels=STRINGS, annotations=STRINGS),
    spec=fields(
        "containers",
        containers=items(CONTAINER) | {"minItems": 1},
        initContainers=items(CONTAINER),
        volumes=items(VOLUME),
        terminationGracePeriodSeconds=INT32,
        nodeSelector=STRINGS,
        serviceAccountName=STRING,
        imagePullSecrets=items(fields("name", name=STRING)),
        securityContext=fields("", fsGroup={"type": "integer", "minimum": 0}),
        priorityClassName=STRING,
        tolerations=items(
            fields(
                "",
                key=STRING,
                operator={"enum": ["Exists", "Equal"]},
                value=STRING,
                effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
                tolerationSeconds=INT32,
            )
        ),
    ),
)
RAY_CLUSTER_SPEC = fields(
    "headGroupSpec",
    rayVersion=STRING,
    authOptions=fields(mode={"enum": ["disabled", "token"]}, secretName=STRING, enableK8sTokenAuth=BOOLEAN),
    enableInTreeAutoscaling=BOOLEAN,
    suspend=BOOLEAN,
    headGroupSpec=fields(
        "rayStartParams template",
        rayStartParams=STRINGS,
        template=POD_TEMPLATE,
        serviceType=STRING,
        enableIngress=BOOLEAN,
    ),
    workerGroupSpecs=items(
        fields(
            "groupName minReplicas maxReplicas rayStartParams template",
            groupName=NAME,
            replicas=INT32,
            minReplicas=INT32,
            maxReplicas=INT32,
            numOfHosts=INT32,
            rayStartParams=STRINGS,
            template=POD_TEMPLATE,
        )
    ),
)
API_VERSION = {"const": "ray.io/v1"}
RAY_CLUSTER = fields(
    "apiVersion kind metadata spec",
    apiVersion=API_VERSION,
    kind={"const": "RayCluster"},
    metadata=METADATA,
    spec=RAY_CLUSTER_SPEC,
)
RAY_JOB = fields(
    "apiVersion kind metadata spec",
    apiVersion=API_VERSION,
    kind={"const": "RayJob"},
    metadata=METADATA,
    spec=fields(
        activeDeadlineSeconds=INT32,
        backoffLimit=INT32,
        rayClusterSpec=RAY_CLUSTER_SPEC,
        submitterPodTemplate=POD_TEMPLATE,
        metadata=STRINGS,
        clusterSelector=STRINGS,
        entrypoint=STRING,
        runtimeEnvYAML=STRING,
        jobId=STRING,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        entrypointResources=STRING,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        ttlSecondsAfterFinished=INT32,
        shutdownAfterJobFinishes=BOOLEAN,
        suspend=BOOLEAN,
    ),
)
CONFIG_MAP = fields(
    "apiVersion kind metadata",
    apiVersion={"const": "v1"},
    kind={"const": "ConfigMap"},
    metadata=METADATA,
    binaryData=STRINGS,
)
SCHEMAS = {"RayJob": RAY_JOB, "RayCluster": RAY_CLUSTER, "ConfigMap": CONFIG_MAP}
