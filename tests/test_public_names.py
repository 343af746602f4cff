"""What a user's own code may rest on: public names, the arguments that they take, and the attributes that they have.

They change for a reason only, which the changelog says. What is compared is the source, so that annotations read as
they are written there.
"""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any, get_args

import pytest

import musiclab
from musiclab.measures.registry import Better

ROOT = Path(__file__).parents[1]
PUBLIC: dict[str, dict[str, str]] = {
    "musiclab": {
        "Ablation.components": "dict[str, tuple[Any, Any]]",
        "Ablation.design": "Literal['leave-one-out', 'add-one-in', 'factorial', 'fractional'] = 'leave-one-out'",
        "Ablation.resolution": "int | None = None",
        "Budget.trials": "int | None = None",
        "Budget.wall_hours": "float | None = None",
        "Budget.worker_hours": "float | None = None",
        "Categorical.__init__": "(self, *values: Any, when: Mapping[str, Any] | None=None) -> None",
        "Claim.id": "str",
        "Claim.says": "str",
        "Claim.expect": "Sequence[Expect]",
        "Expect.measure": "'str | Callable[..., float]'",
        "Expect.of": "dict[str, Any]",
        "Expect.relation": "Literal['above', 'below']",
        "Expect.than": "Against",
        "Float.low": "float",
        "Float.high": "float",
        "Float.log": "bool = field(default=False, kw_only=True)",
        "Float.when": "Mapping[str, Any] = field(default_factory=dict)",
        "Grid.__init__": "(self, *values: Any) -> None",
        "Int.low": "int",
        "Int.high": "int",
        "Int.log": "bool = field(default=False, kw_only=True)",
        "Int.when": "Mapping[str, Any] = field(default_factory=dict)",
        "Search.space": "dict[str, Dimension]",
        "Search.sampler": "Any = 'tpe'",
        "Search.scheduler": "str = 'none'",
        "Search.budget": "int | Budget = 40",
        "Search.also": "'tuple[str | Callable[..., float], ...]' = ()",
        "Search.starts": "list[dict[str, Any]] | None = None",
        "Search.confirm": "int = 5",
        "Study.name": "str",
        "Study.system": "'str | type[System[Any]]' = ''",
        "Study.data": "'str | Source' = 'chorales'",
        "Study.space": "Space",
        "Study.control": "dict[str, Any] = field(default_factory=dict)",
        "Study.blocks": "int",
        "Study.objective": "'str | Callable[..., float]'",
        "Study.measures": "'Sequence[str | Callable[..., float]]' = ()",
        "Study.margin": "float | None = None",
        "Study.claims": "list[Claim] = field(default_factory=list)",
        "Study.fixed": "dict[str, Any] = field(default_factory=dict)",
        "Study.seed": "int = 0",
        "Study.question": "str = ''",
        "Study.main": "(self, argv: list[str] | None=None) -> None",
        "Study.plan": "(self, **keywords: Any) -> str",
        "Study.run": (
            "(self, *, system: 'str | type[System[Any]] | None'=None, data: 'str | Source | None'=None, "
            "scale: str='demo', form: str | None=None, set: Mapping[str, Any] | None=None, blocks: int | "
            "None=None, until_clear: bool=False, max_blocks: int | None=None, in_process: bool=False, "
            "max_failures: int=3, fail_fast: bool=False, workers: int | None=None, gpus_per_trial: float | "
            "None=None, storage: str | PathLike[str]='~/musiclab', tracking_uri: str | None=None) -> "
            "'StudyResults'"
        ),
        "StudyResults.answer": "set by __init__",
        "StudyResults.claims": "set by __init__",
        "StudyResults.comparisons": "(self) -> 'pd.DataFrame'",
        "StudyResults.failures": "set by __init__",
        "StudyResults.frame": "(self) -> 'pd.DataFrame'",
        "StudyResults.notes": "set by __init__",
        "StudyResults.report": "set by __init__",
        "UserError.exit_code": "set by __init__",
        "open_results": "(study: str, storage: str | PathLike[str]=DEFAULT_STORAGE) -> StudyResults",
    },
    "musiclab.systems": {
        "Config.check": "(self) -> None",
        "Config.continuation": "int = field(4, 'generate', low=1, high=1000)",
        "Config.hop": "int = field(32, 'windows', low=1, high=512)",
        "Config.max_eval": "int = field(2000, 'windows', low=0)",
        "Config.max_train": "int = field(0, 'windows', low=0)",
        "Config.resolution": "int = field(2, 'windows', low=1, high=24)",
        "Config.starts": "int = field(64, 'generate', low=2, high=100000)",
        "Config.steps": "int = field(32, 'windows', low=1, high=512)",
        "Config.transpose": "str = field(AS_WRITTEN, 'windows', choices=TRANSPOSE)",
        "Config.variations": "int = field(1, 'generate', low=1, high=1000)",
        "FunctionData.device": "set by __init__",
        "FunctionData.numpy": "(self, *purpose: str | int) -> np.random.Generator",
        "FunctionData.report": "(self, step: int, **values: float) -> None",
        "FunctionData.resolution": "set by __init__",
        "FunctionData.starts": "set by __init__",
        "FunctionData.steps": "set by __init__",
        "FunctionData.torch": "(self, *purpose: str | int) -> torch.Generator",
        "FunctionData.train": "@property (self) -> npt.NDArray[np.bool_]",
        "FunctionData.validation": "@property (self) -> npt.NDArray[np.bool_]",
        "FunctionData.windows": "set by __init__",
        "Progress.better": "str",
        "Progress.name": "str",
        "Progress.stage": "str",
        "Progress.unlike": "tuple[str, ...] = ()",
        "StageRun.block": "Block",
        "StageRun.config": "ConfigT_co",
        "StageRun.device": "torch.device",
        "StageRun.files": "Files",
        "StageRun.fit": (
            "(self, learner: Learner | Callable[[Epoch], dict[str, float]], epochs: int, **parts: "
            "torch.nn.Module | torch.optim.Optimizer) -> list[Point]"
        ),
        "StageRun.rolls": "(self, part: Literal['train', 'pairs', 'validation']='train') -> npt.NDArray[np.bool_]",
        "System.conditions": "ClassVar[tuple[str, ...]] = ('start', 'noise')",
        "System.config": "type[ConfigT]",
        "System.continuations": "(self, run: StageRun[ConfigT], starts: np.ndarray) -> np.ndarray",
        "System.estimated_seconds": "(self, config: ConfigT, windows: int) -> float | None",
        "System.forms": "ClassVar[dict[str, dict[str, Any]]] = {'mended': {}, 'written': {}, 'coded': {}}",
        "System.name": "ClassVar[str]",
        "System.own_measures": "(self, run: StageRun[ConfigT]) -> dict[str, float]",
        "System.packed": "ClassVar[bool] = False",
        "System.progress": "ClassVar[Progress | None] = None",
        "System.provides": "ClassVar[tuple[str, ...]] = ()",
        "System.scales": (
            "ClassVar[dict[str, dict[str, Any]]] = {'demo': {'max_train': 1024, 'max_eval': 384}, 'article': {}}"
        ),
        "System.stages": "ClassVar[dict[str, int]] = {'train': 1, GENERATE: 1, MEASURE: 1}",
        "System.train": "(self, stage: str, run: StageRun[ConfigT]) -> None",
        "field": (
            "(default: Any, stage: str, doc: str, *, low: float | None=None, high: float | None=None, "
            "choices: tuple[Any, ...]=(), earlier: Mapping[str, str] | None=None) -> Any"
        ),
        "system": "(function: Function | None=None, *, conditions: tuple[str, ...]=('start', 'noise')) -> Any",
    },
    "musiclab.data": {
        "Abc.__init__": "(self, path: str | Path) -> None",
        "Abc.tracks": "ClassVar[Tracks] = {}",
        "BadSong": "Exception",
        "Midi.__init__": "(self, path: str | Path) -> None",
        "MusPy.__init__": "(self, path: str | Path) -> None",
        "MusPy.tracks": "ClassVar[Tracks] = {}",
        "MusicXml.__init__": "(self, path: str | Path) -> None",
        "MusicXml.tracks": "ClassVar[Tracks] = {}",
        "Parquet.__init__": "(self, path: str | Path) -> None",
        "Parquet.column": "ClassVar[str] = ''",
        "ParquetTokens.__init__": "(self, path: str | Path) -> None",
        "ParquetTokens.column": "ClassVar[str] = ''",
        "Song.artist": "str",
        "Song.bars": "npt.NDArray[np.int32]",
        "Song.id": "str",
        "Song.length": "int",
        "Song.notes": "npt.NDArray[np.int32]",
        "Song.of": (
            "@classmethod (cls, name: str, notes: Iterable[Sequence[Any]], *, title: str='', artist: "
            "str='', beats: float | None=None, bars: float | Sequence[float]=4, tempo: float=DEFAULT_TEMPO, "
            "tracks: Mapping[Any, Any] | None=None) -> 'Song'"
        ),
        "Song.tempo": "float",
        "Song.title": "str",
        "Source.__init__": "(self, path: str | Path) -> None",
        "Source.file_kinds": "ClassVar[tuple[str, ...]] = ()",
        "Source.kind": "str",
        "Source.max_bytes": "= MAX_SONG_BYTES",
        "Source.path": "set by __init__",
        "Source.read": "@classmethod (cls, name: str, data: bytes) -> Song",
        "Source.spec": "set by __init__",
        "Source.suffixes": "tuple[str, ...]",
        "song_of_music21": "(name: str, stream: 'Stream[Any]', tracks: Tracks | None=None) -> Song",
        "song_of_muspy": "(name: str, music: 'muspy.Music', tracks: Tracks | None=None) -> Song",
        "song_source": "(function: Callable[..., Iterable[Song | BadSong]] | None=None) -> Any",
    },
    "musiclab.training": {
        "Epoch.drawn_from": "(self, *streams: torch.Generator) -> None",
        "Epoch.number": "set by __init__",
        "Epoch.steps": "(self, batches: Iterable[BatchT], count: int) -> Iterator[tuple[int, BatchT]]",
        "Epoch.sums": "set by __init__",
        "Epoch.carried": "set by __init__",
        "Learner.epoch": "(self, epoch: Epoch) -> dict[str, float]",
        "Learner.modules": "Mapping[str, torch.nn.Module]",
        "Learner.optimizers": "Mapping[str, torch.optim.Optimizer]",
        "Learner.progress": "(self) -> float",
        "load_weights": "(network: ModuleT, files: Files) -> ModuleT",
        "save_weights": "(network: nn.Module, files: Files) -> None",
        "shuffled": "(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]",
    },
    "musiclab.measures": {
        "measure": ("(function: Any=None, /, *, unit: Any='', better: Any='', title: Any='', needs: Any=()) -> Any"),
    },
    "musiclab.testing": {
        "BrokenPromises.sentences": "set by __init__",
        "check_measure": "(measure: Callable[..., float] | str, /) -> None",
        "check_source": "(source: Any, path: str | Path='', /) -> None",
        "check_system": "(system: 'type[System[Any]] | str', /, **fields: Any) -> None",
    },
}
# What public names hand over; where it is may change.
HANDED: dict[str, dict[str, str]] = {
    "musiclab.training.streams": {
        "Block.seed": "int",
        "Block.index": "int",
        "Block.numpy": "(self, *purpose: str | int) -> np.random.Generator",
        "Block.torch": "(self, *purpose: str | int) -> 'Generator'",
        "Block.global_torch": "@contextmanager (self, *purpose: str | int) -> Iterator[tuple['Generator', ...]]",
    },
    "musiclab.training.files": {
        "Files.read": "(self, name: str) -> bytes",
        "Files.write": "(self, name: str, data: bytes) -> None",
        "Files.product": "(self, stage: str) -> Self",
    },
    "musiclab.training.running_means": {
        "RunningMeans.add": "(self, n: int, values: dict[str, torch.Tensor]) -> None",
        "RunningMeans.means": "(self) -> dict[str, float]",
    },
}
VALUES: dict[str, dict[str, Any]] = {
    "musiclab": {"__version__": musiclab.__version__},
    "musiclab.data": {"TRACKS": ("Drums", "Piano", "Guitar", "Bass", "Strings")},
}


@pytest.mark.parametrize("module", PUBLIC | HANDED)
def test_public_names_are_what_they_were(module: str) -> None:
    held = (PUBLIC | HANDED)[module]
    assert {name: _declared(importlib.import_module(module), name) for name in held} == held


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_held_and_documented(module: str) -> None:
    found = importlib.import_module(module)
    values = VALUES.get(module, {})
    assert {name: getattr(found, name) for name in values} == values
    assert {name.partition(".")[0] for name in PUBLIC[module]} | values.keys() == set(found.__all__)
    assert _documented().get(module, _documented_in_front()) == set(found.__all__)


def test_who_has_public_names_says_so() -> None:
    said = [
        file for file in (ROOT / "musiclab").rglob("*.py") if "The names in `__all__` are public" in file.read_text()
    ]
    modules = (".".join(file.parent.relative_to(ROOT).parts) for file in said if file.name == "__init__.py")
    assert (sorted(modules), len(said)) == (sorted(PUBLIC), len(PUBLIC))


def test_the_words_for_what_is_better_are_what_they_were() -> None:
    assert get_args(Better) == ("lower", "higher", "real", "neither")


def _documented() -> dict[str, set[str]]:
    """The names that the docs call public, by their package."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").partition("\n## What is public\n")[2]
    lists = re.split(r"`(musiclab\.\w+)`: ", text.partition("\n\n")[0])[1:]
    return {
        module: set(re.findall(r"`(\w+)`", names.partition(". ")[0]))
        for module, names in zip(lists[::2], lists[1::2], strict=True)
    }


def _documented_in_front() -> set[str]:
    """Those of the front door."""
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").partition("\n## Names\n")[2]
    return set(re.findall(r"`(\w+)`", text.partition(" come from `musiclab`")[0]))


def _declared(module: Any, name: str) -> str:
    """How a name is declared: `(a, *, b: int=2) -> str` of a function, `int = 2` of an attribute; a class's bases."""
    thing, _, attribute = name.partition(".")
    found = getattr(module, thing)
    if not attribute:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
        assert isinstance(node, ast.FunctionDef | ast.ClassDef)
        return _signature(node) if isinstance(node, ast.FunctionDef) else ", ".join(map(ast.unparse, node.bases))
    for kind in found.__mro__[:-1]:
        if kind.__module__.startswith("musiclab"):
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
            assert isinstance(node, ast.ClassDef)
            for statement in node.body:
                if declared := _attribute(statement, attribute):
                    return declared
    return "gone"


def _signature(node: ast.FunctionDef) -> str:
    kinds = [word for each in node.decorator_list if (word := ast.unparse(each)) != "abstractmethod"]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return "".join(f"@{kind} " for kind in kinds) + f"({ast.unparse(node.args)}){returns}"


def _attribute(statement: ast.stmt, name: str) -> str:
    """How a statement of a class declares an attribute; empty if it does not."""
    if isinstance(statement, ast.FunctionDef):
        if statement.name == name:
            return _signature(statement)
        if statement.name != "__init__":
            return ""
        targets = [
            target
            for each in ast.walk(statement)
            if isinstance(each, ast.Assign | ast.AnnAssign)
            for target in ast.walk(each)
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
        ]
        return "set by __init__" if any(target.attr == name for target in targets) else ""
    if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == name:
        if isinstance(value := statement.value, ast.Call):
            value.args = value.args[:2]  # of a config's field, without what it means
        return ast.unparse(statement.annotation) + (f" = {ast.unparse(value)}" if value else "")
    if isinstance(statement, ast.Assign) and name in map(ast.unparse, statement.targets):
        return f"= {ast.unparse(statement.value)}"
    return ""
