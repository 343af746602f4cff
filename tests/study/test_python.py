"""A study run and read from Python: what comes back, what is raised, and that nothing is printed and nothing exits."""

import dataclasses
import inspect
import os
import runpy
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import musiclab
from musiclab import Grid, Study, open_results
from musiclab.data.sources import CHOICES
from musiclab.errors import UserError
from musiclab.report.exports import results_csv
from musiclab.study import session
from musiclab.study.command_line import run_command
from musiclab.study.options import RunOptions, as_keywords, options_of, parse_options
from musiclab.study.results import StudyResults
from tests.support.made_results import made_study
from tests.support.no_mirror import NoMirror
from tests.support.notebooks import execute

ROOT = Path(__file__).parents[2]
TINY = {
    "width": 4, "vae_epochs": 1, "vae_batch": 16, "latent_epochs": 1, "max_eval": 32, "starts": 8, "continuation": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def mirrorless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "Mirror", NoMirror)


@pytest.fixture
def keywords(song_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Keywords of a run that takes seconds."""
    return {"data": f"midi:{song_folder}", "storage": tmp_path / "storage", "in_process": True, "set": TINY}


def _study(**fields: Any) -> Study:
    good = {"space": {"latent_dim": Grid(2, 3)}, "control": {"latent_dim": 2}, "blocks": 2, "objective": "frechet"}
    return Study(**{"name": "q", "system": "vae_nn", "question": "Which <b>size</b>?"} | good | fields)


@pytest.mark.slow
def test_a_study_is_run_and_read(keywords: dict[str, Any], capsys: pytest.CaptureFixture) -> None:
    results = _study().run(**keywords)
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith(("songs cut into windows ", "trials ")) for line in err.splitlines()), err
    assert results.failures == ()
    assert results.report is not None
    page = Path(results.report).read_text()
    assert page.startswith("<!doctype html>")
    assert "none, because the study was run from Python" in page  # not the command line of whoever hosts Python
    assert results.answer.verdicts == {"latent_dim=3": "underpowered"}
    assert str(results.answer) == "\n".join(results.answer.sentences)
    assert str(results.answer).startswith("On frechet (squared sds, lower is better), against the control latent_dim=2")
    # The tables hold what the files hold.
    frame, written = results.frame(), pd.read_csv(Path(results.report).with_name("results.csv"))
    assert list(frame["variant"]) == ["latent_dim=2", "latent_dim=3"] * 2
    assert list(frame["status"]) == ["finished"] * 4
    assert list(frame["latent_dim"]) == [2, 3, 2, 3]
    assert (frame["seconds"] > 0).all()
    assert (frame["set/frechet"] > 0).all()
    pd.testing.assert_frame_equal(frame.drop(columns="failure"), written.drop(columns="failure"), check_dtype=False)
    (row,) = results.comparisons().to_dict("records")
    means = frame.groupby("variant")["set/frechet"].mean()
    comparison = results.answer.statistics.comparisons["latent_dim=3"]
    assert (row["variant"], row["control"], row["verdict"]) == ("latent_dim=3", "latent_dim=2", "underpowered")
    assert (row["mean"], row["control_mean"]) == pytest.approx((means["latent_dim=3"], means["latent_dim=2"]))
    assert row["difference"] == pytest.approx(row["mean"] - row["control_mean"])
    assert (row["low"], row["high"]) == (comparison.difference.low, comparison.difference.high) == (-inf, inf)
    assert (row["p"], row["p_holm"], row["blocks"]) == (comparison.p, comparison.p_holm, 2)
    assert row["improvement"] == comparison.improvement.mean
    # A second call runs what is missing only, here and from the command line; results can be read without a run.
    records = {file: file.stat().st_mtime_ns for file in Path(keywords["storage"]).glob("trials/*/record.json")}
    more = _study().run(**keywords | {"blocks": 3})
    assert len(more.frame()) == 6
    assert len(open_results("q", storage=keywords["storage"]).frame()) == 6
    assert {file: file.stat().st_mtime_ns for file in records} == records
    command = ["--data", keywords["data"], "--storage", str(keywords["storage"]), "--in-process", "--blocks", "3"]
    command += [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    capsys.readouterr()
    assert run_command(_study(), parse_options("?", command)) == 0
    out = capsys.readouterr().out
    assert "6 of 6 trials done\n" in out
    assert all(sentence in out for sentence in more.answer.sentences)
    assert _study().plan(**keywords | {"blocks": 3}).splitlines()[1].endswith("6 trials: 6 done, 0 to run")


def test_failed_and_missing_trials_are_in_the_results_and_raise_nothing(tmp_path: Path) -> None:
    values = {"a": [{"set/frechet": 1.0}, {"set/frechet": 2.0}], "<i>b</i>": ["out of <memory>", None]}
    made = made_study(tmp_path, values)
    results = open_results("made", storage=tmp_path)
    (failure,) = results.failures
    assert (failure.variant, failure.block) == (made.trial_specs[2].variant.name, 0)
    assert failure.reason == "out of <memory>"
    assert results.report is None
    frame = results.frame()
    assert list(frame["status"]) == ["finished", "finished", "failed", "missing"]
    assert frame["set/frechet"].isna().tolist() == [False, False, True, True]
    assert frame["set/frechet"].dtype == float
    assert ",".join(frame.columns) == results_csv(made).splitlines()[0]
    assert results.comparisons()["verdict"].tolist() == ["not compared"]
    assert results.comparisons()["blocks"].tolist() == [0]
    shown = results._repr_html_()
    assert "<i>" not in shown
    assert "&lt;i&gt;b&lt;/i&gt;, block 0: out of &lt;memory&gt;" in shown
    assert "not compared" in shown
    assert "color" not in shown  # a dark notebook has its own
    assert repr(results).startswith("Results of made: ")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"blocks": 0}, "blocks must be a whole number from 1 to 10000; got 0."),
        ({"blocks": "2"}, "blocks must be a whole number from 1 to 10000; got '2'."),
        ({"blocks": True}, "blocks must be a whole number from 1 to 10000; got True."),
        ({"max_failures": None}, "max_failures must be a whole number from 0 to 100; got None."),
        ({"gpus_per_trial": float("inf")}, "gpus_per_trial must be a number of at least 0; got inf."),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial must be a fraction up to 1 or a whole number; got 1.5."),
        ({"in_process": 1}, "in_process must be True or False; got 1."),
        ({"scale": "huge"}, "scale must be demo or article; got 'huge'."),
        ({"form": "huge"}, "form must be mended, written or coded; got 'huge'."),
        ({"set": {"form": "coded"}}, "set form is not possible, because a form is no field; use form instead."),
        ({"data": 5}, "data must be a text such as 'chorales' or 'midi:PATH', or a source; got 5."),
        ({"data": "mid:songs"}, f"data must be {CHOICES}; got 'mid:songs'."),
        ({"set": ["beta=1"]}, "set must be fields with their values, such as {'beta': 0.5}; got ['beta=1']."),
        ({"set": {"bta": 1}}, "There is no field 'bta' in VaeNNConfig; did you mean 'beta'?"),
        ({"set": {"beta": None}}, "beta must be a number from 0 to 100; got None."),
        ({"storage": None}, "storage must be a folder or a URI; got None."),
        ({"storage": "nonsense://x"}, "storage='nonsense://x' cannot be written to: "),
        ({"until_clear": True}, "until_clear needs max_blocks too: how many blocks there may be at most."),
        ({"max_blocks": 9}, "max_blocks needs until_clear too; for a fixed number of blocks use blocks instead."),
        ({"until_clear": True, "max_blocks": 5}, "max_blocks=5 is too few for anything to become clear: "),
        ({"workers": 2}, "in_process runs one trial at a time; leave out workers or in_process."),
        ({"tracking_uri": "localhost:5000"}, "tracking_uri must be http://HOST:PORT or a database "),
    ],
)
@pytest.mark.parametrize("call", [Study.run, Study.plan])
def test_wrong_keywords_raise_a_sentence_in_terms_of_python(
    call: Callable[..., object], wrong: dict[str, Any], sentence: str, keywords: dict[str, Any], capsys: Any
) -> None:
    with pytest.raises(UserError) as raised:
        call(_study(), **keywords | wrong)
    assert str(raised.value).startswith(sentence)
    assert "--" not in str(raised.value)
    assert capsys.readouterr().out == ""


def test_options_become_keywords_and_nothing_else_does() -> None:
    assert as_keywords("Add --blocks 6.") == "Add blocks=6."
    assert as_keywords("--max-blocks 7 is reached; --in-process") == "max_blocks=7 is reached; in_process"
    assert as_keywords("--set beta is; x--set; --settle; --no-such 1") == "set beta is; x--set; --settle; --no-such 1"


def test_the_keywords_are_the_options_and_have_their_defaults() -> None:
    keywords = inspect.signature(Study.run).parameters
    fields = {field.name: field for field in dataclasses.fields(RunOptions)}
    assert list(keywords) == ["self", *(name for name in fields if name != "plan")]
    parsed = parse_options("?", [])
    given = {name: keyword.default for name, keyword in keywords.items() if name != "self"}
    assert parsed == options_of(given) == RunOptions()
    with pytest.raises(UserError, match=r"There is no option 'bloks'; did you mean 'blocks'\?"):
        _study().plan(bloks=3)


def test_a_process_of_its_own_may_leave_a_gpu_idle() -> None:
    assert RunOptions(in_process=True, gpus_per_trial=0).gpus_per_trial == 0
    with pytest.raises(UserError, match="--gpus-per-trial must be 0, for CPUs, with --in-process; "):
        RunOptions(in_process=True, gpus_per_trial=0.5)


def test_an_interrupted_run_raises_after_its_records_are_written(
    keywords: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(session, "run_trials", lambda *_: None)
    monkeypatch.setattr(session.TrialLoop, "signal", 128 + signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _study().run(**keywords)
    assert list(Path(keywords["storage"]).glob("studies/q/*/report.html"))
    assert capsys.readouterr().out == ""


def test_results_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no storage; give the folder or URI"):
        open_results("q", storage=tmp_path / "none")
    with pytest.raises(UserError, match="has no study 'q'"):
        open_results("q", storage=tmp_path)


# The question.

_FIELDS = '"q", system="vae_nn", space={"latent_dim": Grid(2, 3)}, control={"latent_dim": 2}, blocks=2'
_FILE = f'''"""How large?"""
import dataclasses
from musiclab import Grid, Study

study = Study(name={_FIELDS}, objective="frechet")
longer = dataclasses.replace(study, blocks=3)
'''


def test_the_question_is_the_docstring_of_the_file_whoever_imports_it(tmp_path: Path) -> None:
    (tmp_path / "q.py").write_text(_FILE)
    loaded = runpy.run_path(str(tmp_path / "q.py"), run_name="imported")
    assert loaded["study"].question == loaded["longer"].question == "How large?"
    assert _study(question="").question == __doc__.strip()  # this file's
    assert _study(question="Why?").question == "Why?"


def test_a_study_of_the_project_asks_its_own_question() -> None:
    study = runpy.run_path(str(ROOT / "studies" / "latent_dim.py"), run_name="imported")["study"]
    assert study.question.startswith("How large")


def test_without_a_file_the_question_is_the_name() -> None:
    notebook = types.ModuleType("__main__", "Automatically created module for IPython interactive environment")
    exec(f"from musiclab import Grid, Study\nstudy = Study(name={_FIELDS}, objective='frechet')", vars(notebook))
    assert notebook.study.question == "q"


@pytest.mark.parametrize("how", ["imported", "run", "as a module", "by name", "in a test"])
def test_the_question_is_that_of_the_study_whatever_runs(how: str, tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text(_FILE + "\nif __name__ == '__main__':\n    print(study.question)\n")
    (tmp_path / "nightly.py").write_text('"""A nightly job."""\nimport asked\nprint(asked.study.question)\n')
    (tmp_path / "test_it.py").write_text(
        '"""A test."""\nimport asked\n\ndef test_it():\n    print(asked.study.question)\n'
    )
    command = {
        "imported": ["nightly.py"],
        "run": ["asked.py"],
        "as a module": ["-m", "asked"],
        "by name": ["-c", "import runpy; runpy.run_path('asked.py', run_name='__main__')"],
        "in a test": ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_it.py"],
    }[how]
    run = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout.splitlines()[0] == "How large?", run.stdout + run.stderr


# The command line, called from Python.


def test_main_returns_if_all_is_done_and_exits_otherwise(keywords: dict[str, Any], capsys: Any) -> None:
    common = ["--data", keywords["data"], "--storage", str(keywords["storage"])]
    assert _study().main([*common, "--plan"]) is None
    assert "4 to run" in capsys.readouterr().out
    assert _study().main(["--help"]) is None
    assert "usage: " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        _study().main([*common, "--plann"])


def test_main_in_a_notebook_leaves_the_kernel_its_options(
    keywords: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel-1.json"])
    script = types.ModuleType("__main__")
    script.__file__ = "study.py"
    monkeypatch.setitem(sys.modules, "__main__", script)
    with pytest.raises(SystemExit, match="2"):  # a script takes them for its own
        _study().main()
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__", "Automatically created module"))
    asked: list[RunOptions] = []
    commands: list[Any] = []

    def run(spec: object, options: RunOptions, tell: object, command: Any) -> Any:
        asked.append(options)
        commands.append(command)
        raise UserError("That is enough.")

    monkeypatch.setattr(session, "run", run)
    for argv in (None, [], ["--blocks", "2"]):
        with pytest.raises(SystemExit, match="2"):
            _study().main(argv)
    assert asked == [RunOptions(), RunOptions(), RunOptions(blocks=2)]
    assert commands == [[], [], []]  # the plan does not say that the kernel's command runs the study
    monkeypatch.setattr(sys, "argv", ["-c", "--blocks", "3"])  # `python -c` has options of the user's
    with pytest.raises(SystemExit, match="2"):
        _study().main()
    assert asked[-1] == RunOptions(blocks=3)


@pytest.mark.slow
def test_main_in_a_real_kernel(keywords: dict[str, Any]) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient, which executes notebooks, is not installed")
    pytest.importorskip("nbclient", reason="nbclient, which executes notebooks, is not installed")
    where = ["--storage", str(keywords["storage"]), "--data", keywords["data"]]
    cells = [
        f"from musiclab import Grid, Study\nstudy = Study(name={_FIELDS}, objective='frechet')",
        f"study.main({[*where, '--plan']})\nprint(study.question)",
        "study.main(['--wrong'])",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        execute(notebook, allow_errors=True)
    _, planned, wrong = [
        ([out.text for out in cell.outputs if "text" in out], [out.ename for out in cell.outputs if "ename" in out])
        for cell in notebook.cells
    ]
    assert planned[1] == []
    assert "".join(planned[0]).endswith("q\n")
    assert wrong[1] == ["SystemExit"]
    assert "--wrong" in "".join(wrong[0])


# What an import costs, and where it is refused.


@pytest.mark.parametrize("line", ["import musiclab", "from musiclab import Ablation, Claim, Expect, Grid, Study"])
def test_the_front_door_is_cheap(line: str) -> None:
    heavy = ("torch", "ray", "mlflow", "pandas", "scipy", "matplotlib", "symusic", "IPython")
    code = f"{line}\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (run.stdout, run.stderr) == ("[]\n", "")


def test_a_command_that_runs_nothing_is_spared_what_runs_or_draws() -> None:
    heavy = ("torch", "ray", "mlflow", "pandas", "scipy.stats", "matplotlib", "symusic")
    code = f"import musiclab.study.command_line\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (run.stdout, run.stderr) == ("[]\n", "")


def test_the_front_door_has_what_it_lists() -> None:
    assert (
        {"Study", "Grid", "Ablation", "Claim", "Expect", "open_results"} <= set(musiclab.__all__) <= set(dir(musiclab))
    )
    assert all(getattr(musiclab, name) is not None for name in musiclab.__all__)
    assert all(getattr(musiclab.study, name) is getattr(musiclab, name) for name in musiclab.study.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Studdy'"):
        _ = musiclab.Studdy


_WINDOWS = """
import shutil, sys  # shutil of Python 3.14 would look for more of Windows
sys.modules["fcntl"] = sys.modules["resource"] = None  # Windows lacks them
sys.platform = "win32"
"""


@pytest.mark.parametrize(
    "code",
    [
        "from musiclab.__main__ import main\nmain()",
        f"from musiclab import Grid, Study\nStudy(name={_FIELDS}, objective='frechet').main()",
    ],
    ids=["the command", "a study"],
)
def test_windows_is_refused_in_one_sentence(code: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _WINDOWS + code], env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip
    sentence = "musiclab runs on Linux (and is not tested on macOS); Windows is not supported: use WSL."
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"error: {sentence}\n")


def test_windows_is_refused_from_python_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for call in (_study().run, _study().plan):
        with pytest.raises(UserError, match="Windows is not supported: use WSL"):
            call()


def test_results_of_a_session_say_what_it_noted(tmp_path: Path) -> None:
    made = made_study(tmp_path, {"a": [{"set/frechet": 1.0}], "b": [{"set/frechet": 2.0}]})
    outcome = session.Outcome(
        run=None, results=made, report=None, no_report="ValueError: no paper", notes=["--blocks 3 & <more>"],
        tracking="MLflow: here\n  then there", signal=0,
    )  # fmt: skip
    results = StudyResults.of_outcome(outcome)
    assert results.notes == ("blocks=3 & <more>", "no report: ValueError: no paper", "MLflow: here\n  then there")
    assert "blocks=3 &amp; &lt;more&gt;<br>no report: ValueError" in results._repr_html_()
