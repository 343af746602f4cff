"""Whether what musiclab requires is installed; needs none of it itself."""

import platform
import tomllib
from importlib import metadata
from typing import TYPE_CHECKING

from musiclab import ROOT

if TYPE_CHECKING:  # brought by what musiclab requires, so it may be missing too
    from packaging.requirements import Requirement

INSTALL = "pip install -c constraints.txt -e . (in the checkout, with the same Python)"


def required() -> tuple[str, list["Requirement"]]:
    """Which Python and which distributions are required: by the checkout that this is, else by the installed musiclab.

    What is noted of an editable installation may be of an older checkout.
    """
    pyproject = ROOT.parent / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], _applying(project["dependencies"], "")
    return metadata.metadata("musiclab")["Requires-Python"] or "", _applying(metadata.requires("musiclab") or [], "")


def unmet() -> list[str]:
    """What of that is not as required, each in words."""
    from packaging.specifiers import SpecifierSet

    python, requirements = required()
    found = [] if SpecifierSet(python).contains(platform.python_version()) else [f"Python {python} is required"]
    for requirement in requirements:
        found += _unmet(requirement)
        for extra in requirement.extras:
            found += [
                f"{problem} (for {requirement.name}[{extra}])"
                for of in _applying(_requires(requirement.name), extra)
                for problem in _unmet(of)
            ]
    return found


def _unmet(requirement: "Requirement") -> list[str]:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return [f"{requirement.name} is missing"]
    if requirement.specifier.contains(version, prereleases=True):
        return []
    return [f"{requirement.name} {version} is not {requirement.specifier}"]


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _applying(lines: list[str], extra: str) -> list["Requirement"]:
    """Those of the requirements that this machine and the extra ask for; with an extra, what only that asks for."""
    from packaging.requirements import Requirement

    every = [Requirement(line) for line in lines]
    if not extra:
        return [of for of in every if of.marker is None or of.marker.evaluate({"extra": ""})]
    return [
        of
        for of in every
        if of.marker and of.marker.evaluate({"extra": extra}) and not of.marker.evaluate({"extra": ""})
    ]
