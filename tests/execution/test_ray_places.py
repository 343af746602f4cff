"""The folders that a Ray of our own gets: TMPDIR if Ray can use it, else /tmp; and sentences if none will do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from musiclab.errors import UserError
from musiclab.execution.ray_places import prepare_for_ray
from musiclab.maintenance.doctor import services

_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that names no folder, and that is as before afterwards."""
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")  # so that it is noted
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def _long(folder: Path) -> str:
    return str(folder / ("x" * 80))


@pytest.mark.parametrize("folder", ["/proc/none", "/dev/full", "/dev/full/below", "long", "relative", ""])
def test_a_temporary_folder_that_ray_cannot_use_is_passed_over(
    folder: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("TMPDIR", _long(tmp_path) if folder == "long" else folder)
    prepare_for_ray()
    assert os.environ["RAY_TMPDIR"] == "/tmp"
    assert os.environ["TMPDIR"] == (_long(tmp_path) if folder == "long" else folder)


def test_one_that_it_can_use_is_kept_and_made(environment: pytest.MonkeyPatch) -> None:
    prepare_for_ray()
    assert "RAY_TMPDIR" not in os.environ
    folder = Path(f"/tmp/{os.getpid():034}")  # as long as may be
    for name in ("TMPDIR", "RAY_TMPDIR"):
        environment.setenv(name, str(folder))
        prepare_for_ray()
        assert list(folder.iterdir()) == []
        folder.rmdir()
        environment.delenv(name)
        assert "RAY_TMPDIR" not in os.environ


@pytest.mark.parametrize("folder", ["/proc/none", "/dev/full", "long", "relative", ""])
def test_one_that_is_meant_for_ray_is_refused(folder: str, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("RAY_TMPDIR", _long(tmp_path) if folder == "long" else folder)
    with pytest.raises(UserError) as error:
        prepare_for_ray()
    assert str(error.value).startswith("RAY_TMPDIR must name a folder that Ray can use for its files; ")
    assert str(error.value).endswith("such as RAY_TMPDIR=/tmp, or use --in-process, which runs without Ray.")
    assert "\n" not in str(error.value)


def test_a_home_that_cannot_hold_a_token_gets_none(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prepare_for_ray()
    assert "RAY_AUTH_TOKEN" not in os.environ  # Ray writes its own
    environment.setenv("HOME", "/proc/none")
    prepare_for_ray()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 32


@pytest.mark.slow
@pytest.mark.parametrize(
    "places", [{"TMPDIR": "/proc/none", "HOME": "/proc/none"}, pytest.param({"TMPDIR": "long"}, marks=pytest.mark.long)]
)
def test_ray_starts(places: dict[str, str], tmp_path: Path) -> None:
    places = {name: _long(tmp_path) if value == "long" else value for name, value in places.items()}
    code = "from musiclab.execution.ray_tune import cluster; print(cluster()['nodes'])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(_ROOT)} | places,
        capture_output=True,
        text=True,
    )
    assert run.stdout == "1\n", run.stderr


@pytest.mark.slow
def test_a_study_and_the_doctor_say_the_same(
    environment: pytest.MonkeyPatch, song_folder: Path, tmp_path: Path
) -> None:
    environment.setenv("RAY_TMPDIR", "/proc/none")
    (finding,) = services.cluster()
    options = ["--storage", tmp_path / "s", "--data", f"midi:{song_folder}"]
    run = subprocess.run(
        [sys.executable, _ROOT / "studies" / "latent_dim.py", *options],
        env=os.environ | {"PYTHONPATH": str(_ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == f"error: {finding.text}"
    assert "'/proc/none' cannot be written to (No such file or directory)" in finding.text
