"""The notebooks of documentation and examples, executed by Jupyter's own machinery, and how their outputs look."""

import html
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import browser
from tests.support.notebooks import execute
from tests.support.study_processes import PROGRESS

nbformat = pytest.importorskip("nbformat", reason="nbclient, which executes notebooks, is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient, which executes notebooks, is not installed")
pytest.importorskip("ipykernel", reason="ipykernel, in which notebooks run, is not installed")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FIRST, OWN = ROOT / "docs" / "first_study.ipynb", ROOT / "examples" / "own_system.ipynb"
# What the options of the first get beside their own, so that each trial takes a second; docs/python.md runs as it is.
SMALL = {"width": 4, "max_train": 64, "max_eval": 32, "starts": 8, "continuation": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder and home of their own for the notebooks, with the file that lies beside one."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copy(OWN.with_name("own_system.py"), folder)
    return folder


@pytest.fixture(scope="module")
def notebooks(folder: Path, song_folder: Path) -> dict[Path, Any]:
    """The notebooks with their outputs; one kernel runs all their cells, because a kernel takes seconds to start."""
    read = {file: nbformat.read(file, as_version=4) for file in (FIRST, OWN)}
    (asking,) = [cell for cell in read[FIRST].cells if "options = " in cell.source]
    asking.source += f"\noptions['data'] = 'midi:{song_folder}'\noptions['set'] |= {SMALL}"
    all_cells = [cell for notebook in read.values() for cell in notebook.cells]
    notebook = nbformat.v4.new_notebook(cells=all_cells, metadata=read[FIRST].metadata)
    changes = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setenv(name, value)
        execute(notebook, resources={"metadata": {"path": str(folder)}})
    return read


@pytest.fixture(scope="module")
def executed(notebooks: dict[Path, Any]) -> Any:
    """The notebook of the documentation."""
    return notebooks[FIRST]


def _outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield from cell.outputs


@pytest.mark.parametrize("file", [FIRST, OWN], ids=lambda file: file.stem)
def test_it_is_committed_without_outputs(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert list(_outputs(notebook)) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_it_runs_without_an_error_and_shows_progress(executed: Any) -> None:
    errors = [output for output in _outputs(executed) if output.output_type == "error"]
    assert errors == []
    logged = "".join(output.text for output in _outputs(executed) if output.get("name") == "stderr")
    assert "Traceback" not in logged
    assert "Warning" not in logged
    lines = logged.splitlines()
    assert any(line.startswith("trials 4/4, ") for line in lines), logged
    assert any(line.startswith("trials 6/6, ") for line in lines), logged
    assert all(line.startswith(PROGRESS) for line in lines), logged


def test_its_results_show_themselves(executed: Any) -> None:
    first, frame, comparisons, second = [
        output.data["text/html"] for output in _outputs(executed) if output.output_type == "execute_result"
    ]
    for shown in (first, second):
        assert "<strong>Does a beta below 1 help the VAE?</strong>" in shown
        assert "<td>underpowered</td>" in shown
        assert "Underpowered by design: with " in html.unescape(shown)
        assert "report.html" in shown
    assert "with 2 blocks" in first
    assert "with 3 blocks" in second
    assert frame.count("finished") == 4
    assert comparisons.count("underpowered") == 1
    printed = "".join(output.text for output in _outputs(executed) if output.get("name") == "stdout")
    assert "2 variants x 2 blocks = 4 trials: 0 done, 4 to run" in printed


def test_a_system_beside_a_notebook_is_studied_plotted_and_played(notebooks: dict[Path, Any], folder: Path) -> None:
    outputs = [*_outputs(notebooks[OWN])]
    assert not [output for output in outputs if output.output_type == "error"]
    shown, frame = [output.data["text/html"] for output in outputs if output.output_type == "execute_result"]
    assert "<strong>Does a lower temperature bring the music nearer to real music?</strong>" in shown
    assert frame.count("temperature=") == 3
    pictures = [output.data for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4  # the plot, and a pianoroll of each variant
    sounds = [output.data["text/html"] for output in outputs if "audio" in output.get("data", {}).get("text/html", "")]
    assert len(sounds) == 3
    assert all('<source src="data:audio/mpeg;base64,' in sound for sound in sounds)
    # With a quarter of its units the example's music is nearer to real music than to random notes.
    records = [json.loads(file.read_text()) for file in (folder / "results").glob("trials/*/record.json")]
    (control,) = [
        record for record in records
        if record["system"] == "step_lstm" and record["config"]["temperature"] == 1.0
    ]  # fmt: skip
    assert control["measures"]["set/frechet"] < control["baselines"]["set/frechet.random"] / 2


@pytest.mark.skipif(not browser.THERE, reason="chromium and chromedriver are not there")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_results_can_be_read_in_light_and_dark(executed: Any, scheme: str, tmp_path: Path) -> None:
    tables = [output.data["text/html"] for output in _outputs(executed) if output.output_type == "execute_result"]
    shown = [tables[0], tables[-1]]  # those between are pandas' own
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><meta charset=utf-8><style>:root{color-scheme:light dark}body{font:14px sans-serif;width:900px}"
        "table{border-collapse:collapse}th,td{padding:4px 8px;text-align:right}</style>" + "<hr>".join(shown),
        encoding="utf-8",
    )
    with browser.browsing(tmp_path / "profile", 1000, 1200) as chromium:
        chromium.emulate(prefers_color_scheme=scheme)
        chromium.open(page)
        chromium.screenshot(Path(os.environ.get("SHOTS", tmp_path)) / f"notebook-{scheme}.png")
        assert chromium.console() == []
        assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth")
        # Text has the page's own colour, whatever that is.
        colours = chromium.run(
            "return [...document.querySelectorAll('.musiclab-results, .musiclab-results *')]"
            ".map(element => getComputedStyle(element).color)"
        )
        assert set(colours) == {chromium.run("return getComputedStyle(document.body).color")}
