"""Configurations on images of 28x28 in ten classes, with networks of a package that the user allowed."""

from collections.abc import Callable
from typing import Any

import pytest

from modules.configuration.static_analysis import targets

Configure = Callable[..., dict[str, Any]]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Makes a configuration for a model node; those of `tests.shapes.own_networks` are allowed."""
    allowed = (*targets.OWN_PREFIXES, "tests.shapes.own_networks.")
    monkeypatch.setattr(targets, "allowed_prefixes", lambda: allowed)

    def make(model: dict[str, Any], **trainer: Any) -> dict[str, Any]:
        return {
            "name": "own",
            "data": {
                "fields": {
                    "image": {"dtype": "uint8", "shape": [1, 28, 28]},
                    "label": {"dtype": "int64", "shape": [], "classes": list("0123456789")},
                }
            },
            "model": model,
            "task": {"_target_": "modules.tasks.classification.Classification", "num_classes": 10},
            "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001, "fused": True},
            "trainer": {"batch_size": 32, **trainer},
            "fine_tuning": {"frozen_parts": 0},
            "teacher": [],
        }

    return make
