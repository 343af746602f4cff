"""The main job in surroundings like a container's: it ends with its answer, on Ray and in one process."""

import sys
from pathlib import Path

import pytest

from tests.support.containers import as_nobody, can_be_nobody
from tests.support.study_processes import LATENT_DIM, PROGRESS, ROOT, Run, copied, files, run_study

pytestmark = pytest.mark.slow

_DEAF = "http://127.0.0.1:9"  # nothing answers there
_PROXY = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "grpc_proxy"), _DEAF)
_needs_nobody = pytest.mark.skipif(
    not can_be_nobody(), reason="this machine does not let a process be a user without a name"
)


@pytest.fixture
def long_tmpdir(tmp_path: Path) -> str:
    """A temporary folder whose name is too long for a socket."""
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    return str(folder)


def _answered(out: str, err: str, storage: Path) -> None:
    """Assert that a study ended with its answer, its report and an MLflow that is up to date."""
    assert "Traceback" not in out + err
    assert "\nOn frechet (squared sds, lower is better), against the control latent_dim=16" in out, err
    assert len([*storage.glob("trials/*/record.json")]) == 4
    assert f"\nreport: {storage}/studies/latent_dim/" in out
    assert "\nMLflow: " in out
    assert all(line.startswith(PROGRESS) for line in err.splitlines()), err


@_needs_nobody
@pytest.mark.parametrize("how", ["--workers=1", pytest.param("--in-process", marks=pytest.mark.long)])
def test_all_at_once(how: str, options: list[str], storage: Path, long_tmpdir: str) -> None:
    surroundings = _PROXY | {"TMPDIR": long_tmpdir, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    run = as_nobody(sys.executable, LATENT_DIM, *options, how, "--storage", storage, **surroundings)
    assert run.returncode == 0, run.stdout + run.stderr
    _answered(run.stdout, run.stderr, storage)
    assert run.stdout.isascii()
    assert " +/- " in run.stdout


@_needs_nobody
@pytest.mark.long
@pytest.mark.parametrize("how", ["--workers=2", "--in-process"])
def test_without_a_home_and_a_name(how: str, options: list[str], storage: Path) -> None:
    run = as_nobody(sys.executable, LATENT_DIM, *options, how, "--storage", storage, PYTHONPATH=str(ROOT))
    assert run.returncode == 0, run.stdout + run.stderr
    _answered(run.stdout, run.stderr, storage)


@_needs_nobody
def test_without_a_home_the_usual_storage_is_refused(options: list[str]) -> None:
    run = as_nobody(sys.executable, LATENT_DIM, *options, "--in-process", PYTHONPATH=str(ROOT))
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("error: --storage '~/musiclab' cannot be written to: there is no home folder, ")


@pytest.mark.long
@pytest.mark.parametrize("surroundings", [{"TMPDIR": "long"}, {"TMPDIR": "/proc/none"}])
def test_each_alone_on_ray(surroundings: dict[str, str], options: list[str], storage: Path, long_tmpdir: str) -> None:
    surroundings = {name: long_tmpdir if value == "long" else value for name, value in surroundings.items()}
    run = run_study(*options, "--workers", "2", storage=storage, env=surroundings)
    _answered(run.out, run.err, storage)


def test_running_again_runs_nothing_and_has_an_aligned_table_on_a_terminal_of_ascii(
    finished: Run, options: list[str], tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    copied(finished.storage, storage)
    before = {part: files(storage / part) for part in ("trials", "stages", "data", "splits")}
    run = run_study(*options, "--in-process", storage=storage, env={"PYTHONIOENCODING": "ascii"})
    assert "4 of 4 trials done\n" in run.out
    assert {part: files(storage / part) for part in before} == before
    lines = run.out.splitlines()
    start = next(number for number, line in enumerate(lines) if "real v. real" in line)
    head, *rows = lines[start : lines.index("", start)]
    rows = [row for row in rows if row.startswith("music/")]
    assert any(" +/- " in row for row in rows)
    assert run.out.isascii()
    assert run.records == finished.records
    column = head.index("shuffled")  # where it begins in the head, it begins below
    assert all(row[column - 2 : column] == "  " and row[column] != " " for row in rows), lines
