"""The files behind an object of a user's: what it imports, their text as it was read, and versions of packages."""

import ast
import functools
import importlib.util
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from musiclab.code_lock import Reached, essence, imported, reached, tree_of
from musiclab.errors import UserError
from musiclab.requirements import required, required_by


@dataclass(frozen=True)
class SourceText:
    """A file of a user's as it was read: where it is, and its text."""

    path: Path
    text: str


def read_files(thing: Any) -> dict[str, SourceText]:
    """The files of a user's behind an object, by module: its own and all that these import."""
    path, name = file_of(thing), full_name(thing.__module__)
    if path.suffix != ".py":
        return {}
    own = source_text(path)
    files = reached_from(own.text, path, name).files
    others = {module: file for module, file in files.items() if file.suffix == ".py" and module != name}
    return {name: own} | {module: source_text(file) for module, file in others.items()}


def source_text(path: Path) -> SourceText:
    """The text of a file, decoded as Python decodes it."""
    return SourceText(path, importlib.util.decode_source(path.read_bytes()))


def reached_from(text: str, path: Path, module: str, measuring: bool = True) -> Reached:
    """What the text of a module of a user's imports, directly or not; musiclab's modules are not followed."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return reached(imported(tree_of(text), package, measuring), module, measuring, house=False)


def file_of(thing: Any) -> Path:
    """The file of a class or function.

    Raises:
        UserError: it is in none, as what a notebook's cell defines.
    """
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if not file or not Path(file).is_file():
        name = thing.__qualname__.partition(".")[0]
        raise UserError(
            f"{thing.__qualname__} must be in a file, because the code of that file is part of what results are kept "
            f"under; in a notebook write the cell with %%writefile mine.py, and import {name} from mine."
        )
    return Path(file)


def name_in(place: str, noun: str) -> str:
    """The name of what may be a system, measure or source in a file, by its bases and decorators; it is not run."""
    with suppress(OSError, SyntaxError, ValueError):
        for node in ast.parse(Path(place).expanduser().read_bytes()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                above = [*node.decorator_list, *(node.bases if isinstance(node, ast.ClassDef) else ())]
                if any(re.search(rf"{noun}\b", ast.unparse(each), re.IGNORECASE) for each in above):
                    return node.name
    return "Name"


def check_unchanged(texts: dict[str, SourceText]) -> None:
    """UserError if a file says something else now, because it was edited after its import, as happens in a notebook.

    The object would be run and kept as it was, and whoever edited it would wonder.
    """
    for source in texts.values():
        try:
            now = source_text(source.path).text
            same = now == source.text or essence(now) == essence(source.text)
        except (OSError, SyntaxError, ValueError):
            same = False
        if not same:
            raise UserError(
                f"{source.path.name} has changed since it was imported; restart the process or the notebook's kernel."
            )


def shown_name(module: str, file: Path) -> str:
    """A module's file, below the folder that its top-level package is in: `pack/near.py`."""
    parts = len(module.split(".")) + (file.name == "__init__.py")
    return "/".join(file.parts[-parts:])


def full_name(module: str) -> str:
    """The name by which others would import a module; a script's is that of its file."""
    if module != "__main__":
        return module
    script = sys.modules[module]
    return script.__spec__.name if script.__spec__ else Path(str(script.__file__)).stem


def versions(packages: Collection[str]) -> Iterator[tuple[str, str]]:
    """Name and version of the installed distributions of top-level packages, and of those that they require.

    Those that musiclab pins to one version are left out. Of those that it requires otherwise, what they require is no
    concern of a user's code. PyTorch's version is in the keys already, see `Runtime`.
    """
    ours = {_canonical(requirement.name): requirement for requirement in required()[1]}
    pinned = {name for name, each in ours.items() if any(spec.operator == "==" for spec in each.specifier)} | {"torch"}
    waiting = [distribution for package in packages for distribution in _distributions().get(package, ())]
    seen = set[str]()
    while waiting:
        name = _canonical(waiting.pop())
        if name in seen or name in pinned:
            continue
        seen.add(name)
        with suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)
            waiting += () if name in ours else required_by(name)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
