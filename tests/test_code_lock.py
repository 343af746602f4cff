"""Keys by behaviour: what a stage's code is, what the lock holds of it, and that its numbers are what the lock says."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musiclab import code_lock
from musiclab.code_lock import LOCK, StageCode, closure, code_hash, differing, essence, locked
from musiclab.measures.own import OwnMeasure
from musiclab.systems import SYSTEMS, evaluation, find_system
from musiclab.systems.base import MEASURE
from musiclab.systems.codes import stage_codes
from tests.golden import relock, run
from tests.golden.cases import BASE, cases, switches
from tests.golden.relock import RUNNER, close, lock_of, new_cases, refused

ROOT = Path(__file__).parents[1]
# Six digits, the last of which may differ by some: on other processors sums come out otherwise.
SIX_DIGITS = 1e-5
CODE = '"""Says what it is."""\n\n\ndef double(x):\n    """Twice x."""\n    return 2 * x  # twice\n'


def test_the_lock_holds_the_code_of_every_stage() -> None:
    codes = {code.name: code for code in stage_codes()}
    assert codes.keys() == locked().keys()
    assert {name for name in codes if "/" in name} >= {
        f"{system}/{stage}" for system in SYSTEMS for stage in find_system(system).stages
    }
    changed = [name for name, code in codes.items() if not code.is_locked]
    assert not changed, f"{differing(codes.values())} Run `make relock`, and commit what it writes."


def _golden(checkout: Path, folder: Path, tried: dict[str, Any]) -> dict[str, Any]:
    """What a checkout makes of cases."""
    (folder / "cases.json").write_text(json.dumps(tried))
    return relock._run(checkout, RUNNER, folder / "cases.json", folder / "results.json")


@pytest.mark.slow
def test_the_numbers_are_those_of_the_lock(tmp_path: Path) -> None:
    """Of every stage, reader and common measure, with each system as it is.

    With the code as it is locked, only other libraries could bring other numbers. `make relock` runs every case.
    """
    plain = {name: {BASE: of_system[BASE]} for name, of_system in cases().items()}
    assert _compared(_golden(ROOT, tmp_path, plain), plain) > 300


@pytest.mark.long
def test_the_numbers_of_every_case_are_those_of_the_lock(tmp_path: Path) -> None:
    assert _compared(_golden(ROOT, tmp_path, cases()), cases()) > 500


def _compared(golden: dict[str, Any], tried: dict[str, Any]) -> int:
    """Hold the numbers of all cases that were tried against the lock's; how many there are."""
    compared, lock = 0, json.loads(LOCK.read_text())["stages"]
    for stage, entry in lock.items():
        of_system = tried.get(stage.partition("/")[0], entry["numbers"])  # else of a reader, or common measures
        for case, numbers in entry["numbers"].items():
            for name, value in numbers.items() if case in of_system else ():
                now = golden[stage][case]["numbers"].get(name)
                assert close(value, now, SIX_DIGITS), f"{stage}, {case}: {name} was {value}, is {now}"
                compared += value is not None
    # A stage that keeps a product has numbers to guard it; what only measures may have no measures of its own.
    assert all(entry["numbers"][BASE] for stage, entry in lock.items() if not stage.endswith("/measure"))
    assert golden.keys() == lock.keys()
    return compared


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_choice_and_switch_is_tried(name: str) -> None:
    tried = cases()[name]
    for change in switches(find_system(name)):
        assert any(values.items() >= change.items() for values in tried.values()), change
    # And what is tried does something: none but the plain case has no change of its own.
    assert len({json.dumps(values, sort_keys=True) for values in tried.values()}) == len(tried)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code and the golden runs, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("musiclab", "tests"):
        shutil.copytree(ROOT / part, tmp_path / "checkout" / part, ignore=ignored)
    return tmp_path / "checkout"


@pytest.mark.long
def test_a_change_in_a_branch_that_is_off_by_default_is_refused(checkout: Path, tmp_path: Path) -> None:
    assert find_system("gan").config().instance_noise == 0
    file = next(
        path for path in sorted((checkout / "musiclab" / "systems").rglob("*.py"))
        if "real + draws.instance_noise[0]" in path.read_text()
    )  # fmt: skip
    planted = file.read_text().replace("real + draws.instance_noise[0]", "real + 1.01 * draws.instance_noise[0]")
    tried = {"gan": {case: values for case, values in cases()["gan"].items() if case in (BASE, "instance_noise=1")}}
    before = _golden(checkout, tmp_path, tried)
    file.write_text(planted)
    after = _golden(checkout, tmp_path, tried)
    # By default nothing differs ...
    assert after["gan/train"][BASE] == before["gan/train"][BASE]
    # ... and yet neither numbers, nor bits, nor the code are what the lock holds.
    numbers = json.loads(LOCK.read_text())["stages"]["gan/train"]["numbers"]["instance_noise=1"]
    now = after["gan/train"]["instance_noise=1"]["numbers"]
    assert not all(close(value, now[name], SIX_DIGITS) for name, value in numbers.items())
    revisions = {"gan/train": 1, "gan/generate": 1, "gan/measure": 1, **dict.fromkeys(after, 1)}
    (sentence,) = [text for text in refused(before, after, revisions, revisions) if "gan/train" in text]
    assert sentence == (
        "The numbers of gan/train have changed (instance_noise=1): raise its revision from 1 to 2, or restore the "
        "numbers."
    )
    code = (
        "from musiclab.code_lock import differing; from musiclab.systems import find_system;"
        "s = find_system('gan'); print(differing(c for stage in s.stages for c in s.code(stage)))"
    )
    line = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True).stdout
    assert line.startswith(
        "The code of gan/train, gan/generate, gan/measure differs from code.lock, so its results get "
    )
    assert line.count("\n") == 1


def test_a_change_of_what_own_measures_are_given_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def results() -> Result:
        return {"own-measure": run._own_measures(), "measures": run._measures([{"variations": 2}])}

    revisions, value = {"own-measure": 1, "measures": 1}, OwnMeasure.value
    before = results()
    assert refused(before, before, revisions, revisions) == []
    # What real music is shuffled to, which the baselines of musiclab's measures take from elsewhere ...
    monkeypatch.setattr(evaluation, "unlike_music", lambda other, rng: {".shuffled": other, ".random": other})
    (sentence,) = refused(before, results(), revisions, revisions)
    assert sentence.startswith("The numbers of measures have changed (own measures, variations=2): raise its revision")
    monkeypatch.undo()
    # ... and what a function is called with.
    monkeypatch.setattr(OwnMeasure, "value", lambda self, windows, reference: value(self, windows, windows))
    assert [text.partition(" have")[0] for text in refused(before, results(), revisions, revisions)] == [
        "The numbers of own-measure", "The numbers of measures",
    ]  # fmt: skip


Result = dict[str, dict[str, dict[str, Any]]]


def _results(**bits: str) -> Result:
    return {stage.replace("_", "/"): {BASE: {"bits": text, "numbers": {}}} for stage, text in bits.items()}


def test_equal_bits_keep_their_revision_and_others_need_a_higher_one() -> None:
    one = {"s/train": 1, "s/generate": 1}
    before = _results(s_train="a", s_generate="b")
    assert refused(before, before, one, one) == []
    assert len(refused(before, _results(s_train="a", s_generate="x"), one, one)) == 1
    # What comes after a stage with a raised revision has other keys anyway.
    after = _results(s_train="x", s_generate="y")
    assert len(refused(before, after, one, one)) == 2
    assert refused(before, after, one, {"s/train": 2, "s/generate": 1}) == []
    assert len(refused(before, after, one, {"s/train": 1, "s/generate": 2})) == 1
    # But a raised revision excuses nothing that does not follow from a change of its stage.
    assert len(refused(before, _results(s_train="a", s_generate="y"), one, {"s/train": 2, "s/generate": 1})) == 1
    (lower,) = refused(before, before, {"s/train": 2, "s/generate": 1}, one)
    assert lower == "The revision of s/train must be at least 2; got 1."
    nothing = {"s/train": {}, "s/generate": before["s/generate"]}
    (incomparable,) = refused(nothing, before, one, one)
    assert incomparable == "No case of s/train can be compared: raise its revision from 1 to 2."
    assert new_cases({}, before) == [f"new, so compared with nothing: s/{stage} ({BASE})" for stage in
                                     ("train", "generate")]  # fmt: skip


def test_the_lock_keeps_numbers_that_no_processor_decides() -> None:
    def results(steady: float, shaky: float) -> Result:
        return {"s/train": {BASE: {"bits": "a", "numbers": {"steady": steady, "shaky": shaky, "none": None}}}}

    lock = lock_of([StageCode("s/train", 3, "code")], results(1.0, 1.0), results(1.0 + 1e-7, 1.1))
    assert lock["stages"] == {
        "s/train": {"revision": 3, "code": "code", "numbers": {BASE: {"steady": 1.0, "none": None}}}
    }


def test_a_locked_code_is_its_revision_and_any_other_its_own_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_lock, "locked", lambda: {"s/train": (2, "known")})
    assert StageCode("s/train", 2, "known").identity == "revision 2"
    assert StageCode("s/train", 2, "other").identity == "other"
    assert StageCode("s/train", 3, "known").identity == "known"  # declared, but not locked yet
    assert StageCode("mine/train", 1, "mine").identity == "mine"
    assert differing([StageCode("s/train", 2, "known"), StageCode("mine/train", 1, "mine")]) == ""
    assert differing([StageCode("s/train", 2, "other")]).startswith("The code of s/train differs from code.lock, ")


def test_comments_docstrings_and_empty_lines_are_not_code() -> None:
    base = essence(CODE)
    assert essence(CODE.replace("  # twice", "")) == base
    assert essence(CODE.replace("Twice x.", "Two times\n\n    x.")) == base
    assert essence(CODE.replace('    """Twice x."""\n', "").replace('"""Says what it is."""\n', "")) == base
    assert essence(CODE.replace("\n\n\ndef", "\n# A function\n\ndef")) == base
    assert ast.dump(ast.parse(base)) == ast.dump(ast.parse("def double(x):\n    return 2 * x\n"))


def test_all_else_is_code() -> None:
    others = [
        CODE,
        CODE.replace("2 * x", "3 * x"),
        CODE.replace("2 * x", "x * 2"),
        CODE.replace("double", "twice"),
        CODE + "\nLIMIT = 3\n",
        CODE + '\nNAME = "# no comment"\n',
        'class A(One): "doc"\n',
        'class A(Other): "doc"\n',
        'def f(x): "doc"; return x\n',
        'def f(x): "doc"; return 2 * x\n',
        'TEXT = """a\n\nb"""\n',
        'TEXT = """a\nb"""\n',
        'TEXT = """a \nb"""\n',
        'TEXT = f"""{1}\n\nb"""\n',
        'TEXT = f"""{1}\nb"""\n',
    ]
    assert len({essence(source) for source in others}) == len(others)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The hash of a package's module `start` with these files, made anew at each call."""
    monkeypatch.syspath_prepend(tmp_path)

    def hashed(*, measuring: bool = True, **files: str) -> str:
        folder = tmp_path / "hashed_package"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        for cached in (code_lock.closure, code_lock.code_hash, code_lock.module_file):
            cached.cache_clear()
        return code_hash("hashed_package.start", measuring=measuring)

    return hashed


START = "from hashed_package import near\n\n\ndef go():\n    from hashed_package.far import VALUE\n    return VALUE\n"


def test_the_closure_is_all_that_is_imported_and_nothing_else(package: Callable[..., str]) -> None:
    files = {"start": START, "near": "import hashed_package.deep\n", "far": "VALUE = 1\n", "deep": "X = 1\n"}
    base = package(**files)
    for name in files:
        assert package(**files | {name: files[name] + "Y = 2\n"}) != base, name
    assert package(**files, other="Z = 3\n") == base
    modules = [f"hashed_package.{name}" for name in ("deep", "far", "near", "start")]
    assert list(closure("hashed_package.start")) == ["hashed_package", *modules]
    for_checkers = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from hashed_package.other import Z\n"
    with_checkers = package(**files | {"near": files["near"] + for_checkers}, other="Z = 3\n")
    assert package(**files | {"near": files["near"] + for_checkers}, other="Z = 4\n") == with_checkers


def test_code_of_musiclab_counts_for_a_system_of_somebody_else(package: Callable[..., str]) -> None:
    assert package(start="from musiclab.hashing import content_hash\n") != package(start="\n")
    package(start="from musiclab.hashing import content_hash\n")
    assert list(closure("hashed_package.start")) == ["hashed_package", "hashed_package.start", "musiclab.hashing"]


def test_relative_imports_are_followed(package: Callable[..., str]) -> None:
    for line in ("from . import near", "from .near import X"):
        one, other = (package(start=line + "\n", near=f"X = {value}\n") for value in (1, 2))
        assert one != other


def test_what_only_measures_does_not_count_for_training(package: Callable[..., str]) -> None:
    start = "def own_measures():\n    from hashed_package.judge import X\n    return X\n"
    hashes = {
        (measuring, value): package(start=start, judge=f"X = {value}\n", measuring=measuring)
        for measuring in (False, True)
        for value in (1, 2)
    }
    assert hashes[False, 1] == hashes[False, 2]
    assert hashes[True, 1] != hashes[True, 2]


def test_no_code_that_trains_calls_what_only_measures() -> None:
    # Imports inside functions so named are left out of the code of the stages that train and generate.
    for name in SYSTEMS:
        module = type(find_system(name)).__module__
        for path in closure(module, measuring=False).values():
            if "systems" not in path.parts:
                continue
            for function in ast.walk(ast.parse(path.read_text())):
                if not isinstance(function, ast.FunctionDef) or function.name.endswith(code_lock.MEASURES_SUFFIX):
                    continue
                if function.name == "progress":  # it decides how long a trial trains, and changes no number of it
                    continue
                called = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
                names = {getattr(node.func, "id", getattr(node.func, "attr", "")) for node in called}
                assert not any(name.endswith(code_lock.MEASURES_SUFFIX) for name in names), (path, function.name)


def test_measures_train_nothing_anew() -> None:
    for name in SYSTEMS:
        module = type(find_system(name)).__module__
        trains, measures = closure(module, measuring=False), closure(module)
        assert "musiclab.measures.suite" not in trains, name
        assert trains.items() <= measures.items()
    assert "musiclab.measures.suite" in closure("musiclab.systems.evaluation")
    assert "musiclab.measures.suite" in closure(type(find_system("vae_nn")).__module__)


def test_every_stage_declares_a_revision() -> None:
    for name in SYSTEMS:
        stages = find_system(name).stages
        assert all(type(revision) is int and revision >= 1 for revision in stages.values())
        assert list(stages)[-1] == MEASURE


def test_nothing_is_imported_for_a_hash() -> None:
    code = (
        "import sys; from musiclab.code_lock import code_hash;"
        "print(code_hash('musiclab.training.fit'), 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out == f"{code_hash('musiclab.training.fit')} False\n"
    with pytest.raises(ModuleNotFoundError, match=r"musiclab\.none"):
        closure("musiclab.none")
