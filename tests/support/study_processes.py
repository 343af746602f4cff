"""Studies and servers as processes: starting, watching, killing and ending them by their ids."""

import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musiclab.storage.files import HALF, PROBE
from tests.support.waiting import Progress, outcome, run_to_end, suspended, wait_until

ROOT = Path(__file__).parents[2]
LATENT_DIM = ROOT / "studies" / "latent_dim.py"

# At the top of a study's file: see `paused_study`.
PAUSING = """
import os
import signal

from musiclab.storage.files import Storage

if "PAUSE_AT_CURVES" in os.environ:
    pause_at, write, curves = int(os.environ.pop("PAUSE_AT_CURVES")), Storage.write, set()

    def write_and_pause(storage, name, data):
        write(storage, name, data)
        if name.endswith("/curves.json") and name not in curves:
            curves.add(name)
            if len(curves) == pause_at:
                os.kill(os.getpid(), signal.SIGSTOP)

    Storage.write = write_and_pause
"""
# How lines of a study's progress begin; MLflow has one if it comes late.
PROGRESS = ("trials ", "songs cut into windows ", "MLflow is being brought up to date: ")


@dataclass(frozen=True)
class Run:
    """A study's process that has ended, and where it kept its records."""

    code: int
    out: str
    err: str
    storage: Path

    @property
    def table(self) -> str:
        """What it printed as its answer: table and sentence."""
        return re.split(r"trials done.*\n", self.out)[1].partition("\nrecords:")[0].strip()

    @property
    def records(self) -> dict[str, bytes]:
        """The records' bytes by key."""
        return {file.parent.name: file.read_bytes() for file in sorted(self.storage.glob("trials/*/record.json"))}

    @property
    def costs(self) -> list[dict[str, Any]]:
        """What `run.json` says, of every trial."""
        return [json.loads(file.read_text()) for file in sorted(self.storage.glob("trials/*/run.json"))]


@dataclass(frozen=True)
class Head:
    """A Ray head node: its address for drivers, its dashboard's for jobs, its folder, the environment for both."""

    address: str
    dashboard: str | None
    folder: Path
    environment: dict[str, str]

    def takes_jobs(self) -> bool:
        """Whether its dashboard answers."""
        token = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        return answers(urllib.request.Request(f"{self.dashboard}/api/jobs/", headers=token))


def start_study(
    *options: str, storage: Path, file: Path = LATENT_DIM, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.Popen:
    """A study's process, in a group of its own, as a shell starts it; to be given to `ended` (or killed)."""
    return subprocess.Popen(
        [sys.executable, str(file), *options, "--storage", str(storage)],
        cwd=cwd, env=os.environ | (env or {}), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        process_group=0,
    )  # fmt: skip


def ended(process: subprocess.Popen, storage: Path, code: int = 0) -> Run:
    """Wait for a study's end, which must be with exit status `code`."""
    try:
        out, err = outcome(process, "the study", written(storage))
    finally:
        process.kill()
    assert process.returncode == code, f"exit status {process.returncode}, not {code}\n{out}\n{err}"
    return Run(process.returncode, out, err, storage)


def run_study(
    *options: str,
    storage: Path,
    file: Path = LATENT_DIM,
    code: int = 0,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
) -> Run:
    """A study from start to end, which must be with exit status `code`."""
    return ended(start_study(*options, storage=storage, file=file, env=env, cwd=cwd), storage, code)


def paused_study(
    *options: str, storage: Path, file: Path, curves: int = 1, env: dict[str, str] | None = None
) -> subprocess.Popen:
    """A study in one process that has suspended itself in the middle of a training, until it gets a SIGCONT.

    It does so in the first epoch of the training whose curves are number `curves`, so however slowly a test goes on, it
    finds the study there. The text of `file` begins with PAUSING.
    """
    environment = (env or {}) | {"PAUSE_AT_CURVES": str(curves)}
    process = start_study(*options, "--in-process", storage=storage, file=file, env=environment)
    wait_until(lambda: suspended(process.pid), "a training", written(storage), process)
    return process


def resume(process: subprocess.Popen) -> None:
    """Let a suspended process go on."""
    process.send_signal(signal.SIGCONT)


def written(storage: Path) -> Progress:
    """The progress of a study: what its trials and trainings have written, without the heartbeats of leases."""

    def newest() -> int:
        places = [folder for name in ("data", "stages", "trials") for folder in storage.glob(f"{name}/*")]
        times = [0]
        for place in places:
            with suppress(FileNotFoundError):
                times.append(place.stat().st_mtime_ns)  # a write replaces a file, which changes its folder
        return max(times)

    return newest


def descendants(pid: int, having: str = "") -> list[int]:
    """Ids of all processes under `pid` whose command line has `having`."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            # The second field, the name in parentheses, may hold anything; the parent is the second after it.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    found, layer = [], {pid}
    while layer := {child for child, parent in parents.items() if parent in layer}:
        found += layer
    return [child for child in found if having in commands.get(child, "")]


def listening(*pids: int) -> list[str]:
    """The addresses, as the kernel writes them, at which these processes take connections."""
    sockets = set()
    for file in [file for pid in pids for file in Path("/proc").glob(f"{pid}/fd/*")]:
        with suppress(OSError):  # closed by now
            sockets.add(str(file.readlink()))
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def kill(*pids: int) -> None:
    """Kill the processes as nothing else than SIGKILL does."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end(process: subprocess.Popen) -> None:
    """End a server and all that it started."""
    children = descendants(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    kill(process.pid, *children)
    process.wait()


_STARTS = 3  # of a node that Ray gives up after half a minute, as it does on a machine that is busy enough


def start_ray(log: Path, *options: str, environment: dict[str, str], inside: Sequence[str] = ()) -> subprocess.Popen:
    """A node of Ray on this machine, head or other, that has started; to be given to `end`.

    `inside` is a command that runs the command behind it.
    """
    command = [
        *inside, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address=127.0.0.1",
        "--disable-usage-stats", f"--object-store-memory={100 * 2**20}",
        f"--dashboard-agent-listen-port={free_port()}",  # the default one may be another Ray's on this machine
        *options,
    ]  # fmt: skip
    for _ in range(_STARTS):
        process = _begun(command, log, environment)
        if process.poll() is None:
            return process
        if "timed out during startup" not in log.read_text():
            break
    raise AssertionError(log.read_text()[-2000:])


def _begun(command: list[Any], log: Path, environment: dict[str, str]) -> subprocess.Popen:
    """A node that has started, or has ended."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=file, stderr=file, start_new_session=True
        )
    wait_until(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None, "Ray", log.read_text)
    return process


@contextmanager
def running_head(**variables: str) -> Iterator[Head]:
    """A Ray head node on this machine, ended with the context.

    It has two CPUs, one GPU that is only declared, and a dashboard where Ray has its parts. Its workers and jobs have
    the environment of this process with `variables`.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Ray puts sockets under it, whose paths may not be long
    port, dashboard = free_port(), free_port()
    with_dashboard = importlib.util.find_spec("aiohttp_cors") is not None  # of ray[default]
    environment = os.environ | variables | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # a job's `python` is the head's
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }  # fmt: skip
    process = start_ray(
        folder / "head.log", "--head", f"--port={port}", "--num-cpus=2", "--num-gpus=1", f"--temp-dir={folder}",
        f"--include-dashboard={with_dashboard}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={free_port()}", environment=environment,
    )  # fmt: skip
    try:
        made = Head(
            f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}" if with_dashboard else None, folder, environment
        )
        if with_dashboard:
            wait_until(made.takes_jobs, "Ray's dashboard")
        yield made
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def submit(head: Head, folder: Path, *entrypoint: str) -> tuple[int, str]:
    """Exit status and output of a job as `ray job submit` gives them, from a working directory that travels."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", str(head.dashboard)]
    done = run_to_end(
        [*command, "--working-dir", ".", "--", *entrypoint],
        cwd=folder, env=head.environment, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


_given = set[int]()  # what free_port has returned


def free_port() -> int:
    """A port of the loopback that nothing listens on now.

    It lies below those that kernels give to whoever asks for any. One of these can be an outgoing connection of some
    other process by the time that its server binds it: a Ray head then ends right after its start, because its client
    server, which nobody asked for, finds its port taken.
    """
    # Each of the processes that run tests at the time has ports of its own, and none twice.
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 20_000 + count * secrets.randbelow(10_000 // count) + number
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def answers(request: str | urllib.request.Request) -> bool:
    """Whether a server answers with a success."""
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError):
        return False


def files(folder: Path) -> dict[str, int]:
    """Every file under `folder` with when it was written, but those by which somebody tries whether he can write."""
    there = [file for file in folder.rglob("*") if not file.name.startswith(PROBE) and file.is_file()]
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in there}


def copied(storage: Path, to: Path, *without: str) -> Path:
    """A copy of a storage without files whose names match `without`; another test may open the storage meanwhile."""
    return shutil.copytree(storage, to, ignore=shutil.ignore_patterns(f"{PROBE}*", f"{HALF}*", *without))
