"""Content hashes: equal for equal content, and for nothing else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from musiclab.hashing import code_version, content_hash

CODE = '"""Says what it is."""\n\n\ndef double(x):\n    """Twice x."""\n    return 2 * x  # twice\n'


def test_equal_values_give_equal_hashes_whatever_their_order() -> None:
    assert content_hash({"a": 1, "b": [1.5, None, "ü"]}) == content_hash({"b": [1.5, None, "ü"], "a": 1})
    assert content_hash([1, 2]) != content_hash([2, 1])
    assert content_hash((1, 2)) == content_hash([1, 2])


def test_nearly_equal_values_give_other_hashes() -> None:
    values = [1, 1.0, "1", True, None, [1], [[1]], {"1": 1}, 0.1 + 0.2, 0.3]
    assert len({content_hash(value) for value in values}) == len(values)


def test_hashes_stay_as_they_are_from_release_to_release() -> None:
    # Keys of finished trials: a change would run them all again.
    assert content_hash({"a": 1, "b": [1.5, None, "ü"]}) == "6edee93cbe7c80ec689d"
    assert len(content_hash(0)) == 20
    assert content_hash(0, 12) == content_hash(0)[:12]


def test_what_is_no_json_is_refused() -> None:
    for value in (float("nan"), float("inf"), {1, 2}, b"bytes"):
        with pytest.raises((ValueError, TypeError)):
            content_hash(value)


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The version of a package with these files, made anew at each call."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(100))

    def made(text: str, name: str = "a.py") -> str:
        # As one package whose files change, each time imported from nothing.
        package = tmp_path / "hashed_package"
        package.mkdir(exist_ok=True)
        for old in package.glob("*.py"):
            old.unlink()
        (package / "__init__.py").write_text("")
        (package / name).write_text(text)
        next(count)
        code_version.cache_clear()
        return code_version("hashed_package")

    return made


def test_comments_docstrings_and_layout_are_not_behaviour(version: Callable[..., str]) -> None:
    base = version(CODE)
    assert version(CODE.replace("  # twice", "")) == base
    assert version(CODE.replace("Twice x.", "Two times x.")) == base
    assert version(CODE.replace('    """Twice x."""\n', "").replace('"""Says what it is."""\n', "")) == base
    assert version(CODE.replace("2 * x", "(2\n      * x)")) == base


def test_behaviour_and_names_are(version: Callable[..., str]) -> None:
    others = [
        version(CODE),
        version(CODE.replace("2 * x", "3 * x")),
        version(CODE.replace("2 * x", "x * 2")),
        version(CODE.replace("double", "twice")),
        version(CODE + "\nLIMIT = 3\n"),
        version(CODE + '\nNAME = "Says"\n'),
        version(CODE, name="b.py"),
    ]
    assert len(set(others)) == len(others)


def test_a_module_s_version_is_its_own_and_nothing_is_imported_for_it() -> None:
    assert code_version("musiclab.errors") != code_version("musiclab.hashing")
    assert code_version("musiclab.errors", "musiclab.hashing") != code_version("musiclab.errors")
    code = (
        "import sys; from musiclab.hashing import code_version;"
        "print(code_version('musiclab.training'), 'torch' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert said == f"{code_version('musiclab.training')} False\n"


def test_a_module_that_there_is_not() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"musiclab\.none"):
        code_version("musiclab.none")
