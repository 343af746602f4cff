"""The house's own rules: who may import whom, how large anything may grow, and what may never stand in its code."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import musiclab

PACKAGE = musiclab.ROOT


def modules_of(folder: Path) -> dict[str, Path]:
    """The modules under a folder by path without `.py`, those behind a link to a folder of packages too."""
    homes = [folder, *(path for path in folder.iterdir() if path.is_symlink())]
    paths = sorted(path for home in homes for path in home.rglob("*.py"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


MODULES = modules_of(PACKAGE)

# Modules at the top that belong to no package; all may use them, and they use one another only.
GROUND = {
    "code_lock", "code_parts", "errors", "fields", "hashing", "interfaces", "on_demand", "plain", "process", "progress",
    "requirements", "resources", "sending", "user_code", "user_errors", "user_files", "wording",
}  # fmt: skip
# What each package may import beside itself and the ground: packages, or single modules of them.
ALLOWED = {
    "data": set(),
    "measures": {"data"},
    "rendering": {"data"},
    "training": {"data"},
    "systems": {"data", "measures", "training"},
    "design": {"data", "measures", "systems", "training.runtime", "training.streams"},
    "storage": {"data", "design", "measures.registry", "training", "systems.config"},
    "analysis": {"measures", "design", "storage"},
    "execution": {"data", "measures.own", "rendering", "training", "systems", "design", "storage"},
    "search": {"measures.registry", "design", "storage", "analysis", "execution", "training.streams"},
    "report": {"data", "measures", "rendering", "training", "design", "storage", "analysis"},
    "generation": {"data", "measures.registry", "rendering", "training", "systems", "design", "storage", "analysis"},
    "tracking": {
        "measures.registry",
        "design",
        "storage",
        "analysis",
        "report.sentences",
        "report.text_table",
    },
    "maintenance": {"data", "training.files", "systems.codes", "storage", "tracking.uri"},
    "study": {
        "data",
        "measures",
        "training",
        "systems",
        "design",
        "storage",
        "analysis",
        "execution",
        "search",
        "report",
        "tracking",
    },
    "cli": {
        "data",
        "measures",
        "systems",
        "design",
        "storage",
        "analysis",
        "search",
        "report",
        "generation",
        "tracking",
        "maintenance",
        "study",
    },
    "dashboards": {
        "data",
        "measures",
        "rendering",
        "training.files",
        "design",
        "storage",
        "analysis",
        "report",
    },
    "testing": {"data", "measures", "systems", "training", "design.own_measures"},
    "__main__": {"cli"},
}
# Single modules that may import more than their package may.
DOORS = {"cli/pages": {"dashboards"}}
# The front door gives names to whoever uses the package; inside, only these two are taken from it.
DOOR = {"__version__", "ROOT"}
# Each with the modules that may import it: one, or also what shows to a person what that one does: a study's metrics,
# a search's proposals.
ENGINES = {
    "ray": ["execution/ray_metrics", "execution/ray_nodes", "execution/ray_survey", "execution/ray_tune"],
    "mlflow": ["tracking/mlflow_runs"],
    "optuna": ["search/journal", "search/optuna_search"],
}
# Libraries that one package may import, because they are slow to import or do what only it does.
AT_HOME = {
    "matplotlib": ("report/html/", "rendering/picture"),
    "jinja2": ("report/html/",),
    "choix": ("analysis/strengths",),
    "pyloudnorm": ("rendering/loudness",),
    "starlette": ("dashboards/",),
    "uvicorn": ("dashboards/server",),
}
MOST_LINES = 400
MOST_SHARE = 0.25


class Tree:
    """The modules of a package in `folder`, by path without `.py`, and what each imports of the package."""

    def __init__(self, folder: Path) -> None:
        self.package = folder.name
        self.texts = {module: path.read_text(encoding="utf-8") for module, path in modules_of(folder).items()}
        self.imports = {module: set(self._own(imported_names(text))) for module, text in self.texts.items()}

    def _own(self, names: Iterable[str]) -> Iterator[str]:
        """The modules that the imported names are, or are in; names of the front door as they are."""
        for name in names:
            if not name.startswith(f"{self.package}."):
                continue
            path = name.removeprefix(f"{self.package}.").replace(".", "/")
            for candidate in (path, path.rpartition("/")[0]):
                for module in (candidate, f"{candidate}/__init__"):
                    if candidate and module in self.texts:
                        yield module
                        break
                else:
                    continue
                break
            else:
                yield f"door: {path}"

    def wrong_imports(self) -> list[str]:
        """Imports that a package may not have, type-only ones too."""
        found = []
        for module, imports in self.imports.items():
            home = package_of(module)
            if module in ("__init__", "study/__init__"):
                continue  # front doors, whose names are imported when asked for
            for other in imports:
                name, path = package_of(other), other.removesuffix("/__init__").replace("/", ".")
                if other.startswith("door: "):
                    allowed = other.removeprefix("door: ") in DOOR
                else:
                    below = ALLOWED.get(home, set()) | DOORS.get(module, set())
                    allowed = name in {home, *GROUND} or name in below or any(_within(path, one) for one in below)
                if not allowed:
                    found.append(f"{module} imports {other}")
        return found

    def circles(self) -> list[str]:
        """Modules that import one another, on whatever way round; a package's front door is no way."""
        ways = {
            module: {other for other in imports if other in self.texts}
            for module, imports in self.imports.items()
            if module not in ("__init__", "study/__init__")
        }
        return [" -> ".join(circle) for circle in _circles(ways)]

    def long_modules(self) -> list[str]:
        """Modules of too many lines."""
        return [f"{module}: {n} lines" for module, n in self._lines().items() if n > MOST_LINES]

    def large_packages(self) -> list[str]:
        """Packages that hold too much of all."""
        lines = self._lines()
        sizes: dict[str, int] = {}
        for module, n in lines.items():
            sizes[package_of(module)] = sizes.get(package_of(module), 0) + n
        whole = sum(lines.values())
        return [f"{name}: {n} of {whole} lines" for name, n in sizes.items() if n > MOST_SHARE * whole]

    def _lines(self) -> dict[str, int]:
        return {module: text.count("\n") for module, text in self.texts.items()}


def imported_names(text: str) -> Iterator[str]:
    """Full names of all that a module imports, at its head, inside functions or for type checkers."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(module: str) -> str:
    """The package that a module is in, or the module itself beside the packages."""
    return module.partition("/")[0]


def _within(path: str, allowed: str) -> bool:
    """Whether a module is the allowed one or in it."""
    return path == allowed or path.startswith(f"{allowed}.")


def _circles(ways: dict[str, set[str]]) -> list[list[str]]:
    """A circle for each module that one comes back to, by depth-first search."""
    circles: list[list[str]] = []
    state: dict[str, str] = {}

    def visit(module: str, path: list[str]) -> None:
        state[module] = "under way"
        for other in sorted(ways.get(module, ())):
            if state.get(other) == "under way":
                circles.append([*path[path.index(other) :], other])
            elif other not in state:
                visit(other, [*path, other])
        state[module] = "done"

    for module in ways:
        if module not in state:
            visit(module, [module])
    return circles


@pytest.fixture(scope="module")
def tree() -> Tree:
    """The real one."""
    return Tree(PACKAGE)


def test_every_module_has_its_place(tree: Tree) -> None:
    assert {package_of(module) for module in tree.texts} == {*ALLOWED, *GROUND, "__init__"}
    assert len(tree.texts) > 100


def test_a_package_imports_only_what_it_may(tree: Tree) -> None:
    assert tree.wrong_imports() == []


def test_no_module_imports_itself_by_way_of_others(tree: Tree) -> None:
    assert tree.circles() == []


def test_no_module_is_long_and_no_package_holds_more_than_a_quarter(tree: Tree) -> None:
    assert tree.long_modules() == []
    assert tree.large_packages() == []


def _planted(folder: Path, **modules: str) -> Tree:
    """A package `musiclab` of these modules, by path with `__` for `/`."""
    package = folder / "musiclab"
    for name, text in modules.items():
        path = package / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(package)


_TYPE_ONLY = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from musiclab.{} import {}\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("from musiclab.storage.files import Storage\n", "design/spec imports storage/files"),
        ("import musiclab.storage.files\n", "design/spec imports storage/files"),
        ("from musiclab.storage import files\n", "design/spec imports storage/files"),
        ("def late() -> None:\n    from musiclab.storage.files import Storage\n", "design/spec imports storage/files"),
        (_TYPE_ONLY.format("storage.files", "Storage"), "design/spec imports storage/files"),
        ("from musiclab.training.fit import fit\n", "design/spec imports training/fit"),
        ("from musiclab import Study\n", "design/spec imports door: Study"),
        ("from musiclab.training.streams import Block\nfrom musiclab import ROOT\n", ""),
        ("from musiclab.errors import UserError\nfrom musiclab.design.space import Grid\n", ""),
    ],
)
def test_a_planted_import_is_noticed(tmp_path: Path, text: str, wrong: str) -> None:
    planted = _planted(
        tmp_path, __init__="", errors="", design__spec=text, design__space="", storage__files="", storage____init__="",
        training__fit="", training__streams="",
    )  # fmt: skip
    assert planted.wrong_imports() == ([wrong] if wrong else [])


def test_pages_are_started_by_one_module_of_the_command_line(tmp_path: Path) -> None:
    text = "from musiclab.dashboards.server import Server\n"
    planted = _planted(tmp_path, cli__pages=text, cli__report=text, study__session=text, dashboards__server="")
    assert planted.wrong_imports() == [
        "cli/report imports dashboards/server",
        "study/session imports dashboards/server",
    ]


def test_the_ground_imports_no_package(tmp_path: Path) -> None:
    planted = _planted(tmp_path, errors="from musiclab.data.songs import TRACKS\n", data__songs="")
    assert planted.wrong_imports() == ["errors imports data/songs"]


@pytest.mark.parametrize("text", ["from musiclab.data.b import B\n", _TYPE_ONLY.format("data.b", "B")])
def test_a_planted_circle_is_noticed(tmp_path: Path, text: str) -> None:
    straight = {"data__b": "from musiclab.data import c\n", "data__c": "", "data____init__": ""}
    assert _planted(tmp_path / "straight", data__a=text, **straight).circles() == []
    around = straight | {"data__c": "from musiclab.data.a import A\n"}
    assert _planted(tmp_path / "around", data__a=text, **around).circles() == ["data/a -> data/b -> data/c -> data/a"]


def test_a_planted_long_module_and_a_large_package_are_noticed(tmp_path: Path) -> None:
    small = dict.fromkeys(("data__a", "measures__a", "training__a", "systems__a"), "x = 1\n" * 100)
    assert _planted(tmp_path / "small", **small).large_packages() == []
    long = _planted(tmp_path / "long", **small, data__b="x = 1\n" * 401)
    assert long.long_modules() == ["data/b: 401 lines"]
    assert long.large_packages() == ["data: 501 of 801 lines"]


def _knowing(library: str) -> list[str]:
    return [
        module
        for module, path in MODULES.items()
        if any(name.split(".")[0] == library for name in imported_names(path.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_is_known_where_it_may_be(engine: str) -> None:
    assert _knowing(engine) == ENGINES[engine]


@pytest.mark.parametrize("library", AT_HOME)
def test_what_draws_is_known_where_it_draws(library: str) -> None:
    assert all(module.startswith(AT_HOME[library]) for module in _knowing(library))
    assert _knowing(library)


@pytest.mark.parametrize(
    "pattern",
    [
        r"allow_pickle=True",
        r"weights_only=False",
        r"(?<!safetensors\.)torch\.load\(",
        r"\.extractall\(",
        r"\.extract\(",
        r"(?<![.\w])eval\(",
        r"(?<![.\w])exec\(",
        r"shell=True",
        r"0\.0\.0\.0",
    ],
)
def test_nothing_from_data_can_be_executed(pattern: str) -> None:
    found = [module for module, path in MODULES.items() if re.search(pattern, path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_knows_how_to_unpickle(module: str) -> None:
    knows = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    names = imported_names(MODULES[module].read_text(encoding="utf-8"))
    assert knows.isdisjoint(name.split(".")[0] for name in names)


def test_arrays_are_loaded_without_pickle() -> None:
    for module, path in MODULES.items():
        for call in re.findall(r"np\.load\((?:[^()]|\([^()]*\))*\)", path.read_text(encoding="utf-8")):
            assert "allow_pickle=False" in call, f"{module}: {call}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_a_sentence_that_says_what_lives_there(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring.split()) > 3
