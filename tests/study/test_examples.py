"""The examples: short, and from an installed wheel in an empty folder the same in one process, on Ray and as a job."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musiclab import open_results
from tests.support.kept import empty
from tests.support.study_processes import ROOT, Head, Run, run_study, running_head, submit
from tests.support.wheels import installed

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SYSTEMS = [file for file in EXAMPLES if "musiclab.systems" in file.read_text(encoding="utf-8")]
every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)


@every_example
def test_it_has_less_than_sixty_lines_and_is_described(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"`examples/{example.name}`" in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def packages(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed in."""
    packages = installed(wheel, tmp_path_factory.mktemp("installed") / "packages")
    command = [sys.executable, "-c", "import musiclab; print(musiclab.ROOT)"]
    found = subprocess.run(
        command, cwd=packages.parent, env=os.environ | {"PYTHONPATH": str(packages)}, capture_output=True, text=True
    )
    assert found.stdout == f"{packages / 'musiclab'}\n", found.stderr
    return packages


@pytest.fixture(scope="module")
def cluster(packages: Path) -> Iterator[Head]:
    """A head that has the installed wheel and nothing of this checkout."""
    with running_head(PYTHONPATH=str(packages)) as head:
        if not head.dashboard:
            pytest.skip("Ray takes jobs with its dashboard only: pip install 'ray[default]'")
        yield head


@pytest.fixture
def alone(example: Path, tmp_path: Path) -> Path:
    """The example in a folder that has nothing else."""
    folder = tmp_path / "alone"
    folder.mkdir()
    return Path(shutil.copy(example, folder))


@pytest.mark.long
@every_example
def test_its_records_are_the_same_in_one_process_on_ray_and_as_a_job(
    alone: Path, packages: Path, cluster: Head, song_folder: Path, database: Path, tmp_path: Path
) -> None:
    options = ["--blocks", "1", "--gpus-per-trial", "0"]  # the cluster declares a GPU that it has not
    options += [f"--set={each}" for each in ("max_train=64", "max_eval=32", "starts=8", "continuation=2")]
    options += [] if "data=" in alone.read_text() else ["--data", f"midi:{song_folder}"]
    storages = {name: tmp_path / name for name in ("process", "ray", "job")}
    for storage in storages.values():
        storage.mkdir()
        empty(storage, database)

    def run(name: str, environment: dict[str, str], *where: str) -> Run:
        asked = [*options, *where]
        return run_study(*asked, storage=storages[name], file=alone, env=environment, cwd=alone.parent)

    in_process = run("process", {"PYTHONPATH": str(packages)}, "--in-process")
    assert in_process.records
    on_ray = run("ray", cluster.environment | {"RAY_ADDRESS": cluster.address}, "--workers", "2")
    assert on_ray.records == in_process.records
    code, out = submit(cluster, alone.parent, "python", alone.name, *options, "--storage", str(storages["job"]))
    assert code == 0, out
    assert Run(code, out, "", storages["job"]).records == in_process.records
    assert [file.name for file in alone.parent.iterdir() if file.name != "__pycache__"] == [alone.name]


@pytest.mark.long
@pytest.mark.parametrize("example", SYSTEMS, ids=lambda file: file.stem)
def test_its_control_is_at_most_half_as_far_from_real_music_as_random_notes(
    alone: Path, packages: Path, storage: Path
) -> None:
    environment = {"PYTHONPATH": str(packages)}
    run_study("--blocks", "1", "--in-process", storage=storage, file=alone, env=environment, cwd=alone.parent)
    (study,) = storage.glob("studies/*")
    answer = open_results(study.name, storage=storage).answer.statistics
    (control,) = set(answer.controls.values())
    assert answer.measures[control]["set/frechet"].mean < answer.baselines["set/frechet.random"] / 2
