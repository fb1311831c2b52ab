"""Chance for samples that are made, not read: each depends on what it is called alone."""

import hashlib

import numpy as np


def generator_of(*names: object) -> np.random.Generator:
    """A generator that depends on names alone, such as seed, split and key of a sample."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
