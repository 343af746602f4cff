"""The notebook of the documentation, executed by Jupyter's own machinery, and how its output looks."""

import html
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import browser

nbformat = pytest.importorskip("nbformat", reason="nbclient, which executes notebooks, is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient, which executes notebooks, is not installed")
pytest.importorskip("ipykernel", reason="ipykernel, in which notebooks run, is not installed")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "first_study.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook with its outputs; one kernel runs all its cells, in a folder and a home of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(FILE, as_version=4)
    changes = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setenv(name, value)
        client = nbclient.NotebookClient(
            notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        client.execute()
    return notebook


def _outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield from cell.outputs


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(FILE, as_version=4)
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
    assert all(line.startswith(("trials ", "songs cut into windows ")) for line in lines), logged


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
