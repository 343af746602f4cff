"""Commands of podman and buildah, what they say, and how long steps take."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "containers"
INSTALL = (
    "apt-get install --no-install-recommends buildah podman runc netavark aardvark-dns iptables mmdebstrap catatonit "
    "uidmap chromium chromium-driver"
)
_PROGRAMS = ("buildah", "podman", "chromium", "chromedriver")
COMPOSE = Path(sys.executable).with_name("podman-compose")


class Failed(Exception):
    """A step did not come to what it must; the message says how."""


@dataclass
class Table:
    """The closing table: a row for each step, with its seconds and what was seen."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what is seen is appended to the list that it gets."""
        print(f"== {name}", flush=True)
        began, seen = time.monotonic(), list[str]()
        try:
            yield seen
        except BaseException as error:
            seen.append(f"FAILED: {error}")
            raise
        finally:
            self.rows.append((name, time.monotonic() - began, "; ".join(seen)))
            print(f"   {self.rows[-1][1]:.0f} s  {self.rows[-1][2]}", flush=True)

    def __str__(self) -> str:
        lines = ["| step | s | what was seen |", "|---|---|---|"]
        lines += [f"| {name} | {seconds:.0f} | {seen} |" for name, seconds, seen in self.rows]
        return "\n".join(lines)


def missing_tools() -> str:
    """What is not installed and how to install it, in a sentence; empty if nothing is missing."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} must be installed; on Debian: {INSTALL}"
    return "" if COMPOSE.exists() else f"{COMPOSE} must exist; `make test` installs it"


def run(*command: str | Path, log: str = "", env: Mapping[str, str] | None = None) -> str:
    """What a command prints; Failed with its last lines if it fails.

    Args:
        command: the command.
        log: a file in OUT that gets all that it prints, errors too, while it does; empty for none.
        env: the environment, by default this process's.
    """
    if not log:
        done = tried(*command, env=env)
        if done.returncode:
            raise Failed(f"{_shown(command)}: exit status {done.returncode}: {_tail(done.stdout + done.stderr)}")
        return done.stdout
    file = OUT / log
    with file.open("w") as stream:
        code = subprocess.call(list(map(str, command)), cwd=ROOT, env=env, stdout=stream, stderr=subprocess.STDOUT)
    text = file.read_text(errors="replace")
    if code:
        raise Failed(f"{_shown(command)}: exit status {code}: {_tail(text)}; all of it is in {file}")
    return text


def tried(*command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command that may fail, with what it printed."""
    return subprocess.run(list(map(str, command)), cwd=ROOT, env=env, capture_output=True, text=True, errors="replace")


def _shown(command: tuple[str | Path, ...]) -> str:
    return " ".join(map(str, command[:4])) + (" ..." if len(command) > 4 else "")


def _tail(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-4:])[-800:]


def megabytes(image: str) -> float:
    """An image's size in MB."""
    return int(run("podman", "image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def image_exists(name: str) -> bool:
    """Whether this machine has an image; no registry is asked."""
    return tried("podman", "image", "exists", name).returncode == 0
