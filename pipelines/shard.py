"""Packs a dataset into shards: reads data/raw/<source>/ and writes data/shards/<dataset>/ in one step.

python -m pipelines.shard dataset=fashion_mnist
python -m pipelines.shard dataset=fashion_mnist upload=s3://bucket/fashion_mnist

A source that is not there yet, or a folder that has changed, is fetched first. A dataset is a file of
conf/data/; see modules/datamodules/README.md for one of your own. With `upload` nothing is packed: the shards
that are there go up into a mirror, from which trainings read them with data.mirror=...; what is there already
is not sent again.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.configuration.command import arguments, run
from modules.configuration.errors import ConfigError, UserError


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        dataset: the name of a file in conf/data/.
        plan: the dataset's plan, build/plan/datasets/<dataset>.yaml, instead of its name.
        raw: folder of the fetched sources.
        cache: folder of the downloaded files.
        data: folder of the datasets' shards.
        upload: address that takes the shards: s3://bucket/prefix, gs://, az:// or a folder.
    """

    dataset: str | None = None
    plan: str | None = None
    raw: str = "data/raw"
    cache: str = "data/cache"
    data: str = "data/shards"
    upload: str | None = None


def main(argv: list[str]) -> None:
    """Shards one dataset."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    if (chosen.dataset is None) == (chosen.plan is None):
        raise UserError("say what to shard", "Give one of dataset=<name> and plan=<file>")
    values, origin = _from_plan(Path(chosen.plan)) if chosen.plan else _from_conf(chosen.dataset or "")
    if chosen.upload is not None:
        _upload(Path(chosen.data) / values["name"], chosen.upload)
        return
    from modules.configuration.schema.data_settings import DataSettings
    from modules.configuration.schema.settings import read
    from modules.configuration.static_analysis.kinds import check_kinds
    from modules.datamodules.shard_writer import write_shards

    try:
        check_kinds(values)
        data = read(DataSettings, values)
    except ConfigError as fault:
        raise fault.at(origin) from None
    if chosen.dataset is not None:
        _fetch_what_is_new(data.source, Path(chosen.raw), Path(chosen.cache))
    notes: list[str] = []
    with _progress(f"Sharding {data.name}") as progress:
        written = write_shards(
            data,
            Path(chosen.raw) / data.source["name"],
            Path(chosen.data) / data.name,
            progress=progress,
            say=notes.append,
        )
    for note in notes:
        print(f"note: {data.name}: {note}", file=sys.stderr)
    for split, found in written["splits"].items():
        sizes = found.get("sizes", {}).items()
        num_bytes = sum(shard["num_bytes"] for shard in found["shards"])
        print(
            f"{data.name} {split}: {found['num_samples']} samples, {found['samples_per_record']} a record, "
            f"{num_bytes / 2**20:.1f} MiB, shards: {len(found['shards'])}"
            + "".join(f", {name} {low}..{high}, median {middle}" for name, (low, middle, high) in sizes)
        )


def _upload(folder: Path, address: str) -> None:
    from modules.datamodules.mirror.upload import upload

    with _progress(f"Uploading {folder.name}") as progress:
        done = upload(folder, address, progress)
    print(
        f"{folder.name}: {done.num_shards} shards in {address}, read back and right; "
        f"{done.num_sent} of them sent now, {done.num_bytes / 2**20:.1f} MiB"
    )


def _from_plan(path: Path) -> tuple[dict[str, Any], str]:
    from modules.configuration.yaml_files import read_yaml

    values = read_yaml(path)
    values.pop("code", None)  # a plan holds the fingerprint of the code as well
    return values, str(path)


def _from_conf(name: str) -> tuple[dict[str, Any], str]:
    from modules.configuration.composition.conf_contents import dataset

    return dataset(name), f"conf/data/{name}.yaml"


def _fetch_what_is_new(source: dict[str, Any], raw: Path, cache: Path) -> None:
    """With a plan DVC sees to that; by hand one command is enough."""
    from modules.configuration.static_analysis.targets import build
    from pipelines.fetch import fetch

    folder = raw / source["name"]
    if (folder / "source.json").is_file():
        built = build(source)
        if not built.changes or not built.differs_from(folder):
            return
    print(f"fetching {source['name']} first", file=sys.stderr)
    fetch(source, raw, cache)


@contextmanager
def _progress(message: str) -> Iterator[Callable[[int, int], None]]:
    """A bar at a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(message, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    run(main)
