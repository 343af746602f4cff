"""Studies submitted as Ray jobs: the working directory travels, the progress streams, the records are the same."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.study_processes import ROOT, Head, Run, submit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(head: Head) -> Head:
    if not head.dashboard:
        pytest.skip("Ray takes jobs with its dashboard only: pip install 'ray[default]'")
    return head


ON_CPUS = ["--gpus-per-trial", "0"]  # the cluster declares a GPU that it has not
ASKS = """\"\"\"How many units?\"\"\"

from own_system import StepLSTM

from musiclab import Grid, Study

if __name__ == "__main__":
    space, control = {"hidden": Grid(32, 128)}, {"hidden": 128}
    Study(name="asks", system=StepLSTM, space=space, control=control, blocks=1, objective="frechet").main()
"""


def test_a_submitted_study_of_a_system_beside_it_streams_and_leaves_the_same_records(
    cluster: Head, own: Run, own_options: list[str], storage: Path, tmp_path: Path
) -> None:
    studies = tmp_path / "job" / "studies"
    studies.mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "own_system.py", studies)
    (studies / "asks.py").write_text(ASKS)
    asked = ["python", "studies/asks.py", *own_options, *ON_CPUS, "--storage", str(storage)]
    code, out = submit(cluster, tmp_path / "job", *asked)
    assert code == 0, out
    assert "0 of 2 trials done, 2 new" in out
    assert "trials 1/2, left" in out
    assert Run(code, out, "", storage).records == own.records
    # Lines in the order of the answer, among which Ray may write its own; signs such as ± may travel otherwise.
    assert all(line in out for line in own.table.splitlines() if line.isascii())
    assert "the variants compared" in out  # the mirror ran too, and to its end


@pytest.mark.long
@pytest.mark.parametrize("entrypoint", [["python", "studies/latent_dim.py"], ["studies/latent_dim.py"]])
def test_a_submitted_study_leaves_the_records_of_one_process(
    cluster: Head, finished: Run, storage: Path, options: list[str], entrypoint: list[str]
) -> None:
    code, out = submit(cluster, ROOT, *entrypoint, *options, *ON_CPUS, "--storage", str(storage))
    assert code == 0, out
    assert Run(code, out, "", storage).records == finished.records


def test_a_submitted_study_that_cannot_run_fails_the_job(cluster: Head, options: list[str], storage: Path) -> None:
    command = ["python", "studies/latent_dim.py", *options, "--set", "widht=4", "--storage", str(storage)]
    code, out = submit(cluster, ROOT, *command)
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

    code, out = submit(cluster, checkout, "python", "uploaded.py", *options, *ON_CPUS, "--storage", str(storage))
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


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
