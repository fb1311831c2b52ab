"""One address under which files lie: read and written by parts, again where it fails, never for ever.

The client is obstore (the Rust crate object_store), whose threads do not survive a fork: a process that forks
must not have used it. Trainings leave it to a process of its own (`fetch_process`).
"""

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, from_url

from modules.configuration.errors import UserError
from modules.configuration.refused_access import access_errors
from modules.configuration.schema.mirror_address import is_folder
from modules.datamodules.mirror.patience import Patience

if TYPE_CHECKING:
    from obstore.store import ClientConfig

Result = TypeVar("Result")
_PART_BYTES = 5 * 2**20
"""obstore sends a file in parts of this size."""
_CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL where it isn't Amazon's",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class Cut(Exception):
    """An answer that is not whole."""


class ObjectStore:
    """The files under one address.

    Args:
        address: see `modules.configuration.schema.mirror_address`.
        patience: with it.
        make: whether to make a folder that is not there.

    Raises:
        UserError: a folder is not there, or the environment says what the client does not take.
    """

    def __init__(self, address: str, patience: Patience, make: bool = False) -> None:
        self.address = address.rstrip("/") or address
        self._patience = patience
        self._store = self._opened(make)

    def _opened(self, make: bool) -> Any:
        if is_folder(self.address):
            folder = Path(self.address).expanduser().absolute()
            if make:
                with access_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            if not folder.is_dir():
                raise UserError(f"{self.address} is no folder", "Look at the address")
            return LocalStore(folder)
        options: ClientConfig = {
            "timeout": f"{int(self._patience.stall_s * 1000)}ms",
            "connect_timeout": f"{int(min(self._patience.stall_s, 10) * 1000)}ms",
        }
        endpoint = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", ""))
        if f"{self.address} {endpoint}".count("http://"):
            options["allow_http"] = True
        try:
            # Asking again is done here, where it is said in one line.
            return from_url(self.address, client_options=options, retry_config={"max_retries": 0})
        except (BaseError, ValueError) as error:
            raise UserError(f"{self.address} cannot be opened: {_first_line(error)}") from error

    async def read(self, name: str, start: int, stop: int) -> memoryview:
        """The bytes `start` up to `stop` of a file.

        Raises:
            UserError: they cannot be had.
        """

        async def request() -> memoryview:
            found = memoryview(await obstore.get_range_async(self._store, name, start=start, end=stop))
            if len(found) != stop - start:
                raise Cut(f"{len(found)} bytes came instead of {stop - start}")
            return found

        return await self._patiently(name, request)

    async def read_all(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            UserError: it cannot be had.
        """

        async def request() -> bytes:
            return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

        return await self._patiently(name, request)

    async def size(self, name: str) -> int | None:
        """How large a file is; None where there is none.

        Raises:
            UserError: the store does not answer, or refuses.
        """

        async def request() -> int | None:
            try:
                return (await obstore.head_async(self._store, name))["size"]
            except FileNotFoundError:
                return None

        return await self._patiently(name, request)

    async def write(self, name: str, content: bytes | Path) -> None:
        """Writes a file, which is there as a whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        num_bytes = len(content) if isinstance(content, bytes) else content.stat().st_size
        parts = 1 + num_bytes // _PART_BYTES

        async def request() -> None:
            await obstore.put_async(self._store, name, content)

        await self._patiently(name, request, parts)

    async def delete(self, name: str) -> None:
        """Takes a file away.

        Raises:
            UserError: it cannot be.
        """

        async def request() -> None:
            await obstore.delete_async(self._store, name)

        await self._patiently(name, request)

    async def _patiently(self, name: str, request: Callable[[], Awaitable[Result]], parts: int = 1) -> Result:
        last: BaseException | None = None
        wait_s = self._patience.first_wait_s
        for attempt in range(self._patience.attempts):
            if attempt:
                await asyncio.sleep(wait_s * random.uniform(1, 1.5))
                wait_s *= 2
            try:
                return await asyncio.wait_for(request(), self._patience.stall_s * parts)
            except (FileNotFoundError, PermissionDeniedError, PermissionError, UnauthenticatedError) as error:
                self._refused(name, error)
            except (BaseError, Cut, TimeoutError) as error:
                last = error
        raise UserError(
            f"{self.address}/{name} cannot be had after {self._patience.attempts} attempts: "
            + self._reason(last),
            "Is the store up, and the network?",
        ) from last

    def _refused(self, name: str, error: BaseException) -> NoReturn:
        code = (re.search(r"<Code>(\w+)</Code>", str(error)) or [""] * 2)[1]
        if isinstance(error, FileNotFoundError) and code == "NoSuchBucket":
            raise UserError(f"{self.address}: there is no such bucket", "Look at the address") from error
        if isinstance(error, FileNotFoundError):
            raise UserError(f"{self.address} holds no {name}", "Upload the shards there again") from error
        scheme = self.address.partition("://")[0]
        refused = f"{self.address} refuses access to {name}" + (f" ({code})" if code else "")
        raise UserError(refused, _CREDENTIALS.get(scheme, "Look at its rights")) from error

    def _reason(self, error: BaseException | None) -> str:
        if isinstance(error, TimeoutError) or "timed out" in str(error) or "Timeout" in str(error):
            return f"nothing came for {self._patience.stall_s:g} s"
        return _first_line(error)


def _first_line(error: BaseException | None) -> str:
    line = f"{error}".partition("\n")[0].strip()
    return re.sub(r"^Generic \w+ error: |, after \d.*$", "", line)[:300]
