"""The files around the code: licence, citation, changelog, third parties, hooks, and what the wheel has in it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import musiclab
from tests.support.served import served
from tests.support.wheels import installed

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = re.findall(r":: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
# A Python that names itself as it is told to. Its environments are of the same Python, with a pip that does nothing.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*) echo {name} ;;
"-m venv") for environment; do :; done
    echo "$@" >> made
    mkdir -p $environment/bin && cp $0 $environment/bin/python && cp /bin/true $environment/bin/pip ;;
esac
"""
# Of others: SoundFonts, scores, songs, weights, and libraries that are compiled.
FOREIGN = (".sf2", ".sf3", ".mxl", ".xml", ".musicxml", ".mid", ".midi", ".mp3", ".wav", ".npz", ".safetensors", ".so")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_licence_is_apache_2_everywhere() -> None:
    text = _read("LICENSE")
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert len(text.split()) == 1581
    assert PROJECT["license"] == _yaml("CITATION.cff")["license"] == "Apache-2.0"


def test_the_citation_names_the_contributors_and_the_article() -> None:
    citation = _yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == musiclab.__version__
    assert citation["authors"] == [{"name": "The musiclab contributors"}]
    (article,) = citation["references"]
    assert (article["title"], article["year"]) == ("Generating Music Using Deep Learning", 2021)
    assert [author["family-names"] for author in article["authors"]] == ["Tham", "Kim"]


def test_the_changelog_has_this_version_and_what_comes_next() -> None:
    versions = re.findall(r"(?m)^## (.+)$", _read("CHANGELOG.md"))
    assert versions[0] == "Unreleased"
    assert musiclab.__version__ in versions
    assert set(re.findall(r"(?m)^### (.+)$", _read("CHANGELOG.md"))) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"
    }  # fmt: skip


def test_third_parties_are_those_that_are_required_with_the_licences_that_they_state() -> None:
    required = [Requirement(line).name for line in PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        required += [Requirement(line).name for line in extra]
    rows = dict(re.findall(r"(?m)^\| ([\w-]+) \| ([^|]+?) \|$", _read("THIRD_PARTY.md")))
    rows.pop("package")
    assert sorted(rows) == sorted(set(required))
    for name, licence in rows.items():
        stated = metadata.metadata(name).get("License-Expression")
        assert stated is None or licence == stated, name


def test_the_hooks_are_local_and_run_what_make_test_runs_before_the_tests() -> None:
    repositories = _yaml(".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks)
    entries = [hook["entry"] for hook in hooks]
    assert entries == [line for line in _recipe("test") if "pytest" not in line]
    assert [Path(entry.split()[0]).name for entry in entries] == ["ruff", "ruff", "mypy"]
    assert "make test" in _read(".ci/run")


def test_the_pythons_listed_are_all_from_the_oldest_on_and_the_one_that_runs_this_is_among_them() -> None:
    oldest, newest = PYTHONS[0], PYTHONS[-1]
    assert [f"3.{minor}" for minor in range(int(oldest[2:]), int(newest[2:]) + 1)] == PYTHONS
    assert PROJECT["requires-python"] == f">={oldest}"
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in PYTHONS
    for page in ("README.md", "CONTRIBUTING.md", "docs/getting-started.md", "docs/limits.md"):
        assert f"Python {oldest} to {newest}" in _read(page), page


def test_what_is_required_is_pinned_to_a_version_that_will_do() -> None:
    lines = [line for line in _read("constraints.txt").splitlines() if not line.startswith("#")]
    assert lines == sorted(lines, key=str.lower)
    pins = {canonicalize_name(pin.name): pin.specifier for pin in map(Requirement, lines)}
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]:
        required = Requirement(line)
        (pin,) = pins[canonicalize_name(required.name)]
        assert pin.operator == "==" and required.specifier.contains(pin.version), line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CPython-3.10", "is CPython-3.10"),
        ("CPython-2.7", "is CPython-2.7"),
        ("CPython-3.1", "is CPython-3.1"),
        (f"CPython-3.{int(PYTHONS[-1][2:]) + 1}", f"is CPython-3.{int(PYTHONS[-1][2:]) + 1}"),
        (f"CPython-{PYTHONS[-1]}t", f"is CPython-{PYTHONS[-1]}t"),
        (f"PyPy-{PYTHONS[0]}", f"is PyPy-{PYTHONS[0]}"),
        ("", "does not start"),
    ],
)
def test_make_says_which_pythons_will_do_before_it_makes_anything(tmp_path: Path, name: str, said: str) -> None:
    made = _make(tmp_path, "test", "docs", name=name)
    assert made.returncode == 2 and made.stdout == ""
    sentence, end = made.stderr.splitlines()
    assert sentence == (
        f"error: musiclab is known to run on CPython {PYTHONS[0]} to {PYTHONS[-1]}, and {tmp_path}/python {said}; "
        f"name another: make test docs PYTHON=python{PYTHONS[-1]}"
    )
    assert end.startswith("make: ***")
    assert not (tmp_path / ".venv").exists()


def test_make_says_so_of_a_python_that_is_not_there_too(tmp_path: Path) -> None:
    made = _make(tmp_path, PYTHON="python3.99")
    assert made.returncode == 2
    assert "and python3.99 does not start; name another: make PYTHON=python3." in made.stderr.splitlines()[0]


@pytest.mark.parametrize("version", PYTHONS)
def test_make_takes_every_python_listed(tmp_path: Path, version: str) -> None:
    made = _make(tmp_path, ".venv/.installed", name=f"CPython-{version}")
    assert (made.returncode, made.stderr) == (0, "")
    assert (tmp_path / ".venv" / ".installed").exists()


def test_make_names_the_package_that_a_python_without_environments_needs(tmp_path: Path) -> None:
    (tmp_path / ".venv").touch()  # so that none can be made there
    made = _make(tmp_path, ".venv/.installed", name="CPython-3.12")
    assert made.returncode == 2
    assert made.stderr.splitlines()[-2].endswith(
        f"{tmp_path}/python cannot make virtual environments; on Debian and Ubuntu: apt install python3.12-venv"
    )


def test_make_changes_the_environment_only_if_another_python_is_named_or_its_own_is_gone(tmp_path: Path) -> None:
    def environments(name: str, **variables: str) -> int:
        assert _make(tmp_path, ".venv/.installed", name=name, **variables).returncode == 0
        return len((tmp_path / "made").read_text().splitlines())

    assert environments("CPython-3.12") == 1
    assert environments("CPython-3.12") == 1
    assert environments("CPython-3.13") == 2
    # `python3`, which is meant if none is named, is whatever this machine has.
    (tmp_path / "python3").write_text(FAKE_PYTHON.format(name="CPython-3.11"))
    (tmp_path / "python3").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert environments("", PYTHON="", PATH=path) == 2
    (tmp_path / ".venv" / "bin" / "python").unlink()
    assert environments("", PYTHON="", PATH=path) == 3
    assert (tmp_path / "made").read_text().splitlines() == ["-m venv --clear .venv"] * 3


@pytest.mark.slow
def test_the_wheel_has_the_package_whole_and_nothing_of_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert not [name for name in packed if name.lower().endswith(FOREIGN)]
    here = {
        str(file.relative_to(ROOT)) for home in ("musiclab", "musiclab/dashboards") for file in (ROOT / home).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }  # fmt: skip
    assert {name for name in packed if ".dist-info/" not in name} == here
    assert any(name.endswith(".j2") for name in here)
    licences = {Path(name).name for name in packed if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "THIRD_PARTY.md"}


@pytest.mark.slow
def test_pages_are_served_from_an_installed_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    packages, empty = installed(wheel, tmp_path / "packages"), tmp_path / "empty"
    empty.mkdir()
    with served("watch", str(empty), cwd=empty, packages=packages) as url:
        page = urllib.request.urlopen(url).read().decode()
        assert f"Studies in {empty}" in page
        (style,) = re.findall(r'href="(/static/[^"]+/style\.css)"', page)
        assert "color-scheme" in urllib.request.urlopen(f"{url.rstrip('/')}{style}").read().decode()
    assert list(empty.iterdir()) == []


def _make(folder: Path, *targets: str, name: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """The project's Makefile in a folder of its own, with the environment's PYTHON a fake one that has the name."""
    for file in ("Makefile", "pyproject.toml", "constraints.txt"):
        if not (folder / file).exists():
            shutil.copy2(ROOT / file, folder)
    python = folder / "python"
    python.write_text(FAKE_PYTHON.format(name=name) if name else "#!/bin/sh\nexit 127\n")
    python.chmod(0o755)
    given = {"PYTHON": str(python)} | variables
    environment = {name: value for name, value in (os.environ | given).items() if value and "MAKE" not in name}
    return subprocess.run(["make", *targets], cwd=folder, env=environment, capture_output=True, text=True)


def _recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, with the folder of the virtual environment in place."""
    recipe = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", _read("Makefile"))
    assert recipe
    return [line.strip().lstrip("@").replace("$(VENV)", ".venv") for line in recipe[1].splitlines()]


def _yaml(name: str) -> Any:
    return yaml.safe_load(_read(name))
