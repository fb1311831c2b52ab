"""YAML of a few lines that would fill the memory, in every place where YAML is read."""

import os
from pathlib import Path

import pytest

from modules.cluster.cluster_settings import read_cluster
from modules.configuration.bounded_yaml import MAX_BYTES, check_size
from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.static_analysis.targets import root_list
from modules.configuration.yaml_files import parse_yaml

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
HOSTILE = {
    "laughs": (LAUGHS, r":\d+: holds more than 50000 values"),
    "merged": ("a: &a {b: &b {<<: *a}}\n", r":1: \*a stands for itself"),
    "deep flow": ("a: " + "[" * 5000 + "]" * 5000, r":1: lies more than 40 levels deep"),
    "deep block": ("- " * 500 + "x", r":1: lies more than 40 levels deep"),
    "deep aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60)),
        r":\d+: lies more than 40 levels deep",
    ),
    "long": ("# " + "x" * MAX_BYTES, "is larger than 1048576 bytes"),
    "many": ("[" + "1," * 60_000 + "1]", "holds more than 50000 values"),
}


@pytest.mark.parametrize(("text", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_what_would_fill_the_memory_is_refused_wherever_yaml_is_read(
    text: str, problem: str, conf: Path, tmp_path: Path
) -> None:
    def refused(path: Path, read) -> None:
        path.write_text(text)
        with pytest.raises(UserError, match=problem) as caught:
            read()
        assert "\n" not in str(caught.value)

    refused(tmp_path / "plan.yaml", lambda: parse_yaml(tmp_path / "plan.yaml"))
    refused(conf / "cluster" / "local.yaml", lambda: read_cluster("local", [], conf))
    refused(conf / "recipe" / "convolutional" / "lenet.yaml", lambda: compose(["recipe=lenet"], conf))
    refused(conf / "config.yaml", lambda: root_list("allowed_targets", conf / "config.yaml"))


@pytest.mark.parametrize("read", ["plan", "recipe", "cluster"])
def test_a_fifo_in_the_place_of_a_file_is_refused_before_it_is_opened(
    read: str, conf: Path, tmp_path: Path
) -> None:
    path = {
        "plan": tmp_path / "plan.yaml",
        "recipe": conf / "recipe" / "convolutional" / "lenet.yaml",
        "cluster": conf / "cluster" / "local.yaml",
    }[read]
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(UserError, match=f"{path.name} is a FIFO|there is no recipe"):
        {
            "plan": lambda: parse_yaml(path),
            "recipe": lambda: compose(["recipe=lenet"], conf),
            "cluster": lambda: read_cluster("local", [], conf),
        }[read]()


def test_anchors_of_an_ordinary_size_are_counted_exactly() -> None:
    check_size("a: &a {b: 1, c: [1, 2]}\nd: {<<: *a}\n", "x.yaml")
