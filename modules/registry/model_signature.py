"""What callers see of a model: its inputs and outputs, kept as a tag of a registered version. No torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any


@dataclass(frozen=True)
class Port:
    """An input or output as callers see it.

    Attributes:
        kind: what it is, see `modules.tasks.served`; empty of versions that do not say it.
        shape: of one sample; a name for a size that differs.
        names: of classes or values, or what else must be the same: a sample rate, a vocabulary's hash.
        name: what it is called; of an only one it does not matter.
    """

    kind: str
    shape: tuple[int | str, ...]
    names: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def signature_of(tags: Mapping[str, str]) -> Signature:
    """The signature in a version's tags, also those of earlier versions of this yard."""
    if "signature" in tags:
        found = json.loads(tags["signature"])
        inputs, outputs = (tuple(map(_port, found[side])) for side in ("inputs", "outputs"))
        return Signature(inputs, outputs)
    # Before 0.3.0 there was one input, of which the shape was said; classifiers once had `classes` alone.
    names = tuple(json.loads(tags["outputs"] if "outputs" in tags else tags["classes"]))
    shape = tuple(json.loads(tags["input_shape"]))
    return Signature((Port("", shape),), (Port("", (len(names),), names),))


def signature_tag(inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> str:
    """What callers of a model see of it, as a tag: vocabularies by their hashes.

    Args:
        inputs: plain, see `modules.tasks.served`.
        outputs: likewise.
    """
    sides = {"inputs": [_plain_port(one) for one in inputs], "outputs": [_plain_port(one) for one in outputs]}
    return json.dumps(sides, ensure_ascii=False)


def _plain_port(one: Mapping[str, Any]) -> dict[str, Any]:
    names = list(one.get("classes", ()))
    if one["vocabulary"] is not None:
        names.append(
            f"vocabulary {sha256(json.dumps(one['vocabulary'], sort_keys=True).encode()).hexdigest()}"
        )
    if one.get("sample_rate_hz") is not None:
        names.append(f"{one['sample_rate_hz']} samples/s")
    return {"kind": one["kind"], "shape": list(one["shape"]), "names": names, "name": one["name"]}


def _port(plain: Mapping[str, Any]) -> Port:
    return Port(plain["kind"], tuple(plain["shape"]), tuple(plain["names"]), plain["name"])
