"""Which code a stage runs, found by its imports, and the lock that says which revision of the stage that code is.

A key should change if behaviour changes, and only then. So every stage declares a `revision`, and the committed file
`code.lock` holds the hash of the code of that revision. If the code of a checkout has the locked hash, it is that
revision, and the revision enters the keys. If it has not, its own hash enters the keys, so that whoever experiments in
the code never gets old results. `make relock` writes a new hash under an old revision only if the old and the new code
compute the same bits.
"""

import ast
import functools
import hashlib
import importlib.util
import io
import json
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from musiclab.hashing import content_hash

LOCK = Path(__file__).with_name("code.lock")
# Functions whose names end so compute measures. Code that only they import belongs to the stage `measure`.
MEASURES_SUFFIX = "_measures"


@dataclass(frozen=True)
class StageCode:
    """The code of a stage.

    Attributes:
        name: its name in the lock, such as `vae_nn/latent` or `data/midi`.
        revision: the number that the stage declares; it is raised whenever the stage's numbers change.
        hash: of the code in this checkout, see `code_hash`.
    """

    name: str
    revision: int
    hash: str

    @property
    def is_locked(self) -> bool:
        """Whether the lock has this code under this revision."""
        return locked().get(self.name) == (self.revision, self.hash)

    @property
    def identity(self) -> str:
        """What enters the keys: the revision if the code is locked, else the hash of the code."""
        return f"revision {self.revision}" if self.is_locked else self.hash


@functools.cache
def locked() -> dict[str, tuple[int, str]]:
    """Revision and hash of every stage in the lock, by the stage's name."""
    stages = json.loads(LOCK.read_text(encoding="utf-8"))["stages"] if LOCK.exists() else {}
    return {name: (stage["revision"], stage["code"]) for name, stage in stages.items()}


def differing(codes: Iterable[StageCode]) -> str:
    """One line about the stages whose code differs from the lock; empty if there are none.

    Stages that the lock does not have, such as those of a user's own system, are left out.
    """
    names = [code.name for code in codes if code.name in locked() and not code.is_locked]
    if not names:
        return ""
    return (
        f"The code of {', '.join(names)} differs from {LOCK.name}, so its results get keys of their own; `make relock` "
        "locks it."
    )


def other_code(made_by: Mapping[str, str], present: Mapping[str, str]) -> list[str] | None:
    """The stages whose code is not what made something.

    Args:
        made_by: the identities that a plan holds, by the stage's name.
        present: those of this checkout.

    Returns:
        Names of stages that both have; None if a version of musiclab made it that did not know revisions.
    """
    if made_by and present.keys().isdisjoint(made_by):
        return None
    return [name for name, identity in made_by.items() if present.get(name, identity) != identity]


@functools.cache
def code_hash(*modules: str, measuring: bool = True) -> str:
    """Hash of the modules and of all that they import, see `closure` and `essence`."""
    files: dict[str, Path] = {}
    for module in modules:
        files |= closure(module, measuring)
    return content_hash({name: _file_hash(path) for name, path in files.items()}, 12)


@functools.cache
def closure(module: str, measuring: bool = True) -> dict[str, Path]:
    """The module and all that it imports of its own package and of musiclab, directly or not: files by module name.

    Imports inside functions count. Imports for type checkers do not, because they never run. The `__init__` of a
    package counts if a name is imported from it. Nothing is executed.

    Args:
        module: its full name.
        measuring: whether imports inside functions whose name ends in `_measures` count.

    Raises:
        ModuleNotFoundError: the module does not exist.
    """
    package = module.partition(".")[0]
    origin = _origin(package)
    is_package = origin.name == "__init__.py"
    first = _module_file(origin.parent, module) if is_package else origin
    if first is None:
        raise ModuleNotFoundError(module)
    # A system of somebody else's depends on the code of this package too.
    folders = {"musiclab": LOCK.parent} | ({package: origin.parent} if is_package else {})
    files, waiting = {module: first}, [module]
    while waiting:
        name = waiting.pop()
        for candidates in _imports(files[name], name, measuring):
            followed = [candidate for candidate in candidates if candidate.partition(".")[0] in folders]
            paths = {name: _module_file(folders[name.partition(".")[0]], name) for name in followed}
            imported = next(((name, path) for name, path in paths.items() if path), None)
            if imported and imported[0] not in files:
                files[imported[0]] = imported[1]
                waiting.append(imported[0])
    return dict(sorted(files.items()))


def essence(source: str) -> str:
    """The text of a source without comments, docstrings, trailing spaces and empty lines.

    Unlike a syntax tree it is the same on every version of Python.
    """
    return _essence(source, ast.parse(source))


def _essence(source: str, tree: ast.Module) -> str:
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    docstrings = list(_docstrings(tree))
    for docstring in docstrings:
        first, last = docstring.lineno - 1, (docstring.end_lineno or docstring.lineno) - 1
        # Columns count bytes. What stands beside a docstring on its lines is code.
        before = lines[first].encode()[: docstring.col_offset].decode()
        after = lines[last].encode()[docstring.end_col_offset :].decode()
        lines[first : last + 1] = [""] * (last - first + 1)
        lines[first] = before + after
    verbatim = _inside_strings(tree, {id(docstring) for docstring in docstrings})
    kept = (
        line if row in verbatim else line.rstrip() for row, line in enumerate(lines) if row in verbatim or line.strip()
    )
    return "\n".join(kept)


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield first.value


def _inside_strings(tree: ast.Module, docstrings: set[int]) -> set[int]:
    """The rows, from 0, that end inside a string of several lines: their spaces and empty lines are its content."""
    return {
        row
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in docstrings
        for row in range(node.lineno - 1, (node.end_lineno or node.lineno) - 1)
    }


@functools.cache
def _file_hash(path: Path) -> str:
    return hashlib.sha256(_essence(path.read_text(encoding="utf-8"), _tree(path)).encode()).hexdigest()


def _origin(package: str) -> Path:
    """The file of a top-level package or module; of `__main__` it is the script that runs."""
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
    """For each name that a file imports, the modules that may define it, the likeliest first."""
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
    """All statements below, except what only type checkers read and, unless `measuring`, what only measures."""

    def inside(statement: ast.AST) -> list[ast.AST]:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return [*statement.orelse]
        return _within(statement)

    waiting = inside(node)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            only_measures = statement.name.endswith(MEASURES_SUFFIX)
            if only_measures and not measuring:
                continue
        yield statement
        waiting += inside(statement)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below, in no particular order."""
    waiting = _within(node)
    while waiting:
        yield (statement := waiting.pop())
        waiting += _within(statement)


def _within(node: ast.AST) -> list[ast.AST]:
    """The statements right below a node, with what holds statements; expressions, which are most nodes, hold none."""
    return [
        child
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case)
    ]
