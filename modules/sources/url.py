"""A file at an address of the web, or of this machine (file:)."""

import http.client
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path, PurePosixPath
from typing import ClassVar

from modules.configuration.errors import UserError
from modules.sources.archive import unpack
from modules.sources.cache import cached, checked_name

_ATTEMPTS = 4
_TIMEOUT_S = 60


class Url:
    """One file, unpacked if it is an archive. A download that broke off goes on where it stopped.

    Args:
        name: what the source is called here.
        url: its address: https, http or file.
        sha256: hash of the file.
        licence: licence of the data.
    """

    changes: ClassVar[bool] = False

    def __init__(self, name: str, url: str, sha256: str, licence: str) -> None:
        self.name = checked_name("name", name)
        address = urllib.parse.urlsplit(url)
        if address.scheme not in ("https", "http", "file"):
            raise UserError(
                f"url={url!r} of the source {name!r} is no https, http or file address", "Correct it"
            )
        self.url = url
        self.filename = checked_name(
            "url's file name", PurePosixPath(urllib.parse.unquote(address.path)).name
        )
        self.sha256 = sha256
        self.licence = licence

    def fetch(self, cache: Path, folder: Path) -> None:
        """Bring the file into `cache`, verify it and unpack it into `folder`.

        Raises:
            UserError: if the address doesn't answer, or delivers another content.
        """
        kept = cached(cache, f"{self.name}-{self.filename}", self.sha256, self._download)
        unpack(kept, folder, self.filename)

    def _download(self, folder: Path) -> Path:
        target = folder / self.filename
        fault: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                if _continue(self.url, target):
                    return target
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416 and target.exists():  # nothing is left to send
                    return target
                fault = error
                if error.code < 500:
                    break
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                fault = error
        by_hand = folder.with_suffix("")
        raise UserError(
            f"{self.url} can't be fetched ({fault or 'the connection breaks off'})",
            f"Check address and network and try again: it goes on where it stopped. Or put it at {by_hand}",
        )


def _continue(url: str, target: Path) -> bool:
    """Append to `target` what it lacks; False if the connection broke off before the end."""
    have = target.stat().st_size if target.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        # A server may ignore the range and start again.
        goes_on = have > 0 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        length = answer.headers.get("Content-Length")
        received = 0
        with target.open("ab" if goes_on else "wb") as file:
            while chunk := answer.read1(1 << 18):
                received += file.write(chunk)
    return length is None or received == int(length)
