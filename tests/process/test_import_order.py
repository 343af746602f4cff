"""Study files that are called like libraries: neither they nor the studies beside them break."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from musiclab.process.import_order import REQUIRED

ROOT = Path(__file__).parents[2]
_STUDY = '''"""How large?"""
from musiclab import Grid, Study

study = Study(name="q", system="vae_nn", space={"latent_dim": Grid(2, 3)}, control={"latent_dim": 2}, blocks=1,
              objective="frechet")

if __name__ == "__main__":
    study.main()
'''
# Modules that numpy, torch, Ray and others import, and one of each kind that they are.
_NAMES = ("statistics", "random", "queue", "copy", "types", "numbers", "secrets", "numpy", "torch", "ray", "mlflow")
# By which a trial takes a second.
_TINY = {
    "width": 4, "vae_epochs": 1, "vae_batch": 16, "latent_epochs": 1, "max_eval": 32, "starts": 8, "continuation": 2,
}  # fmt: skip


def _python(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True)


def _plan(run: subprocess.CompletedProcess[str]) -> None:
    """Assert that a study said what it would do."""
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("q: How large?\n2 variants x 1 blocks = 2 trials: 0 done, 2 to run\n")
    assert "Traceback" not in run.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of studies, one of them called like a library each."""
    studies = tmp_path / "studies"
    studies.mkdir()
    for name in (*_NAMES, "latent"):
        (studies / f"{name}.py").write_text(_STUDY)
    return studies


@pytest.mark.parametrize("name", ["latent", "statistics", "random", "torch"])
def test_a_study_in_a_folder_with_names_of_libraries_is_planned(folder: Path, song_folder: Path, name: str) -> None:
    options = ("--plan", "--data", f"midi:{song_folder}", "--storage", folder / "s")
    _plan(_python(folder / f"{name}.py", *options, cwd=ROOT))
    if name == "random":  # in the working directory, and by the module's name
        _plan(_python("random.py", *options, cwd=folder))
        _plan(_python("-m", "latent", *options, cwd=folder))


def test_libraries_are_those_that_are_installed(folder: Path) -> None:
    code = (
        "import {}; import musiclab; import {}; import sys; print(*sorted(sys.modules[name].__file__ for name in {}))"
    )
    for first in ("sys", "random", "statistics"):  # the study file runs in the middle of `import random`
        names = ("random", "statistics", "queue")
        (folder / "other.py").write_text(code.format(first, ", ".join(names), names))
        run = _python(folder / "other.py", cwd=ROOT)
        assert run.returncode == 0, run.stderr
        assert len(run.stdout.split()) == 3
        assert str(folder) not in run.stdout


def test_files_of_ones_own_are_still_found_and_come_first_otherwise(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("WORD = 'mine'")
    (tmp_path / "script.py").write_text("import musiclab, sys; print(sys.path[0]); import mine; print(mine.WORD)")
    assert _python(tmp_path / "script.py", cwd=ROOT).stdout == f"{tmp_path}\nmine\n"
    (tmp_path / "random.py").write_text("raise SystemError")
    assert _python(tmp_path / "script.py", cwd=ROOT).stdout == f"{ROOT}\nmine\n"


@pytest.mark.slow
def test_a_script_without_a_guard_runs_twice_on_ray_among_names_of_libraries(folder: Path, song_folder: Path) -> None:
    """Workers search the same folder, none runs the script again, and Ray is started a second time."""
    script = folder / "queue.py"
    script.write_text(
        _STUDY.partition("if __name__")[0]
        + f"print('once', flush=True)\nfor blocks in (1, 2):\n    results = study.run(data='midi:{song_folder}', "
        f"storage='s', set={_TINY}, workers=1, blocks=blocks)\n"
        "    print(len(results.frame()), any(note.startswith('MLflow: ') for note in results.notes))\n"
    )
    run = _python("queue.py", cwd=folder)
    assert (run.returncode, run.stdout) == (0, "once\n2 True\n4 True\n"), run.stderr
    assert "Traceback" not in run.stderr
    assert len([*folder.glob("s/trials/*/record.json")]) == 4


def test_the_list_has_every_dependency() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[<>=]", line)[0] for line in dependencies}
    assert {"PIL" if name == "pillow" else name for name in names} == REQUIRED
