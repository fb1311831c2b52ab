"""Addresses under which shards lie in an object store, on a web server or in another folder."""

from urllib.parse import urlsplit

from modules.configuration.errors import ConfigError

_STORES = ("s3", "gs", "az")
_SCHEMES = (*_STORES, "https", "http")


def check_address(key: str, address: str) -> str:
    """The address, if it can be one: s3://bucket/prefix, gs://, az://, https://host/folder, or a folder.

    Raises:
        ConfigError: it is of another kind, or holds a password.
    """
    if not address.strip() or not address.isprintable():
        raise ConfigError(key, f"{address!r} names nothing")
    scheme, separator, _ = address.partition("://")
    if not separator:
        return address
    if scheme not in _SCHEMES:
        raise ConfigError(
            key,
            f"{address} is of no kind that can be read",
            "It can be s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, https://host/folder"
            " or a folder",
        )
    try:
        parts = urlsplit(address)
        host, secret = parts.hostname, "@" in parts.netloc
    except ValueError:
        host, secret = None, False
    if secret:
        raise ConfigError(
            key, "the address holds a name or password", "The environment holds them: AWS_ACCESS_KEY_ID, ..."
        )
    if not host or parts.query or parts.fragment:
        what = "bucket" if scheme in _STORES else "host"
        raise ConfigError(
            key, f"{address} has no {what}, or more than a path", f"Write {scheme}://{what}/path"
        )
    return address


def is_folder(address: str) -> bool:
    """Whether it is a folder of the file system."""
    return "://" not in address
