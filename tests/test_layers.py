"""The house's own rules: who may import whom, and what may never stand in its code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "musiclab"
MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
# Each imports only those before it.
LAYERS = ("data", "measures", "training", "systems", "rendering", "study")
# Below all layers, for all to use; `cli` is above them all.
GROUND = ("asking", "code_lock", "cpus", "errors", "hashing", "progress", "requirements", "__init__")
# Each with the one module that may import it.
ENGINES = {"ray": "study/ray_tune", "mlflow": "study/mirror/runs", "optuna": None}


def _imports(module: str) -> Iterator[str]:
    """Full names of all that a module imports, at its head, inside functions or for type checkers."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _layer(name: str) -> str:
    """Layer, or module beside the layers, of a path or of an imported name."""
    parts = name.replace("/", ".").removeprefix("musiclab.").split(".")
    return parts[0]


def test_every_module_has_its_place() -> None:
    assert {_layer(module) for module in MODULES} == {*LAYERS, *GROUND, "cli", "__main__"}
    assert len(MODULES) > 30


@pytest.mark.parametrize("module", MODULES)
def test_a_layer_imports_only_layers_before_it(module: str) -> None:
    own = [name for name in _imports(module) if name.startswith("musiclab.")]
    layer = _layer(module)
    if layer in ("cli", "__main__"):
        return
    allowed = {*GROUND, "__version__"}
    if layer in LAYERS:
        allowed |= set(LAYERS[: LAYERS.index(layer) + 1])
    assert {_layer(name) for name in own} <= allowed


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_is_known_to_one_module(engine: str) -> None:
    knowing = [module for module in MODULES if any(name.split(".")[0] == engine for name in _imports(module))]
    # Optuna may be nowhere yet; where it is used, its module is to be named here.
    assert knowing == ([ENGINES[engine]] if ENGINES[engine] else [])


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
    assert knows.isdisjoint(name.split(".")[0] for name in _imports(module))


def test_arrays_are_loaded_without_pickle() -> None:
    for module, path in MODULES.items():
        for call in re.findall(r"np\.load\((?:[^()]|\([^()]*\))*\)", path.read_text(encoding="utf-8")):
            assert "allow_pickle=False" in call, f"{module}: {call}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_a_sentence_that_says_what_lives_there(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring.split()) > 3


def test_test_modules_have_names_of_their_own() -> None:
    names = [path.name for path in PACKAGE.parent.glob("tests/**/test_*.py")]
    assert len(set(names)) == len(names)
