"""Studies submitted as Ray jobs: the working directory travels, the progress streams, the records are the same."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.study_processes import ROOT, Head, Run
from tests.support.waiting import run_to_end

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(head: Head) -> Head:
    if not head.dashboard:
        pytest.skip("Ray takes jobs with its dashboard only: pip install 'ray[default]'")
    return head


@pytest.mark.parametrize(
    "entrypoint", [["python", "studies/latent_dim.py"], pytest.param(["studies/latent_dim.py"], marks=pytest.mark.long)]
)
def test_a_submitted_study_streams_and_leaves_the_same_records(
    cluster: Head, finished: Run, storage: Path, options: list[str], entrypoint: list[str]
) -> None:
    on_cpus = ["--gpus-per-trial", "0"]  # the cluster declares a GPU that it has not
    code, out = _submit(cluster, ROOT, *entrypoint, *options, *on_cpus, "--storage", str(storage))
    assert code == 0, out
    assert "0 of 4 trials done, 4 new" in out
    assert "trials 1/4, left" in out
    assert Run(code, out, "", storage).records == finished.records
    assert "the variants compared" in out  # the mirror ran too, and to its end


def test_a_submitted_study_that_cannot_run_fails_the_job(cluster: Head, options: list[str], storage: Path) -> None:
    command = ["python", "studies/latent_dim.py", *options, "--set", "widht=4", "--storage", str(storage)]
    code, out = _submit(cluster, ROOT, *command)
    assert code == 1
    (line,) = {line for line in out.splitlines() if line.startswith("error: ")}  # Ray repeats it
    assert "width" in line
    assert "Traceback" not in out


@pytest.mark.long
def test_the_uploaded_code_runs_and_nothing_else_travels(
    cluster: Head, long_study: Path, options: list[str], storage: Path, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "musiclab", checkout / "musiclab", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".gitignore", ".rayignore"):
        shutil.copy(ROOT / name, checkout)
    shutil.copy(long_study, checkout / "uploaded.py")
    for ignored in (".venv/lib/huge", "mlruns/0/huge", "mlflow.db", "musiclab/__pycache__/huge"):
        (checkout / ignored).parent.mkdir(parents=True, exist_ok=True)
        (checkout / ignored).write_bytes(bytes(1000))
    # Marks by which the code of this checkout is known: in what workers write, and in what the mirror logs.
    _replace(checkout / "musiclab" / "__init__.py", '__version__ = "', '__version__ = "uploaded-')
    _replace(checkout / "musiclab" / "tracking" / "snapshot.py", 'f"samples/', 'f"uploaded-samples/')

    on_cpus = ["--gpus-per-trial", "0"]  # the cluster declares a GPU that it has not
    code, out = _submit(cluster, checkout, "python", "uploaded.py", *options, *on_cpus, "--storage", str(storage))
    assert code == 0, out
    costs = Run(code, out, "", storage).costs
    assert len(costs) == 2
    assert all(cost["versions"]["musiclab"].startswith("uploaded-") for cost in costs)
    (plan,) = storage.glob("studies/long/*/plan.json")
    assert json.loads(plan.read_text())["environment"]["musiclab"].startswith("uploaded-")
    assert len([*storage.glob("mlflow-artifacts/*/artifacts/uploaded-samples/start-1.mid")]) == 2
    (unpacked,) = {file.parent for file in cluster.folder.rglob("uploaded.py")}
    assert {file.name for file in unpacked.iterdir()} <= {"musiclab", "uploaded.py", ".gitignore", ".rayignore"}
    assert not [*unpacked.rglob("huge")]


def _submit(cluster: Head, folder: Path, *entrypoint: str) -> tuple[int, str]:
    """Exit status and output of a job as `ray job submit` gives them."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", cluster.dashboard]
    done = run_to_end(
        [*command, "--working-dir", ".", "--", *entrypoint],
        cwd=folder, env=cluster.environment, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
