"""The wheel of this checkout, built and installed without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.study_processes import ROOT


def built_wheel(folder: Path) -> Path:
    """The wheel, built in a folder from a copy of the checkout in which something lies about."""
    tree, wheels = folder / "tree", folder / "wheels"
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "musiclab", tree / "musiclab", ignore=junk, symlinks=True)
    shutil.copytree(ROOT / "dashboards", tree / "dashboards", ignore=junk)
    for name in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md"):
        shutil.copy(ROOT / name, tree)
    for package in ("musiclab", "dashboards"):
        (tree / package / "song.mid").touch()  # what lies about in a package's folder is not packed
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    build = subprocess.run([*command, "--wheel-dir", str(wheels), str(tree)], capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    (built,) = wheels.glob("*.whl")
    return built


def installed(wheel: Path, packages: Path) -> Path:
    """The folder `packages`, with the wheel installed in it, for a PYTHONPATH."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(packages)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    return packages
