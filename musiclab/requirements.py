"""Checks whether what musiclab requires is installed, without importing any of it."""

import platform
import tomllib
from importlib import metadata
from typing import TYPE_CHECKING

from musiclab import ROOT

if TYPE_CHECKING:  # installed with what musiclab requires, so it may be missing too
    from packaging.requirements import Requirement

INSTALL = "pip install -c constraints.txt -e . (in the checkout, with the same Python)"


def required() -> tuple[str, list["Requirement"]]:
    """The required Python versions and the required distributions.

    They are read from the checkout's pyproject.toml if this is a checkout, because the metadata of an editable
    installation may be those of an older checkout. Otherwise they are read from the installed musiclab.
    """
    pyproject = ROOT.parent / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], _that_apply(project["dependencies"], extra="")
    python = metadata.metadata("musiclab")["Requires-Python"] or ""
    return python, _that_apply(metadata.requires("musiclab") or [], extra="")


def unmet() -> list[str]:
    """One phrase for each requirement that is not met."""
    from packaging.specifiers import SpecifierSet

    python, requirements = required()
    problems = [] if SpecifierSet(python).contains(platform.python_version()) else [f"Python {python} is required"]
    for requirement in requirements:
        problems += _problems(requirement)
        for extra in requirement.extras:
            for needed in _that_apply(_requirements_of(requirement.name), extra):
                problems += [f"{problem} (for {requirement.name}[{extra}])" for problem in _problems(needed)]
    return problems


def _problems(requirement: "Requirement") -> list[str]:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return [f"{requirement.name} is missing"]
    if requirement.specifier.contains(version, prereleases=True):
        return []
    return [f"{requirement.name} {version} is not {requirement.specifier}"]


def required_by(distribution: str) -> list[str]:
    """The names of what an installed distribution requires on this machine, without its extras."""
    return [requirement.name for requirement in _that_apply(_requirements_of(distribution), extra="")]


def _requirements_of(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _that_apply(lines: list[str], extra: str) -> list["Requirement"]:
    """The requirements that apply on this machine. With an extra, only those that the extra adds."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in lines]
    if not extra:
        return [each for each in requirements if _applies(each, "")]
    return [each for each in requirements if _applies(each, extra) and not _applies(each, "")]


def _applies(requirement: "Requirement", extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
