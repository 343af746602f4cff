"""What libraries need around a process and a container may lack: a home folder, a temporary one, standard streams."""

import os
import stat
import sys
import tempfile
from pathlib import Path

from musiclab.errors import UserError
from musiclab.process.terminal import open_streams


def settle() -> None:
    """Give this process, and those that it starts, what its surroundings lack; refuse those that cannot be mended.

    Without a home folder MLflow cannot be imported and Ray cannot start. So HOME becomes a folder among the temporary
    ones. Nothing of ours is kept there: see `expanded`.

    Raises:
        UserError: on Windows, or if the working directory is gone or no folder can hold temporary files.
    """
    if sys.platform == "win32":  # it lacks what storage and processes rest on: locks, renames, signals
        raise UserError("musiclab runs on Linux (and is not tested on macOS); Windows is not supported: use WSL.")
    open_streams()
    try:
        Path.cwd()
    except FileNotFoundError:  # libraries end the process silently, or with a misleading message
        raise UserError("The working directory no longer exists; change to one that does.") from None
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UserError(f"{error.strerror}; set TMPDIR to a folder that can be written to.") from None
    if not _has_home():
        os.environ["HOME"] = str(_private_folder(Path(temporary)))


def expanded(place: str) -> Path:
    """A path in which `~` is the user's home, but not what stands in for one, which nobody would look into.

    Raises:
        RuntimeError: if there is no such home.
    """
    if place.split("/")[0] == "~" and _is_stand_in(Path.home()):
        raise RuntimeError("there is no home folder, because HOME is not set")
    return Path(place).expanduser()


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


def _name() -> str:
    return f"musiclab-home-{os.geteuid()}"


def _is_stand_in(home: Path) -> bool:
    return home.name.startswith(_name())


def _private_folder(parent: Path) -> Path:
    """A folder that nobody else can write to: the one of an earlier run, if it is surely this user's."""
    folder = parent / _name()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        status = None
    if status and stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix=f"{_name()}-", dir=parent))
