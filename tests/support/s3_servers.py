"""Real S3 servers on the loopback: moto's, which the tests' packages bring, and Ceph's RADOS gateway, if there is one.

Both check keys and signatures, log every request, and keep everything in memory. They are ended by the ids of their
processes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.fs
import pytest

from tests.support.study_processes import answers, end, free_port, kill
from tests.support.waiting import wait_until

BUCKET = "music"
# moto's log colours requests that had no success.
_REQUEST = re.compile(r'"(?:\x1b\[[0-9;]*m)*(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1\.[01]')


class S3Server:
    """A server that runs: where it listens, who may ask it, and what it was asked.

    Attributes:
        endpoint: `http://127.0.0.1:PORT`.
        environment: variables by which any process finds it and may ask it.
        log: the file in which it notes requests.
    """

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.log = folder, free_port(), folder / "requests.log"
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
        }  # fmt: skip

    def root(self, folder: str = "") -> str:
        """The URI of a new place for a storage."""
        return f"s3://{BUCKET}/{folder or uuid.uuid4().hex}"

    def requests(self, begin: int = 0) -> Counter[tuple[str, str]]:
        """How often each was asked since the log had so many bytes: the kind, and the key or the prefix."""
        with self.log.open("rb") as log:
            log.seek(begin)
            text = log.read().decode(errors="replace")
        found: Counter[tuple[str, str]] = Counter()
        for method, path in _REQUEST.findall(text):
            split = urlsplit(path)
            is_listing = method == "GET" and "list-type=" in split.query
            prefix = re.search(r"prefix=([^&]*)", split.query) if is_listing else None
            key = prefix[1] if prefix else split.path.removeprefix(f"/{BUCKET}").removeprefix("/")
            found["LIST" if is_listing else method, unquote(key)] += 1
        return found

    def _make_bucket(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            pyarrow.fs.S3FileSystem(
                endpoint_override=self.endpoint, region="us-east-1", allow_bucket_creation=True
            ).create_dir(BUCKET)


class Moto(S3Server):
    """moto's server: Python, one process, no disk."""

    name = "moto"

    def start(self) -> None:
        """Start it, and return once its bucket is there (some seconds)."""
        # The three requests by which its only user is made are the last that it takes from anybody.
        environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "3"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(lambda: "Running on" in self.log.read_text(), "moto", self.log.read_text, self.process)
        self.environment |= self._key()
        self._make_bucket()

    def _key(self) -> dict[str, str]:
        import boto3

        anybody = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            users = boto3.client("iam", endpoint_url=self.endpoint, **anybody)
            users.create_user(UserName="u")
            key = users.create_access_key(UserName="u")["AccessKey"]
            everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
            users.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def end(self) -> None:
        """End it; what it held is gone."""
        end(self.process)


_CEPH = """
[global]
fsid = {fsid}
mon host = 127.0.0.1:{monitor_port}
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
keyring = {folder}/keyring
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = 1073741824
plugin dir = {libraries}/ceph
erasure code dir = {libraries}/ceph/erasure-code
osd class dir = {libraries}/rados-classes
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
log file = {log}
debug rgw = 1
"""


class Ceph(S3Server):
    """The S3 gateway of Ceph over a cluster of one monitor and one store in memory, as Debian packages them."""

    name = "Ceph"

    @staticmethod
    def lacking() -> str:
        """Which of its programs is not there; empty if all are."""
        return next((name for name in ("ceph-mon", "ceph-osd", "radosgw", "ceph") if not shutil.which(name)), "")

    def start(self) -> None:
        """Start it, and return once its bucket is there (half a minute)."""
        folder, monitor_port = self.folder, free_port()
        prefix = Path(shutil.which("radosgw") or "").parents[2]
        (classes,) = prefix.glob("usr/lib/*/rados-classes")
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        cluster, store = str(uuid.uuid4()), str(uuid.uuid4())
        (folder / "ceph.conf").write_text(
            _CEPH.format(
                fsid=cluster, folder=folder, port=self.port, monitor_port=monitor_port, log=self.log,
                libraries=classes.parent,
            )
        )  # fmt: skip
        self._do("ceph-authtool", "keyring", "--create-keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        everything = [word for part in ("mon", "osd", "mgr") for word in ("--cap", part, "allow *")]
        for user in ("client.admin", "client.rgw", "osd.0"):
            self._do("ceph-authtool", "keyring", "--gen-key", "-n", user, *everything)
        self._do("monmaptool", "--create", "--fsid", cluster, "--add", "a", f"127.0.0.1:{monitor_port}", "monmap")
        conf = ("-c", "ceph.conf")
        self._do("ceph-mon", *conf, "-i", "a", "--mkfs", "--monmap", "monmap", "--keyring", "keyring")
        self.processes = [self._run("ceph-mon", *conf, "-i", "a")]
        self._do("ceph", *conf, "osd", "new", store)
        self._do("ceph", *conf, "auth", "import", "-i", "keyring")
        self._do("ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", store)
        self.processes.append(self._run("ceph-osd", *conf, "-i", "0"))
        key = {"AWS_ACCESS_KEY_ID": "musiclab", "AWS_SECRET_ACCESS_KEY": uuid.uuid4().hex}
        self._do(
            "radosgw-admin", *conf, "user", "create", "--uid=u", "--display-name=u",
            f"--access-key={key['AWS_ACCESS_KEY_ID']}", f"--secret-key={key['AWS_SECRET_ACCESS_KEY']}",
        )  # fmt: skip
        self.processes.append(self._run("radosgw", *conf, "-n", "client.rgw"))
        wait_until(lambda: answers(self.endpoint), "Ceph's gateway", self.log.exists, self.processes[-1])
        self.environment |= key
        self._make_bucket()

    def _do(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{command[0]}: {done.stderr[-2000:]}"

    def _run(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*command, "-f"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # fmt: skip

    def end(self) -> None:
        """End all its processes; what it held is gone."""
        kill(*(process.pid for process in reversed(self.processes)))
        for process in self.processes:
            process.wait()


def why_no_moto() -> str:
    """Why moto's server cannot be started; empty if it can."""
    return "" if find_spec("moto") and find_spec("flask_cors") else "moto is not installed"
