"""A disk that is full or read-only midway: one sentence, no damage, and the same command goes on once it is not."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.judging import Truth, Watch, faults
from tests.support.study_processes import Run, ended, paused_study, resume, run_study
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("where", ["--in-process", pytest.param("--workers=1", marks=pytest.mark.long)])
def test_a_disk_that_is_full(where: str, half: Truth, disk: Path, tmp_path: Path) -> None:
    storage, uri = _storage(half, disk, tmp_path)
    used = sum(file.stat().st_size for file in storage.rglob("*")) // 1024
    _remount(disk, f"size={used + 700}k")
    watch = Watch(storage)
    watch.start()
    asked = [*half.options, where, "--tracking-uri", uri]
    _assert_said(run_study(*asked, storage=storage, file=half.file, code=1), "No space left on device")
    assert watch.steps  # it had begun
    _remount(disk, "size=64m")
    run_study(*asked, storage=storage, file=half.file)
    watch.end()
    assert faults(half, storage, uri, watch, in_process=where == "--in-process") == Counter()


@pytest.mark.long
def test_a_disk_that_becomes_read_only(half: Truth, disk: Path, tmp_path: Path) -> None:
    storage, uri = _storage(half, disk, tmp_path)
    watch = Watch(storage)
    watch.start()
    asked = [*half.options, "--in-process", "--tracking-uri", uri]
    process = paused_study(*asked, storage=storage, file=half.file, curves=2)
    wait_until(lambda: _remount(disk, "ro", check=False), "a moment in which nothing is being written")
    resume(process)
    _assert_said(ended(process, storage, code=1), "Read-only file system")
    _remount(disk, "rw")
    run_study(*asked, storage=storage, file=half.file)
    watch.end()
    assert faults(half, storage, uri, watch, in_process=True) == Counter()


def _storage(half: Truth, disk: Path, folder: Path) -> tuple[Path, str]:
    """A fresh storage on the disk, its MLflow elsewhere."""
    storage = half.fresh(disk / "storage")
    (storage / "mlflow.db").unlink()
    (folder / "mlflow.db").write_bytes(half.empty.read_bytes())
    return storage, f"sqlite:///{folder}/mlflow.db"


def _remount(disk: Path, option: str, check: bool = True) -> bool:
    time.sleep(0.01)
    return not subprocess.run(["mount", "-o", f"remount,{option}", disk], check=check, capture_output=True).returncode


def _assert_said(run: Run, reason: str) -> None:
    (said,) = [line for line in run.err.splitlines() if line.startswith("error")]
    assert f"cannot be written to any more: {reason}; nothing finished is lost" in said
    assert "Traceback" not in run.out + run.err
