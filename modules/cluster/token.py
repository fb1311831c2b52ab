"""Ray's token: whoever holds it may run code on the cluster, so only its owner may read the file.

Looked for where Ray itself looks: RAY_AUTH_TOKEN, the file that RAY_AUTH_TOKEN_PATH names, ~/.ray/auth_token.
"""

import os
import secrets
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text


def token_path() -> Path:
    """The file that holds the token, unless RAY_AUTH_TOKEN does."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def find_token() -> str | None:
    """The token of this user; None where there is none.

    Raises:
        UserError: the file cannot be read, or RAY_AUTH_TOKEN_PATH names none.
    """
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = token_path()
    try:
        return read_regular_text(path, links=True).strip() or None
    except FileNotFoundError:
        if os.environ.get("RAY_AUTH_TOKEN_PATH"):
            raise UserError(f"RAY_AUTH_TOKEN_PATH={path} is not there") from None
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"Ray's token cannot be read: {error}") from error


def ensure_token() -> str:
    """The token of this user; a new one where there is none."""
    token = find_token()
    path = token_path()
    if token is None:
        token = secrets.token_hex(32)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(token)
        except OSError:  # a home that takes nothing: this process and its children know it
            os.environ["RAY_AUTH_TOKEN"] = token
    elif path.is_file() and path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
        path.chmod(0o600)  # Ray writes it readable for everybody who can log in here
    return token
