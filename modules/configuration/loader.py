"""Hydra's own loader of configurations, without the global state that hydra.initialize sets up."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from modules.configuration.origins import Origins, layers_of

VERSION_BASE = "1.3"
ROOT_CONFIG = "config"


def length(entries: Any) -> int:
    """The resolver `${length:${data.fields.label.classes}}`: the number of entries of a list."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ValueError(f"length of {entries!r}, which is no list")
    return len(entries)


OmegaConf.register_new_resolver("length", length, replace=True)


@functools.cache
def _loader(conf: Path) -> ConfigLoaderImpl:
    version.setbase(VERSION_BASE)
    if JobRuntime.instance().conf.get("name") is None:
        JobRuntime.instance().set("name", "trainyard")
    return ConfigLoaderImpl(create_config_search_path(str(conf)))


def load(overrides: list[str], conf: Path, root: str = ROOT_CONFIG) -> DictConfig:
    """The composed configuration, interpolations not yet resolved.

    Args:
        overrides: such as `recipe=lenet`.
        conf: the folder of the configuration.
        root: the file in it to start from, without suffix.

    Raises:
        Exception: Hydra's and OmegaConf's own; see `modules.configuration.explain`.
    """
    config = _loader(conf).load_configuration(root, list(overrides), RunMode.RUN)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config


def origins(overrides: list[str], conf: Path) -> Origins:
    """The files and overrides that a composition is made of."""
    defaults = _loader(conf).compute_defaults_list(ROOT_CONFIG, list(overrides), RunMode.RUN).defaults
    return Origins(layers_of(defaults, conf), tuple(overrides))
