"""The files around the code: licence, citation, changelog, third parties, hooks, and what the wheel has in it."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import musiclab

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
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


@pytest.mark.slow
def test_the_wheel_has_the_package_whole_and_nothing_of_others(tmp_path: Path) -> None:
    tree, wheels = tmp_path / "tree", tmp_path / "wheels"
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "musiclab", tree / "musiclab", ignore=junk)
    for name in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md"):
        shutil.copy(ROOT / name, tree)
    (tree / "musiclab" / "song.mid").touch()  # what lies about in a package's folder is not packed
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    build = subprocess.run([*command, "--wheel-dir", str(wheels), str(tree)], capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert not [name for name in packed if name.lower().endswith(FOREIGN)]
    here = {
        str(file.relative_to(ROOT)) for file in (ROOT / "musiclab").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }  # fmt: skip
    assert {name for name in packed if ".dist-info/" not in name} == here
    assert any(name.endswith(".j2") for name in here)
    licences = {Path(name).name for name in packed if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "THIRD_PARTY.md"}


def _recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, with the folder of the virtual environment in place."""
    recipe = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", _read("Makefile"))
    assert recipe
    return [line.strip().lstrip("@").replace("$(VENV)", ".venv") for line in recipe[1].splitlines()]


def _yaml(name: str) -> Any:
    return yaml.safe_load(_read(name))
