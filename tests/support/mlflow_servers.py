"""Real tracking servers to be killed, frozen and started again: `mlflow server` on SQLite and on PostgreSQL.

All listen on the loopback only and are ended by the ids of their processes. A PostgreSQL is Debian's, run by a user who
is not root, with the durability that it has by default; its databases are copies of one that was migrated once.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.study_processes import answers, descendants, end, free_port, kill
from tests.support.waiting import STILL_S, lives, wait_until

_MIGRATE = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).get_experiment_by_name('none')"


class _Tree:
    """A server as a process and all below it."""

    process: subprocess.Popen

    def kill(self) -> None:
        """`kill -9` of all its processes, those that it is about to start too."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGSTOP)  # it starts no other while its children are listed
            children = descendants(self.process.pid)
            kill(*children, self.process.pid)
            self.process.wait()
            # One in the middle of writing to a disk outlives it for a while, and whoever is started then meets it.
            wait_until(lambda: not any(map(lives, children)), "the end of its children")
        self.process.wait()

    def freeze(self) -> None:
        """Let it accept and never answer, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on with all that it was asked meanwhile."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in (self.process.pid, *descendants(self.process.pid)):
            os.kill(pid, number)


class MlflowServer(_Tree):
    """`mlflow server` over a database, `sqlite:////...` or `postgresql://...`, that outlives it; artifacts in `folder`.

    The port stays the same from start to start, so a study's address does too.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database, self.port = folder, database, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        folder.mkdir(exist_ok=True)

    def start(self) -> None:
        """Start it, and return once it answers (some ten seconds)."""
        # By the environment: the address may hold a password. Without the runners of its jobs, of which none is used.
        environment = os.environ | {
            "MLFLOW_BACKEND_STORE_URI": self.database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
                "--workers", "1", "--artifacts-destination", str(self.folder / "artifacts"),
            ],
            cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        wait_until(lambda: answers(f"{self.uri}/health"), "the MLflow server")

    def end(self) -> None:
        """End it, running, frozen or killed."""
        with suppress(ProcessLookupError):
            self.thaw()
        end(self.process)


def sqlite(folder: Path, database: Path) -> MlflowServer:
    """A server, not started yet, over a copy of the SQLite file `database` in `folder`."""
    folder.mkdir(exist_ok=True)
    shutil.copy(database, folder / "mlflow.db")
    return MlflowServer(folder, f"sqlite:///{folder / 'mlflow.db'}")


class Postgres(_Tree):
    """A PostgreSQL cluster of its own in a temporary folder; makes MLflow databases by copying one."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = _not_root()
        # Not under pytest's folders, which only the user who runs the tests may enter; short, for its socket.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.port, self._password = free_port(), secrets.token_hex(8)
        password = self.folder / "password"
        password.write_text(self._password)
        if self._user:
            for path in (self.folder, password):
                shutil.chown(path, self._user)
        self._run(
            "initdb", "--pgdata", self.folder / "data", "--username=mlflow", "--pwfile", password,
            "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip
        self._migrated = False

    def start(self) -> None:
        """Start it, and return once it takes connections, after a recovery where it was killed."""
        log = (self.folder / "log").open("a")
        with log:
            self.process = subprocess.Popen(
                [
                    self._programs / "postgres", "-D", self.folder / "data", "-p", str(self.port),
                    "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}",
                ],
                user=self._user, cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(self._takes_connections, "PostgreSQL")

    def uri(self, name: str) -> str:
        """MLflow's address of a database of that name."""
        return f"postgresql+psycopg2://{self._place(name)}"

    def database(self, name: str) -> str:
        """The address of a new, empty MLflow database of that name; the first takes some ten seconds to migrate."""
        if not self._migrated:
            self._execute("CREATE DATABASE empty")
            subprocess.run([sys.executable, "-c", _MIGRATE, self.uri("empty")], check=True, capture_output=True)
            self._migrated = True
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE empty')
        return self.uri(name)

    def ascii_database(self, name: str) -> str:
        """The address of an empty MLflow database of that name without an encoding, as a bare `initdb` makes them."""
        address = self.database(name)
        self._execute(f"UPDATE pg_database SET encoding = 0 WHERE datname = '{name}'")  # SQL_ASCII
        return address

    def remove(self) -> None:
        """Kill it and remove all that it kept."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, database: str) -> str:
        return f"mlflow:{self._password}@127.0.0.1:{self.port}/{database}"

    def _execute(self, command: str) -> None:
        import psycopg2

        connection = psycopg2.connect(f"postgresql://{self._place('postgres')}")
        connection.autocommit = True  # databases are made outside of transactions
        try:
            connection.cursor().execute(command)
        finally:
            connection.close()

    def _takes_connections(self) -> bool:
        import psycopg2

        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg2.connect(f"postgresql://{self._place('postgres')}").close()
        except psycopg2.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._programs / program, *arguments]
        subprocess.run(command, user=self._user, cwd=self.folder, check=True, capture_output=True)


class Proxy:
    """Stands before an MLflow server, or alone, and answers as a bad network or a broken server does.

    `delay_s` is waited before each answer; `answer`, status, content type and body, is given instead of the server's.
    """

    def __init__(self, server: str = "") -> None:
        proxy = self
        self.delay_s, self.answer, self.asked = 0.0, None, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.asked += 1
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                time.sleep(proxy.delay_s)
                status, kind, answer = proxy.answer or self._asked_of_server(body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - the base class's names

            def _asked_of_server(self, body: bytes) -> tuple[int, str, bytes]:
                headers = {name: self.headers[name] for name in ("Content-Type",) if name in self.headers}
                asked = urllib.request.Request(f"{server}{self.path}", body or None, headers, method=self.command)
                try:
                    with urllib.request.urlopen(asked, timeout=STILL_S) as response:
                        return response.status, response.headers["Content-Type"], response.read()
                except urllib.error.HTTPError as error:
                    return error.code, error.headers["Content-Type"], error.read()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Answer nothing any more."""
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """One that has started and is removed in the end; skips the test where there is none."""
    needs_postgres()
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.remove()


def needs_postgres() -> None:
    """Skip the test where PostgreSQL or what speaks to it is not installed."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL here (apt install postgresql)")
    if not find_spec("psycopg2"):
        pytest.skip("no psycopg2 here (pip install psycopg2-binary)")


def _programs() -> Path:
    """The newest PostgreSQL's programs; Debian does not put them on the PATH."""
    found = [file.parent for file in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda folder: int(folder.parent.name))


def _not_root() -> str | None:
    """A user for PostgreSQL, which refuses to run as root; None where this is not root anyway."""
    if os.getuid():
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
