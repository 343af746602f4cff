"""The image, as far as its files tell: linters, what is copied, what is pinned, and that planted faults are refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import musiclab

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")


def _tool(name: str) -> str:
    """A linter of the environment that runs this; the test is skipped without it."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if not found:
        pytest.skip(f"{name} is not installed (pip install -e '.[test]')")
    return found


def _linted(text: str) -> list[str]:
    """The rules of hadolint that a Dockerfile breaks."""
    command = [_tool("hadolint"), "--format", "json", "-"]
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True)
    return [finding["code"] for finding in json.loads(done.stdout)]


@pytest.mark.parametrize("name", ["docker/Dockerfile", "tests/containers/postgres/Dockerfile"])
def test_hadolint_finds_nothing(name: str) -> None:
    assert _linted((ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("USER 1000:1000", "USER root", "DL3002"),
        ("WORKDIR /opt/musiclab", "WORKDIR opt/musiclab", "DL3000"),
        ("--no-install-recommends ", "", "DL3015"),
        (" \\\n && rm -rf /var/lib/apt/lists/*", "", "DL3009"),
        ("COPY studies", "ADD studies", "DL3020"),
        ('CMD ["musiclab", "--help"]', "CMD musiclab --help", "DL3025"),
    ],
)
def test_a_planted_fault_is_found(old: str, new: str, rule: str) -> None:
    assert old in DOCKERFILE
    assert rule in _linted(DOCKERFILE.replace(old, new))


def test_yamllint_finds_nothing() -> None:
    names = [str(file) for file in sorted((ROOT / "docker").rglob("*.yaml"))]
    done = subprocess.run([_tool("yamllint"), "--strict", *names], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("fault", ["a: 1\na: 2\n", "a:\n   - 1\n  - 2\n", "a: 1 \n", "a: [1,2]\n"])
def test_yamllint_names_planted_faults(fault: str) -> None:
    done = subprocess.run([_tool("yamllint"), "--strict", "-"], cwd=ROOT, input=fault, capture_output=True, text=True)
    assert done.returncode and "error" in done.stdout


def test_a_build_is_sent_what_it_copies_and_nothing_else() -> None:
    copied = set()
    for sources in re.findall(r"(?m)^COPY (?!--from)(?:--\S+ )*(.+) \S+$", DOCKERFILE):
        copied |= {*sources.split()}
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in ignore if not line.startswith(("#", "!"))] == ["*", "**/__pycache__"]
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert copied >= {"musiclab", "dashboards"}  # of which the one links to the other


def test_all_that_is_installed_is_pinned_by_the_constraints() -> None:
    commands = re.sub(r"\\\n", " ", DOCKERFILE)
    installs = re.findall(r"pip install ([^&\n]*)", commands)
    assert len(installs) == 3
    assert all("-c /constraints.txt" in install or "--no-index" in install for install in installs)


def test_the_label_has_the_version_of_the_code() -> None:
    assert re.findall(r"(?m)^ARG VERSION=(.+)$", DOCKERFILE) == [musiclab.__version__]


def test_bytecode_is_compiled_after_each_installation_and_never_checked_against_times() -> None:
    final = DOCKERFILE.partition("AS final")[2]
    assert DOCKERFILE.count("compileall") == DOCKERFILE.count("--invalidation-mode unchecked-hash") == 2
    assert final.index("pip install") < final.index("compileall") < final.index("USER 1000:1000")


def test_nothing_of_a_registry_s_own_is_the_default_for_torch() -> None:
    assert re.findall(r"(?m)^ARG TORCH_INDEX=(.*)$", DOCKERFILE) == [""]
