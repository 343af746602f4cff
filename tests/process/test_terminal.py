"""What a command prints, and how it ends, whatever is behind its standard output and error."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from musiclab.process.terminal import speller, spelt

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}

# A command that prints what a study prints, more than a pipe and a buffer hold, and says in a file that it is done.
_COMMAND = """
import sys
from pathlib import Path
from musiclab.process.entry import exit_with
from musiclab.progress import Progress

def command():
    with Progress("tri\\u00e4ls", 2) as progress:
        print("real 1 \\u00b1 0.5, Dvo\\u0159\\u00e1k \\u2013 \\u65b0\\u4e16\\u754c")
        progress.say("1 \\u00b1 2")
        for _ in range(20_000):
            print("a line of a long table", flush=True)
        progress.update(2, note="\\u00b1")
    Path(sys.argv[1]).write_text("done")
    return int(sys.argv[2])

exit_with(command)
"""


def _run(done: Path, redirection: str, *, code: int = 0, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command under a shell, which closes or redirects its streams; its exit status is the command's own."""
    script = f'"$0" -c "$1" "$2" {code} {redirection}; exit ${{PIPESTATUS[0]}}'
    run = subprocess.run(
        ["bash", "-c", script, sys.executable, _COMMAND, str(done)],
        env=ENVIRONMENT | environment, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.read_text() == "done", run.stderr
    assert b"Traceback" not in run.stdout + run.stderr
    assert b"Exception" not in run.stderr
    return run


_ASCII = "real 1 +/- 0.5, Dvorak - \\u65b0\\u4e16\\u754c"


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"PYTHONIOENCODING": "utf-8"}, "real 1 ± 0.5, Dvořák – 新世界".encode()),
        ({"PYTHONIOENCODING": "ascii"}, _ASCII.encode()),
        ({"PYTHONIOENCODING": "cp437"}, "real 1 ± 0.5, Dvorák - \\u65b0\\u4e16\\u754c".encode("cp437")),
        ({"PYTHONIOENCODING": "latin-1"}, "real 1 ± 0.5, Dvorák - \\u65b0\\u4e16\\u754c".encode("latin-1")),
        ({"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}, _ASCII.encode()),
        ({"PYTHONIOENCODING": "ascii:replace"}, b"real 1 ? 0.5, Dvo??k ? ???"),  # somebody's choice
    ],
)
def test_signs_that_a_terminal_lacks_are_spelt(tmp_path: Path, environment: dict[str, str], line: bytes) -> None:
    clean = {"PYTHONIOENCODING": ""} | environment
    run = _run(tmp_path / "done", "", **clean)
    assert run.returncode == 0
    assert run.stdout.splitlines()[0] == line
    if environment == {"PYTHONIOENCODING": "ascii"}:
        assert run.stderr.splitlines()[0] == b"1 +/- 2"
        assert b"trials 2/2, left 0 s, +/-" in run.stderr


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    "redirection",
    [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", "| head -1", "2>&1 >/dev/null | true", "| true"],
)
def test_a_closed_stream_and_a_reader_that_goes_change_nothing(tmp_path: Path, redirection: str, code: int) -> None:
    run = _run(tmp_path / "done", redirection, code=code)
    assert run.returncode == code
    assert b"error" not in run.stderr


@pytest.mark.parametrize(("code", "expected"), [(0, 1), (2, 2)])
def test_a_full_disk_behind_standard_output_is_one_sentence(tmp_path: Path, code: int, expected: int) -> None:
    run = _run(tmp_path / "done", "> /dev/full", code=code)
    assert run.returncode == expected
    *_, last = run.stderr.decode().splitlines()
    assert last == "error: What was printed could not be written (No space left on device); all else is done."
    assert _run(tmp_path / "done", "> /dev/full 2> /dev/full", code=code).returncode == expected


def test_a_closed_output_is_not_taken_by_the_next_file(tmp_path: Path) -> None:
    """Otherwise whatever is printed by a library or a child process would stand in that file."""
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom musiclab.process.entry import exit_with\n"
        "def command():\n with Path(sys.argv[1]).open('wb') as file:\n  os.system('echo from a child')\n"
        "  print('printed', flush=True)\n  file.write(b'data')\n return 0\nexit_with(command)"
    )
    file = tmp_path / "file"
    shell = '"$0" -c "$1" "$2" >&- 2>&-'
    subprocess.run(["bash", "-c", shell, sys.executable, script, str(file)], env=ENVIRONMENT, check=True)
    assert file.read_bytes() == b"data"


@pytest.mark.parametrize(
    ("redirection", "code"), [(">&-", 0), ("2>&-", 0), ("> /dev/full", 1), ("| head -1", 0), ("| true", 0)]
)
@pytest.mark.parametrize("options", ["--help", "data describe --help"])
def test_help_of_the_command_too(redirection: str, code: int, options: str) -> None:
    script = f'"$0" -m musiclab {options} {redirection}; exit ${{PIPESTATUS[0]}}'
    run = subprocess.run(["bash", "-c", script, sys.executable], env=ENVIRONMENT, capture_output=True, text=True)
    assert (run.returncode, "Traceback" in run.stderr) == (code, False), run.stderr


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("plain", "plain"), ("1 ± 2", "1 +/- 2"), ("é ñ Å ü", "e n A u"), ("½", "1/2"), ("…", "..."), ("∞", "inf"),
        ("→ ≈ ≤ “a” ’", '-> ~ <= "a" \''), ("ß", "\\xdf"), ("音", "\\u97f3"), ("\udc80", "\\udc80"),
        ("🎵", "\\U0001f3b5"),
    ],
)  # fmt: skip
def test_a_sign_in_ascii(text: str, ascii_text: str) -> None:
    assert spelt(text) == ascii_text
    assert speller(io.TextIOWrapper(io.BytesIO(), "ascii"))(text) == ascii_text


def test_a_terminal_that_has_the_signs_gets_them() -> None:
    assert speller(io.TextIOWrapper(io.BytesIO(), "utf-8"))("1 ± 2 音") == "1 ± 2 音"
    assert speller(io.StringIO())("1 ± 2 音") == "1 ± 2 音"


def test_every_sign_of_the_package_has_a_spelling() -> None:
    """A sign that is printed somewhere and that only an escape would stand for belongs into the table."""
    signs = {char for file in (ROOT / "musiclab").rglob("*.py") for char in file.read_text() if not char.isascii()}
    assert {"±", "…", "–"} <= signs
    assert [sign for sign in signs if spelt(sign).startswith("\\")] == []
