"""Which code a stage runs, by its import closure, and the lock that says which revision of the stage that code is.

A key should change if behaviour does, and only then. Every stage therefore declares a `revision`, and the committed
file `code.lock` holds, for each stage, the hash of the code of that revision. A checkout whose code has the locked hash
is that revision. Any other code stands for itself: its own hash enters the keys, so that nobody who experiments in the
code is ever handed old work. `make relock` writes a new hash under an old revision only if both codes compute the same
bits.
"""

import ast
import functools
import hashlib
import importlib.util
import io
import json
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from musiclab.hashing import content_hash

LOCK = Path(__file__).with_name("code.lock")
# A function so named computes what a trial is measured by. What only it imports belongs to the stage that measures.
MEASURES_SUFFIX = "_measures"


@dataclass(frozen=True)
class StageCode:
    """The code of a stage.

    Attributes:
        name: as in the lock, such as `vae_nn/latent` or `data/midi`.
        revision: what the stage declares; raised whenever its numbers change.
        hash: of the code as it is here, see `code_hash`.
    """

    name: str
    revision: int
    hash: str

    @property
    def is_locked(self) -> bool:
        """Whether this code is what the lock holds for the revision."""
        return locked().get(self.name) == (self.revision, self.hash)

    @property
    def identity(self) -> str:
        """What enters keys: the revision if the code is the locked one, else its own hash."""
        return f"revision {self.revision}" if self.is_locked else self.hash


@functools.cache
def locked() -> dict[str, tuple[int, str]]:
    """Revision and hash of every stage in the lock, by the stage's name."""
    stages = json.loads(LOCK.read_text(encoding="utf-8"))["stages"] if LOCK.exists() else {}
    return {name: (stage["revision"], stage["code"]) for name, stage in stages.items()}


def differing(codes: Iterable[StageCode]) -> str:
    """One line about the stages whose code is not the locked one; empty if there are none.

    Stages that the lock does not know, such as those of a user's own system, have nothing to differ from.
    """
    names = [code.name for code in codes if code.name in locked() and not code.is_locked]
    if not names:
        return ""
    return (
        f"The code of {', '.join(names)} differs from {LOCK.name}, so its results get keys of their own; `make relock` "
        "locks it."
    )


@functools.cache
def code_hash(*modules: str, measuring: bool = True) -> str:
    """Hash of what the modules and all that they import from their own package say, see `closure` and `essence`."""
    files: dict[str, Path] = {}
    for module in modules:
        files |= closure(module, measuring)
    return content_hash({name: _file_hash(path) for name, path in files.items()}, 12)


@functools.cache
def closure(module: str, measuring: bool = True) -> dict[str, Path]:
    """The module and all that it imports from its own top-level package, directly or not: files by module name.

    Imports inside functions count; those for type checkers do not, because they never run. A package's `__init__`
    counts if something is taken from it. Without `measuring`, imports inside functions whose name ends in `_measures`
    are left out. Nothing is imported. ModuleNotFoundError if the module does not exist.
    """
    package = module.partition(".")[0]
    origin = _origin(package)
    top = origin.parent if origin.name == "__init__.py" else None
    first = _module_file(top, module) if top else origin
    if first is None:
        raise ModuleNotFoundError(module)
    files, waiting = {module: first}, [module]
    while top and waiting:
        name = waiting.pop()
        for candidates in _imports(files[name], name, measuring):
            own = [candidate for candidate in candidates if candidate.partition(".")[0] == package]
            imported = next((candidate for candidate in own if _module_file(top, candidate)), None)
            if imported and imported not in files:
                files[imported] = _module_file(top, imported)
                waiting.append(imported)
    return dict(sorted(files.items()))


def essence(source: str) -> str:
    """What a source says to Python: the text without comments, docstrings, trailing space and empty lines.

    It is the same on every version of Python, unlike a syntax tree.
    """
    return _essence(source, ast.parse(source))


def _essence(source: str, tree: ast.Module) -> str:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            docstring = node.body[0]
            lines[docstring.lineno - 1 : docstring.end_lineno] = [""] * (docstring.end_lineno - docstring.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


@functools.cache
def _file_hash(path: Path) -> str:
    return hashlib.sha256(_essence(path.read_text(encoding="utf-8"), _tree(path)).encode()).hexdigest()


def _origin(package: str) -> Path:
    """The file of a top-level package or module, that of the script which runs included."""
    if package == "__main__":
        file = getattr(sys.modules[package], "__file__", None)
    else:
        spec = importlib.util.find_spec(package)
        file = spec.origin if spec else None
    if file is None:
        raise ModuleNotFoundError(package)
    return Path(file)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _module_file(top: Path, name: str) -> Path | None:
    """The file of a module of the package in folder `top`; None if there is no such module."""
    place = top.joinpath(*name.split(".")[1:])
    return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)


@functools.cache
def _imports(path: Path, module: str, measuring: bool) -> list[tuple[str, ...]]:
    """For each name that a file imports, the modules that may hold it, the likeliest first."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[tuple[str, ...]] = []
    for node in _running(_tree(path), measuring):
        if isinstance(node, ast.Import):
            names += [(alias.name,) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names += [(f"{base}.{alias.name}", base) for alias in node.names]
    return names


def _running(node: ast.AST, measuring: bool) -> Iterator[ast.AST]:
    """The nodes below, but for what only type checkers read and, if asked to, for what only measures."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield from (other, *_running(other, measuring))
            continue
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and child.name.endswith(MEASURES_SUFFIX) and not measuring:
            continue
        yield child
        yield from _running(child, measuring)
