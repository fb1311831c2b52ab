"""The process that fetches: what it is asked for while it is busy with the same."""

import asyncio
import hashlib
from pathlib import Path

from modules.datamodules.mirror.cache_folder import CacheFolder
from modules.datamodules.mirror.download import RemoteShard
from modules.datamodules.mirror.fetch_process import Fetching
from modules.datamodules.mirror.object_store import ObjectStore
from modules.datamodules.mirror.patience import Patience
from modules.datamodules.mirror.tally import Tally


def test_a_shard_for_which_there_was_no_room_is_tried_again(tmp_path: Path) -> None:
    """It is asked for in the moment after that is known, before the loop has taken the attempt away."""
    content = bytes(range(256)) * 40
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "train-000000.tar").write_bytes(content)
    shard = RemoteShard("train-000000.tar", hashlib.sha256(content).hexdigest(), len(content))
    cache, tally = CacheFolder(tmp_path / "cache", 2 * len(content)), Tally()

    async def ask() -> None:
        fetching = Fetching([ObjectStore(str(mirror), Patience())], cache, Patience(), tally)
        without_room = asyncio.get_running_loop().create_future()
        without_room.set_result(False)
        fetching._coming[shard.sha256] = without_room  # pyright: ignore[reportArgumentType]
        await fetching.need([shard], [])

    asyncio.run(ask())
    assert cache.tar(shard.sha256).read_bytes() == content and tally.total() == len(content)
