"""The identity of a run: what its result depends on, in one hash.

It covers the resolved configuration, the shards' hashes, the fingerprint of the code and the pinned
environment. Where a run happens and where it is tracked do not change its result, nor does the score
expected of it; so `runtime`, `sweep`, `tracking`, `allowed_targets` and `expected` are left out, and so is
every path.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from modules.configuration.definitions import ROOT
from modules.configuration.errors import UserError
from modules.configuration.names import check_name

WITHOUT_EFFECT = ("runtime", "sweep", "tracking", "allowed_targets", "expected", "code", "cost")


def identity(
    plan: dict[str, Any], shards: Path | None = None, constraints: Path = ROOT / "constraints.txt"
) -> str:
    """The identity of the run that a plan describes.

    Args:
        plan: a plan, or a resolved configuration with `code`.
        shards: the folder of its dataset's shards; by default data/shards/<dataset>.
        constraints: the file that pins the environment.

    Returns:
        64 hexadecimal digits.

    Raises:
        UserError: the shards are not there.
    """
    folder = shards or Path("data/shards") / check_name("dataset", plan["data"]["name"])
    parts = {
        "configuration": {key: value for key, value in plan.items() if key not in WITHOUT_EFFECT},
        "shards": shard_hashes(folder),
        "code": plan["code"]["fingerprint"],
        "environment": pinned_environment(constraints),
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def shard_hashes(folder: Path) -> dict[str, list[str]]:
    """The sha256 of every shard of a dataset, by split, in order.

    Raises:
        UserError: there is no readable shards.json.
    """
    path = folder / "shards.json"
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
        return {split: [str(shard["sha256"]) for shard in entry["shards"]] for split, entry in splits.items()}
    except FileNotFoundError:
        mend = f"Make them: python -m pipelines.shard plan=build/plan/datasets/{folder.name}.yaml"
        raise UserError(f"{path} is not there", mend) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}", "Write the shards again") from error


def pinned_environment(constraints: Path) -> list[str]:
    """The pins of a constraints file, without comments and order."""
    if not constraints.is_file():
        return []
    lines = (line.partition("#")[0].strip() for line in constraints.read_text().splitlines())
    return sorted(line for line in lines if line)
