"""The places that a Ray of our own needs on this machine: a folder for its sockets, and one for its token."""

import os
import secrets
import tempfile
from pathlib import Path

from musiclab.errors import UserError, one_line

# Ray keeps sockets under <folder>/ray/session_<time>_<process>/sockets/, and no socket's path may be longer than this.
_MOST_BYTES = 107 if os.uname().sysname == "Linux" else 103
_BELOW = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


def prepare_for_ray() -> None:
    """Set what Ray reads from the environment, if it could not start with what is there.

    Ray puts its sockets and logs under RAY_TMPDIR, else TMPDIR, else /tmp. If it cannot use TMPDIR, it gets /tmp. It
    writes a token for its processes into the home folder. If it cannot, it gets one in RAY_AUTH_TOKEN.

    Raises:
        UserError: if there is no folder that Ray can use.
    """
    named = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    folder = os.environ[named] if named else "/tmp"
    if problem := _problem(folder):
        if named != "TMPDIR" or _problem("/tmp"):
            raise UserError(
                f"{named or 'RAY_TMPDIR'} must name a folder that Ray can use for its files; {problem}. Give another, "
                "such as RAY_TMPDIR=/tmp, or use --in-process, which runs without Ray."
            )
        os.environ["RAY_TMPDIR"] = "/tmp"
    if not _can_keep_token():
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))


def _problem(folder: str) -> str:
    """Why Ray cannot use a folder, in words; empty if it can. It is created if it is missing, as Ray does."""
    if not Path(folder).is_absolute():
        return f"{folder!r} is no absolute path"
    if (excess := len(os.fsencode(folder + _BELOW)) - _MOST_BYTES) > 0:
        return f"{folder!r} is {excess} bytes too long for a socket"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        return f"{folder!r} cannot be written to ({one_line(error.strerror or str(error))})"
    return ""


def _can_keep_token() -> bool:
    """Whether Ray finds a token of this user, or can keep one."""
    folder = Path.home() / ".ray"
    if (folder / "auth_token").is_file():
        return True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
