"""Code of users: how an object is found, which names are refused, and what of its code enters keys."""

import importlib
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from musiclab import code_lock, sending, user_files
from musiclab.code_parts import changed_by_guard, essential
from musiclab.errors import UserError
from musiclab.sending import Sent
from musiclab.user_code import (
    UserCode,
    check_different,
    check_name,
    code_of,
    described,
    find,
    is_reference,
)
from musiclab.user_errors import why_failed

ROOT = Path(__file__).parents[1]

MINE = '''"""A study and its system in one file."""
from musiclab import Grid, Study
from helper_of_mine import double
import numpy as np

WEIGHT = 2
OTHER = 3
TABLE = {}
TABLE["a"] = 1


def twice(x):
    """Twice."""
    return double(x) * WEIGHT


class Mine:
    name = "mine"

    def train(self, data):
        other = 5  # a name of its own
        return twice(data) + other + TABLE["a"]


study = Study(name="s", system=Mine, space={"x": Grid(1, 2)}, blocks=2, objective="frechet")
if __name__ == "__main__":
    study.main()
'''
HELPER = "def double(x):\n    return 2 * x\n\n\ndef unused(x):\n    return x\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a user's, which is the working one; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    _forget(before)


def _forget(before: set[str]) -> None:
    for name in set(sys.modules) - before:
        if not name.startswith(("musiclab", "numpy")):
            del sys.modules[name]
    importlib.invalidate_caches()
    code_of.cache_clear()
    code_lock.module_file.cache_clear()


@pytest.fixture
def code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., UserCode]:
    """The code of `Mine` with these files, imported anew at each call."""

    # Files are written faster than the clock ticks by which Python compares them with their compiled ones.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def made(mine: str = MINE, measuring: bool = True, **files: str) -> UserCode:
        before = {name for name in sys.modules if name not in ("mine", *files, "helper_of_mine")}
        _forget(before)
        for name, text in {"helper_of_mine": HELPER, **files, "mine": mine}.items():
            (folder / f"{name}.py").write_text(text)
        return code_of(find("mine.py:Mine", "system"), measuring)

    return made


def test_an_object_is_found_by_file_module_and_itself(folder: Path) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "mine.py").write_text("class Mine:\n    pass\n")
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("")
    (folder / "pack" / "deep.py").write_text("from . import near\n\n\nclass Deep:\n    x = near.X\n")
    (folder / "pack" / "near.py").write_text("X = 1\n")
    mine = find("here/mine.py:Mine", "system")
    assert mine.__name__ == "Mine" and find(mine, "system") is mine
    deep = find("pack/deep.py:Deep", "system")
    assert deep.x == 1 and deep.__module__ == "pack.deep"
    assert find("pack.deep:Deep", "system") is deep
    assert described(deep) == "deep.py: Deep"
    assert is_reference("a/b.py:C") and is_reference("a.b:C")
    assert not is_reference("vae_nn") and not is_reference("a.py:not a name")


def test_an_installed_one_is_found_by_its_entry_point(folder: Path) -> None:
    (folder / "far.py").write_text("class Far:\n    pass\n")
    for owner in ("one", "two"):
        info = folder / f"{owner}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[musiclab.systems]\nfar = far:Far\n" if owner == "one" else "[musiclab.systems]\nbroken = nowhere:Far\n"
        )
    sys.path.insert(0, str(folder))
    assert find("far", "system").__name__ == "Far"
    with pytest.raises(UserError, match="The system 'broken' of two cannot be imported: ModuleNotFoundError: No mod"):
        find("broken", "system")
    (folder / "two-1.0.dist-info" / "entry_points.txt").write_text("[musiclab.systems]\nfar = far:Far\n")
    with pytest.raises(UserError, match="The system 'far' must be declared by one package; got one and two"):
        find("far", "system")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mine.py:Nine", "'mine.py:Nine' must name a system, but mine.py defines no 'Nine'; did you mean 'Mine'?"),
        ("none.py:Mine", "none.py must be a file of Python; there is none."),
        ("no.such.module:Mine", "no.such.module cannot be imported: ModuleNotFoundError: No module named 'no'."),
        ("bad.py:Mine", "bad.py cannot be imported: ZeroDivisionError: division by zero (bad.py, line 2)."),
        ("wrong.py:Mine", "wrong.py cannot be imported: SyntaxError: "),
        ("ends.py:Mine", "ends.py cannot be imported: it ends the process; put what runs under `if __name__ == "),
        ("json.py:Mine", "json.py must have a name of its own; 'json' is also the module "),
        ("ours.py", "ours.py must name a system in the file, such as ours.py:Ours."),
        ("none.py", "none.py must name a system in the file, such as none.py:Name."),
        ("two words.py:Mine", "two words.py must have a name that Python can import, such as my_system.py."),
        (
            "vae_nn",
            "'vae_nn' is a system of musiclab's, and here one of your own is asked for. One of your own is path",
        ),
        ("vae_nm", "There is no system 'vae_nm'; did you mean 'vae_nn'? One of your own is path/to/file.py:Name."),
    ],
)
def test_what_is_not_found_is_one_sentence(folder: Path, text: str, said: str) -> None:
    (folder / "mine.py").write_text("class Mine:\n    pass\n")
    (folder / "ours.py").write_text("class OursConfig(Config): ...\n\nclass Ours(System): ...\n")
    (folder / "bad.py").write_text("\nclass Mine: x = 1 / 0\n")
    (folder / "wrong.py").write_text("class Mine\n")
    (folder / "ends.py").write_text("raise SystemExit(2)\n")
    (folder / "json.py").write_text("class Mine:\n    pass\n")
    (folder / "two words.py").write_text("class Mine:\n    pass\n")
    with pytest.raises(UserError) as error:
        find(text, "system", ("vae_nn", "gan"))
    assert str(error.value).startswith(said)


def test_a_name_must_be_a_good_one_of_its_own() -> None:
    class Mine:
        pass

    check_name("mine_2", Mine, "system", ("gan",))
    for wrong in (None, "", "a b", "../x", "2x", "x" * 61, 3):
        with pytest.raises(UserError, match=r"test_user_code.py: .*Mine must have a name of letters, digits and '_'"):
            check_name(wrong, Mine, "system", ("gan",))
    with pytest.raises(UserError, match=r"Mine must have a name of its own; 'gan' is a system of musiclab's\."):
        check_name("gan", Mine, "system", ("gan",))
    check_different({"a": Mine}, "system", "a", Mine)
    with pytest.raises(UserError, match=r"Two systems have the name 'a': test_user_code.py: .*Mine, and pathlib"):
        check_different({"a": Mine}, "system", "a", Path)


def test_what_the_object_refers_to_is_its_code(code: Callable[..., UserCode]) -> None:
    base = code().hash
    changed = {
        "its own body": MINE.replace("+ other", "- other"),
        "a function that it calls": MINE.replace("* WEIGHT", "+ WEIGHT"),
        "a number that this uses": MINE.replace("WEIGHT = 2", "WEIGHT = 4"),
        "what is put into a table": MINE.replace('TABLE["a"] = 1', 'TABLE["a"] = 2'),
        "a call that may change it": MINE.replace("\n\nstudy", "\nTABLE.update(b=1)\n\nstudy"),
    }
    for what, text in changed.items():
        assert code(text).hash != base, what
    assert code(helper_of_mine=HELPER.replace("2 * x", "3 * x")).hash != base
    assert code(helper_of_mine=HELPER.replace("return x", "return -x")).hash != base  # other modules count as a whole


def test_comments_the_study_and_what_is_not_used_are_not_its_code(code: Callable[..., UserCode]) -> None:
    base = code().hash
    same = {
        "a comment": MINE.replace("  # a name of its own", ""),
        "a docstring": MINE.replace("Twice.", "Two times."),
        "a larger grid": MINE.replace("Grid(1, 2)", "Grid(1, 2, 3)"),
        "what nothing uses": MINE.replace("OTHER = 3", "OTHER = 4"),
        "a function that nothing uses": MINE + "\n\ndef late():\n    return Mine\n",
        "a study that is only called": MINE.replace("study = Study", "Study"),
        "what only a script does": MINE.replace("study.main()", "study.main([])"),
    }
    for what, text in same.items():
        assert code(text).hash == base, what
    assert code(helper_of_mine="# Says more.\n" + HELPER).hash == base


def test_a_script_has_the_same_code_as_the_module_that_others_import(folder: Path) -> None:
    print_hash = "from musiclab.user_code import code_of\n\nprint(code_of(Mine).hash)\n"
    (folder / "helper_of_mine.py").write_text(HELPER)
    (folder / "mine.py").write_text(MINE.replace("study.main()", print_hash.replace("\n", "\n    ")))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "mine.py"], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == code_of(find("mine.py:Mine", "system")).hash, run.stderr


@pytest.mark.parametrize(
    ("name", "owner"), [("code", "Python's own"), ("muspy", "that of an installed package"), ("mine", "")]
)
def test_a_script_must_not_be_called_like_what_other_processes_have(
    name: str, owner: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = types.ModuleType("__main__")
    script.__file__, script.__spec__ = str(folder / f"{name}.py"), None
    (folder / f"{name}.py").write_text(HELPER + "class Mine:\n    pass\n")
    exec((folder / f"{name}.py").read_text(), vars(script))
    monkeypatch.setitem(sys.modules, "__main__", script)
    monkeypatch.syspath_prepend(folder) if name == "mine" else None
    if not owner:
        assert code_of(script.Mine).module == "mine"
        return
    with pytest.raises(UserError) as raised:
        code_of(script.Mine)
    assert str(raised.value) == (
        f"{name}.py: Mine must be in a file of another name, because other processes import it by that name, and the "
        f"module {name!r} is {owner}."
    )


def test_modules_beside_it_count_wherever_they_are_imported(code: Callable[..., UserCode]) -> None:
    late = MINE.replace("other = 5", "from late import FIVE as other")
    hashes = {code(late, late=f"FIVE = {number}\n").hash for number in (5, 6)}
    assert len(hashes) == 2
    assert "late" in code(late, late="FIVE = 5\n").parts
    assert code().sources.keys() == {"mine", "helper_of_mine"}
    assert code(late, late="FIVE = 5\n").sources["late"].text == "FIVE = 5\n"
    measures = MINE.replace("    def train", "    def own_measures(self):\n        import judge\n\n    def train")
    one, other = (code(measures, measuring=False, judge=f"X = {number}\n").hash for number in (1, 2))
    assert one == other
    one, other = (code(measures, judge=f"X = {number}\n").hash for number in (1, 2))
    assert one != other


def test_installed_packages_count_by_their_version(
    code: Callable[..., UserCode], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"hmm-learner": "1.0", "numpy": "2.4", "solver": "3.0", "muspy": "0.5.0", "deeper": "9.0"}
    tops = {"hmmlearn": ["hmm_learner"], "numpy": ["numpy"], "muspy": ["muspy"], "torch": ["torch"]}
    requires = {"hmm-learner": ["Solver", "numpy"], "numpy": ["deeper"]}
    monkeypatch.setattr(user_files, "_distributions", lambda: tops)
    monkeypatch.setattr(user_files.metadata, "version", lambda name: versions[name])
    monkeypatch.setattr(user_files, "required_by", lambda name: requires.get(name, []))
    foreign = MINE.replace("other = 5", "import hmmlearn.hmm, muspy, torch\n        other = np.abs(5)")
    one = code(foreign)
    # musiclab pins muspy, and PyTorch's version is in the keys anyway.
    assert one.packages == {"hmm-learner": "1.0", "numpy": "2.4", "solver": "3.0"}
    for changed in one.packages:
        before, versions[changed] = versions[changed], "99"
        assert code(foreign).hash != one.hash, changed
        versions[changed] = before


def test_what_is_in_no_file_is_refused_with_what_to_do() -> None:
    made: dict[str, Any] = {"__name__": "nowhere"}
    exec("class Cell:\n    pass\n", made)
    with pytest.raises(UserError, match=r"Cell must be in a file, .*%%writefile mine.py, and import Cell from mine"):
        code_of(made["Cell"])


REGISTERED = """TABLE = {}


def register(function):
    TABLE[function.__name__] = function
    return function


@register
def a():
    return 1


class Mine:
    def train(self):
        return TABLE["a"]()
"""
DISPATCHED = """from functools import singledispatch


@singledispatch
def draw(x):
    return 0


@draw.register
def _(x: int):
    return 1


class Mine:
    def train(self):
        return draw(3)
"""
MADE = """def make(number):
    class M:
        steps = number

    return M


Mine = make(1)
"""
SET = """X = 0


def setup():
    global X
    X = 1
    return 2


setup()


class Mine:
    def train(self):
        return X
"""
LOCAL = "steps = 1\n\n\nclass Mine:\n    steps = steps\n"
BY_NAME = "X = 0\nif __name__ == 'mine':\n    X = 1\n\n\nclass Mine:\n    def train(self):\n        return X\n"
LOOKED_UP = "def one():\n    return 1\n\n\nclass Mine:\n    def train(self):\n        return globals()['o' + 'ne']()\n"


OTHER_DECORATOR = """TABLE = []


def measure(**words):
    return TABLE.append


@measure(unit="share")
def a():
    return 1


class Mine:
    def train(self):
        return TABLE[0]()
"""
REBOUND = OTHER_DECORATOR.replace("TABLE = []", "from musiclab.measures import measure\n\nTABLE = []")
REBOUND_INSIDE = """from musiclab.measures import measure

TABLE = []


def setup():
    global measure

    def measure(**words):
        return TABLE.append


setup()


@measure(unit="share")
def a():
    return 1


class Mine:
    def train(self):
        return TABLE[0]()
"""
CALLED = """from musiclab.systems import Config

TABLE = []


class Other(Config):
    x = TABLE.append(1)


class Mine:
    def train(self):
        return TABLE
"""
IN_A_TYPE = """TABLE = []


def other(x: TABLE.append(1)):
    pass


class Mine:
    def train(self):
        return TABLE
"""
BASE = """TABLE = []


class Base:
    def __init_subclass__(cls):
        TABLE.append(cls)


class Other(Base):
    x = 1


class Mine:
    def train(self):
        return TABLE[0].x
"""
ASKED_FOR = """from musiclab.systems import Config


class Other(Config):
    x = 1


class Mine:
    def train(self):
        return Config.__subclasses__()[-1].x
"""


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        (OTHER_DECORATOR, [("return 1", "return 2")]),
        (REBOUND, [("return 1", "return 2")]),
        (REBOUND_INSIDE, [("return 1", "return 2")]),
        (CALLED, [("append(1)", "append(2)")]),
        (IN_A_TYPE, [("append(1)", "append(2)")]),
        (BASE, [("x = 1", "x = 2")]),
        (ASKED_FOR, [("x = 1", "x = 2")]),
        (REGISTERED, [("return 1", "return 2")]),
        (DISPATCHED, [("return 1", "return 2")]),
        (MADE, [("make(1)", "make(2)"), ("steps = number", "steps = -number")]),
        (SET, [("X = 1", "X = 2"), ("\nsetup()\n", "\n")]),
        (SET.replace("\nsetup()", "\nunused = setup()"), [("X = 1", "X = 2"), ("unused = setup()", "unused = 2")]),
        (LOCAL, [("steps = 1", "steps = 2")]),
        (BY_NAME, [("X = 1", "X = 2")]),
        (LOOKED_UP, [("return 1", "return 2")]),
    ],
)
def test_what_may_change_the_object_is_its_code(
    code: Callable[..., UserCode], text: str, edits: list[tuple[str, str]]
) -> None:
    base = code(text).hash
    for old, new in edits:
        assert old in text
        assert code(text.replace(old, new)).hash != base, old
    # Nobody can tell what such code refers to.
    whole = any(word in text for word in ("globals", "make(", "'mine'", "__subclasses__"))
    assert (code(text + "\n\ndef late():\n    return 3\n").hash == base) == (not whole)


def test_a_module_that_is_imported_for_what_it_does_counts_and_is_sent(code: Callable[..., UserCode]) -> None:
    text = "import my_patch\n\n\nclass Mine:\n    pass\n"
    one, other = (code(text, my_patch=f"import sys\n\nsys.patched = {number}\n") for number in (1, 2))
    assert one.hash != other.hash
    assert "my_patch" in one.sources


def test_two_objects_of_one_file_have_different_code(folder: Path) -> None:
    text = "class Base:\n    pass\n\n\nclass A(Base):\n    pass\n\n\nclass B(Base):\n    pass\n"
    (folder / "both.py").write_text(text + MADE.replace("Mine = make(1)", "C = make(1)\nD = make(2)"))
    assert len({code_of(find(f"both.py:{name}", "system")).hash for name in "ABCD"}) == 4


TOGETHER = """from dataclasses import dataclass
from musiclab.data import Song, Source, song_source
from musiclab.measures import measure
from musiclab.systems import Config, Progress, System, field, system

SCALE = 2


def shared():
    return SCALE


@dataclass(frozen=True)
class MineConfig(Config):
    hidden: int = field(8, "train", "units", low=1)


class Mine(System[MineConfig]):
    name, config = "mine", MineConfig
    progress = Progress("train", "loss", "lower")

    @property
    def size(self) -> int:
        return 5

    def train(self, stage, run):
        return shared()

    def continuations(self, run, starts):
        return starts


@system(conditions=("noise",))
def chain(data, *, order: int = 2):
    return data.starts


@measure(unit="share", better="real", title="What sounds", needs=("start",))
def sounding(rolls):
    return rolls.mean()


@measure(unit="share", better="real", title="What is shared")
def sharing(rolls):
    return shared()


class Lines(Source):
    kind, suffixes = "lines", (".txt",)

    @classmethod
    def read(cls, name, data):
        return Song.of(name, data)


@song_source
def rows(path):
    yield Song.of(path, [])
"""


def test_an_edit_of_one_thing_is_no_edit_of_others_in_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = ("Mine", "chain", "sounding", "sharing", "Lines")

    def hashes(text: str, **files: str) -> dict[str, str]:
        _forget({name for name in sys.modules if name not in ("together", *files)})
        for name, content in {**files, "together": text}.items():
            (folder / f"{name}.py").write_text(content)
        return {name: code_of(find(f"together.py:{name}", "system")).hash for name in names}

    def changed(old: str, new: str, text: str = TOGETHER, **files: str) -> set[str]:
        assert old in text
        before, after = hashes(text, **files), hashes(text.replace(old, new), **files)
        return {name for name in names if before[name] != after[name]}

    assert changed("units", "units of it") == changed("return starts", "return ~starts") == {"Mine"}
    assert changed('"lower"', '"higher"') == changed("return 5", "return 6") == {"Mine"}
    assert changed("data.starts", "~data.starts") == changed('("noise",)', '("start",)') == {"chain"}
    assert changed("rolls.mean()", "rolls.max()") == changed("What sounds", "What is on") == {"sounding"}
    assert changed("What is shared", "All") == {"sharing"}
    assert changed("Song.of(name, data)", "Song.of(name, data, bars=3)") == changed(".txt", ".text") == {"Lines"}
    assert changed("Song.of(path, [])", "Song.of(path, [], bars=3)") == set()
    assert changed("SCALE = 2", "SCALE = 3") == {"Mine", "sharing"}
    # What is mentioned counts, and so does all of the file if others may look through it.
    mentions = TOGETHER.replace("return rolls.mean()", "return len(Lines.kind)")
    assert changed(".txt", ".text", mentions) == {"sounding", "Lines"}
    looks = TOGETHER.replace("SCALE = 2", "import looking\n\nSCALE = looking.SCALE")
    looking = "from musiclab.systems import System\n\nSCALE = 2\n\n\ndef all_of_them():\n    return System.{}\n"
    assert changed("What sounds", "What is on", looks, looking=looking.format("name")) == {"sounding"}
    assert changed("What sounds", "What is on", looks, looking=looking.format("__subclasses__()")) == set(names)


def test_only_what_surely_changes_nothing_is_left_out() -> None:
    text = essential(
        "from musiclab import Grid, Study\nimport numpy\nsizes = {'x': Grid(1, *range(3))}\nA = 1; B = touch()\n"
        "class Mine:\n    pass\nstudy = Study(space=sizes)\nresults = study.run()\nprint(results.answer)\n"
        "study.main()\n"
        "def spare(x=1):\n    return x\nif __name__ == '__main__':\n    study.main()\n",
        "Mine",
    )
    assert [line for line in text.splitlines() if line] == [
        "import numpy", "A = 1; B = touch()", "class Mine:", "    pass",
    ]  # fmt: skip
    assert text.splitlines().index("class Mine:") == 4  # lines keep their numbers
    measure = "from musiclab.measures import measure\n\n\n@measure()\ndef a():\n    pass\n\n\nclass Mine:\n    pass\n"
    assert "def a" not in essential(measure, "Mine")
    assert "def a" in essential("from others import *\n" + measure, "Mine")  # which may have another `measure`


@pytest.mark.parametrize(
    ("data", "spare"),
    [
        ('Lines("songs")', True),
        ("rows()", True),
        ('Midi("songs")', True),
        ('Lines.read("a", "b")', False),
        ('Keeping("songs")', False),  # whose `__init__` may do anything
        ('sounding("songs")', False),
        ("elsewhere()", False),
    ],
)
def test_a_study_with_a_source_of_its_own_is_no_part_of_its_system(data: str, spare: bool) -> None:
    text = TOGETHER.replace("import Song, Source", "import Midi, Song, Source") + (
        "\n\nclass Keeping(Lines):\n    def __init__(self, path):\n        SCALE.append(path)\n\n\n"
        f"study = Study(system=Mine, data={data})\n\nif __name__ == '__main__':\n    study.main()\n"
    )
    text = "from elsewhere import elsewhere\nfrom musiclab import Study\n" + text
    assert "Midi" in text
    assert ("study" not in essential(text, "Mine")) == spare
    assert changed_by_guard(text, "Mine") == []  # to ask a study changes nothing
    assert changed_by_guard(text.replace("study.main()", "study.space.clear()"), "Mine") == ([] if spare else ["study"])


@pytest.mark.parametrize(
    ("guard", "changed"),
    [
        ("WEIGHT = 3", ["WEIGHT"]),
        ("Mine.name = 'other'", ["Mine"]),
        ("TABLE['a'] = 5", ["TABLE"]),
        ("TABLE.update(b=1)", ["TABLE"]),
        ("def unused(): pass", []),
        ("main()", ["WEIGHT"]),
        ("other = 7\n    data = Mine()\n    study.main()", []),
    ],
)
def test_what_a_script_changes_under_its_guard_is_found(guard: str, changed: list[str]) -> None:
    text = MINE.replace("if __name__", "def main():\n    global WEIGHT\n    WEIGHT = 3\n\n\nif __name__")
    assert changed_by_guard(text.replace("study.main()", guard), "Mine") == changed


@pytest.mark.parametrize("above", ["", "mine = None\n", "def mine(): return 1\n"])
def test_what_only_a_script_defines_has_no_code(above: str, folder: Path) -> None:
    guarded = "if __name__ == '__main__':\n    def mine(): pass\n    code_of(mine)\n"
    (folder / "mine.py").write_text(f"from musiclab.user_code import code_of\n{above}{guarded}")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "mine.py"], cwd=folder, env=environment, capture_output=True, text=True)
    assert "mine.py: mine must be defined above `if __name__ == '__main__':`, because other processes" in run.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [("2 * x", "3 * x"), ('MODE = "a"', 'MODE = "b"'), ('return "loud"', 'return "soft"'), ("LEVEL = 1", "LEVEL = 2")],
)
def test_a_file_that_was_edited_after_its_import_is_refused(folder: Path, old: str, new: str) -> None:
    helper = HELPER + 'MODE = "a"\nKINDS = {"x", "y"}\n\n\nclass Kind:\n    LEVEL = 1\n\n    def how(self):\n'
    helper += '        return "loud" if self.LEVEL in frozenset({"a", "b", "c"}) else "never"\n'
    for text, wrong in ((helper.replace(old, new), True), ("# Says more.\n\n" + helper, False)):
        assert text != helper
        _forget({name for name in sys.modules if name not in ("mine", "helper_of_mine")})
        (folder / "helper_of_mine.py").write_text(helper)
        (folder / "mine.py").write_text(MINE)
        mine = find("mine.py:Mine", "system")
        (folder / "helper_of_mine.py").write_text(text)
        if wrong:
            with pytest.raises(
                UserError, match=r"helper_of_mine.py has changed since it was imported; restart the pro"
            ):
                code_of(mine)
        else:
            code_of(mine)


def test_a_function_that_a_decorator_wraps_was_read_when_it_was_imported(folder: Path) -> None:
    text = """from functools import wraps

from musiclab.measures import measure


def timed(function):
    @wraps(function)
    def timing(rolls):
        return function(rolls)

    return timing


@timed
@measure(unit="share", better="real", title="Cells that sound")
def sounding(rolls):
    return rolls.mean()
"""
    (folder / "wrapped_measure.py").write_text(text)
    sys.path.insert(0, str(folder))
    sounding = importlib.import_module("wrapped_measure").sounding
    (folder / "wrapped_measure.py").write_text(text.replace("mean()", "max()"))
    with pytest.raises(UserError, match=r"wrapped_measure.py has changed since it was imported; restart the process"):
        code_of(sounding)


@pytest.fixture
def other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that are sent are imported here, and forgotten afterwards."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sending._SENT, "_sources", {})


@pytest.mark.usefixtures("other_process")
def test_what_was_hashed_is_what_is_imported_elsewhere(code: Callable[..., UserCode], folder: Path) -> None:
    (folder / "pack").mkdir()
    (folder / "pack" / "late.py").write_text("FIVE = 5\n")
    code(MINE.replace("other = 5", "from pack.late import FIVE as other"))
    sent = Sent(sys.modules["mine"].Mine).to_json()
    for name in ("mine.py", "helper_of_mine.py", "pack/late.py"):
        (folder / name).write_text("raise AssertionError('the file was read')\n")
    mine = Sent.of_json(sent).load()
    assert mine.__module__ == "mine" and mine().train(1) == 4 + 5 + 1
    again = Sent.of_json(sent).load()
    assert again is mine  # what is imported already is not imported again


@pytest.mark.usefixtures("other_process")
def test_a_study_that_no_guard_holds_back_is_not_run_elsewhere(folder: Path) -> None:
    unguarded = MINE.partition("if __name__")[0] + "results = study.run()\n"
    (folder / "mine.py").write_text(MINE)
    (folder / "helper_of_mine.py").write_text(HELPER)
    sent = Sent(find("mine.py:Mine", "system")).to_json()
    sent["sources"]["mine"][1] = unguarded
    with pytest.raises(UserError, match="it runs a study while it is imported; put that under `if __name__ == "):
        Sent.of_json(sent).load()


@pytest.mark.usefixtures("other_process")
def test_what_is_not_defined_elsewhere_is_one_sentence(folder: Path) -> None:
    (folder / "mine.py").write_text(MINE)
    (folder / "helper_of_mine.py").write_text(HELPER)
    sent = Sent(find("mine.py:Mine", "system")).to_json() | {"place": "Other"}
    with pytest.raises(UserError, match="mine: Other must be defined whenever its file is imported, not only where it"):
        Sent.of_json(sent).load()


@pytest.mark.usefixtures("other_process")
def test_what_cannot_be_imported_elsewhere_is_named_with_its_line(folder: Path) -> None:
    (folder / "mine.py").write_text(MINE)
    (folder / "helper_of_mine.py").write_text(HELPER)
    sent = Sent(find("mine.py:Mine", "system")).to_json()
    sent["sources"]["helper_of_mine"][1] = f"import not_installed_there\n{HELPER}"
    with pytest.raises(ModuleNotFoundError) as error:
        Sent.of_json(sent).load()
    assert why_failed(error.value) == (
        "ModuleNotFoundError: No module named 'not_installed_there' (helper_of_mine.py, line 1)"
    )
