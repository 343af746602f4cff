"""Which code a stage runs, found by its imports, and the lock that says which revision of the stage that code is.

A key should change if behaviour changes, and only then. So every stage declares a `revision`, and the committed file
`code.lock` holds the hash of the code of that revision. If the code of a checkout has the locked hash, it is that
revision, and the revision enters the keys. If it has not, its own hash enters the keys, so that whoever experiments in
the code never gets old results. `make relock` writes a new hash under an old revision only if the old and the new code
compute the same bits.

Code of users has no revisions, so its hash enters their keys, see `musiclab.user_code`. What it gets of musiclab has
some, see `musiclab.interfaces`.
"""

import ast
import functools
import hashlib
import importlib.util
import io
import json
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
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
    return content_hash({name: file_hash(path) for name, path in files.items()}, 12)


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
    top = _top(module.partition(".")[0])
    path = module_file(top, module) if top else None
    if path is None:
        raise ModuleNotFoundError(module)
    files = reached(_imports(path, module, measuring), module, measuring).files
    return dict(sorted(({module: path} | files).items()))


@dataclass(frozen=True)
class Reached:
    """What code imports, directly or not.

    Attributes:
        files: of its own package, of musiclab and, unless it is musiclab's own code, of other modules of the user's; by
            module name.
        packages: top-level names of installed packages that the user's modules import.
        house: what the user's modules import of musiclab, if that is not followed, as `imported` gives it.
    """

    files: dict[str, Path]
    packages: set[str]
    house: set[tuple[str, ...]]


def reached(imports: Iterable[tuple[str, ...]], module: str, measuring: bool = True, house: bool = True) -> Reached:
    """Follow imports as `closure` does.

    Args:
        imports: the names to begin with, see `imported`.
        module: the module that they are in, whose package counts even if it is installed.
        measuring: as for `closure`.
        house: whether imports of musiclab's modules are followed.
    """
    package = module.partition(".")[0]
    found, packages, taken = dict[str, Path](), set[str](), set[tuple[str, ...]]()
    waiting = [(module, names) for names in (*imports, *_parents(module))]
    while waiting:
        importer, candidates = waiting.pop()
        if not house and candidates[-1].partition(".")[0] == "musiclab":
            taken.add(candidates)
            continue
        # Its own and musiclab's modules count. Of others, those that are installed count by their version.
        followed = [name for name in candidates if name.partition(".")[0] in ("musiclab", package)]
        if package != "musiclab":
            followed = [name for name in candidates if name in followed or not is_installed(name.partition(".")[0])]
            followed = [name for name in followed if name != "musiclab"]  # the front door, which holds the version
        if not followed and not importer.startswith("musiclab."):
            packages.add(candidates[-1].partition(".")[0])
        paths = {name: module_file(top, name) for name in followed if (top := _top(name.partition(".")[0]))}
        name, path = next(((name, path) for name, path in paths.items() if path), ("", None))
        if path and name not in found:
            found[name] = path
            waiting += [(name, names) for names in (*_imports(path, name, measuring), *_parents(name))]
    return Reached(found, packages - sys.stdlib_module_names - {package, "musiclab", ""}, taken)


def _parents(module: str) -> list[tuple[str, ...]]:
    """The package that a module of a user's is in: its `__init__` runs too. In musiclab's own they do nothing."""
    package = module.rpartition(".")[0]
    return [(package,)] if package and not module.startswith("musiclab.") else []


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


def file_hash(path: Path) -> str:
    """Hash of the essence of a file of Python, or of all bytes of a compiled one."""
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return text_hash(_text(path))


@functools.cache
def text_hash(source: str) -> str:
    """Hash of the essence of a source."""
    return hashlib.sha256(_essence(source, tree_of(source)).encode()).hexdigest()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def tree_of(source: str) -> ast.Module:
    """The syntax tree of a source; parsed once, because sources share most of what they import."""
    return ast.parse(source)


def _top(package: str) -> Path | None:
    """The folder of a top-level package, or the file of a module; None if there is neither. Nothing is executed."""
    if package == "musiclab":
        return LOCK.parent
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # of `__main__`, and of modules that were made without a file
        file = getattr(sys.modules.get(package), "__file__", None)
        return Path(file) if file else None
    if spec is None or spec.origin in ("built-in", "frozen"):
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def is_installed(package: str) -> bool:
    """Whether a top-level package or module is Python's own, or where packages are installed, or does not exist."""
    top = _top(package)
    return top is None or package in sys.stdlib_module_names or is_among_installed(top)


def is_among_installed(path: Path) -> bool:
    """Whether a file or folder lies where Python is, or where packages are installed."""
    folders = path.resolve().parents
    return Path(sysconfig.get_path("stdlib")).resolve() in folders or any(
        folder.name in ("site-packages", "dist-packages") for folder in folders
    )


@functools.cache
def module_file(top: Path, name: str) -> Path | None:
    """The file of a module, below the folder `top` of its package or that file itself; None if there is none."""
    if not top.is_dir():
        return top if "." not in name else None
    place = top.joinpath(*name.split(".")[1:])
    compiled = [place.with_name(f"{place.name}{suffix}") for suffix in EXTENSION_SUFFIXES]
    return next((path for path in (place / "__init__.py", place.with_suffix(".py"), *compiled) if path.is_file()), None)


def _imports(path: Path, module: str, measuring: bool) -> list[tuple[str, ...]]:
    """For each name that a file imports, the modules that may define it, the likeliest first."""
    if path.suffix != ".py":
        return []
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return _imported_by(_text(path), package, measuring)


@functools.cache
def _imported_by(source: str, package: str, measuring: bool) -> list[tuple[str, ...]]:
    return imported(tree_of(source), package, measuring)


def imported(tree: ast.AST, package: str, measuring: bool = True) -> list[tuple[str, ...]]:
    """For each name that code imports, the modules that may define it, the likeliest first.

    Args:
        tree: the code.
        package: the one that it is in, to which relative imports are relative.
        measuring: as for `closure`.
    """
    names: list[tuple[str, ...]] = []
    for node in _running(tree, measuring):
        if isinstance(node, ast.Import):
            names += [(alias.name,) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names += [(*behind_door(base, alias.name), f"{base}.{alias.name}", base) for alias in node.names]
    return names


def behind_door(package: str, name: str = "") -> list[str]:
    """The module of musiclab that a name is from which one of its packages gives when it is asked for.

    Such a package imports the name for type checkers only. Without a name: those of its modules that give names.
    """
    if not package.startswith("musiclab."):  # the front door is for studies, which are no part of a stage's code
        return []
    path = module_file(LOCK.parent, package)
    if path is None or path.name != "__init__.py":
        return []
    return [
        node.module
        for node in ast.walk(tree_of(_text(path)))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and (name in [alias.name for alias in node.names] if name else node.module.startswith(f"{package}."))
    ]


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
