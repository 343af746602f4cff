"""Commands in surroundings like those of a container: a user without a name and a home."""

import os
import shutil
import subprocess
from pathlib import Path

# In a namespace of its own, this user's number is one that nobody has heard of.
_NOBODY = ["unshare", "--user", "--map-user=54321"]


def can_be_nobody() -> bool:
    """Whether this machine lets a process be a user without a name."""
    return (
        shutil.which("unshare") is not None and not subprocess.run([*_NOBODY, "true"], capture_output=True).returncode
    )


def as_nobody(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user without a name and a home, with these environment variables."""
    named = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME")
    clean = {name: value for name, value in os.environ.items() if name not in named}
    return subprocess.run(
        [*_NOBODY, *map(str, command)],
        env=clean | environment,
        capture_output=True,
        text=True,
        errors="surrogateescape",
    )
