"""What a process does without a home, a temporary folder or a name: libraries get a stand-in, our own files do not."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from musiclab.errors import UserError
from musiclab.process.surroundings import expanded, settle
from musiclab.storage.files import Storage, storage_at
from tests.support.containers import as_nobody, can_be_nobody

ROOT = Path(__file__).parents[2]


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process without a home; returns the folder of its temporary files."""
    monkeypatch.setenv("HOME", "~")  # what `expanduser` returns if there is neither HOME nor an entry for the user
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError):
        Path.home()
    return tmp_path


def test_a_home_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for home in (str(tmp_path), "/proc/none", "/", ""):
        monkeypatch.setenv("HOME", home)
        settle()
        assert os.environ["HOME"] == home
        assert expanded("~/x") == Path(home or "/") / "x"


def test_without_a_home_there_is_a_private_one(homeless: Path) -> None:
    settle()
    home = Path.home()
    assert home.parent == homeless
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    os.environ["HOME"] = "~"
    settle()
    assert Path.home() == home  # caches in it are used again
    # Somebody else may have made a folder of that name, to read what is written there.
    home.chmod(0o777)
    os.environ["HOME"] = "~"
    settle()
    assert Path.home() != home
    assert stat.S_IMODE(Path.home().stat().st_mode) == 0o700


def test_a_link_in_its_place_is_not_followed(homeless: Path) -> None:
    elsewhere = homeless / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (homeless / f"musiclab-home-{os.geteuid()}").symlink_to(elsewhere)
    settle()
    assert Path.home().resolve() != elsewhere
    assert Path.home().parent == homeless


def test_nothing_of_ours_goes_to_the_stand_in(homeless: Path) -> None:
    settle()
    for place in ("~", "~/musiclab", "~nobody-of-that-name/x"):
        for opened in (Storage, storage_at):
            with pytest.raises(UserError) as error:
                opened(place)
            assert str(error.value).startswith(f"--storage {place!r} cannot be written to: ")
            assert str(error.value).endswith("; name a folder or URI that can.")
    assert storage_at(str(homeless)) is not None
    assert list(Path.home().iterdir()) == []


def test_no_place_for_temporary_files_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    with pytest.raises(UserError) as error:
        settle()
    assert str(error.value).startswith("No usable temporary directory found in ['/proc/none']")
    assert str(error.value).endswith("; set TMPDIR to a folder that can be written to.")


def test_a_working_directory_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        f"import os, sys; os.rmdir({str(gone)!r}); from musiclab.__main__ import main; sys.argv = ['x', '-h']; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=gone,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (
        2,
        "error: The working directory no longer exists; change to one that does.\n",
    )


@pytest.mark.skipif(not can_be_nobody(), reason="this machine does not let a process be a user without a name")
@pytest.mark.parametrize("command", ["sync", "report", "clean", pytest.param("doctor", marks=pytest.mark.long)])
def test_a_command_without_a_home(command: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    run = as_nobody(sys.executable, "-m", "musiclab", command, "~/musiclab", PYTHONPATH=str(ROOT))
    said = run.stdout + run.stderr
    assert run.returncode == (1 if command == "doctor" else 2), said
    used = "read" if command in ("sync", "report") else "written to"
    assert f"--storage '~/musiclab' cannot be {used}: there is no home folder, because HOME is not set" in said
    assert "Traceback" not in said
    if command == "doctor":  # all else of it is well
        assert "fail  storage: " in said
        assert "ok    Ray: Ray starts and stops on this machine" in said
        assert "ok    MLflow: " in said
