"""What a port of Ray's says to a caller without a token."""

import contextlib

import grpc
import requests

METRICS = (44217, 44227)
"""Ports on which a head shows its metrics to this machine, fixed and without a token."""

METHODS = (
    "NodeInfoGcsService/CheckAlive",
    "NodeManagerService/GetNodeStats",
    "ObjectManagerService/Pull",
    "ReporterService/GetTraceback",
    "RayletDriver/ClusterInfo",
    "CoreWorkerService/GetCoreWorkerStats",
)


def answer_without_token(address: str) -> str:
    """What a port says to a caller without a token."""
    with contextlib.suppress(requests.RequestException):
        return str(requests.get(f"http://{address}/api/version", timeout=5).status_code)
    answers = set()
    with grpc.insecure_channel(address) as channel:
        for method in METHODS:
            try:
                channel.unary_unary(f"/ray.rpc.{method}")(b"", timeout=5)
                return f"{method} is served"
            except grpc.RpcError as error:
                answers.add(error.code().name)  # pyright: ignore[reportAttributeAccessIssue]
    return "UNAUTHENTICATED" if "UNAUTHENTICATED" in answers else str(answers)
