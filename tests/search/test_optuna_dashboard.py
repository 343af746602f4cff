"""A real optuna-dashboard with the journal of a search: what it answers while the search goes on, and how it looks."""

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from musiclab.analysis.results import Results
from musiclab.search.dashboard import Dashboard
from tests.support import browser
from tests.support.searched_storage import FOLDER, SAMPLES, STUDY, MadeSearch
from tests.support.study_processes import answers, end, free_port
from tests.support.waiting import STILL_S, wait_until

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
pytestmark = pytest.mark.slow


@contextmanager
def _serving(dashboard: Dashboard) -> Iterator[str]:
    """The address of a server that shows it."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), str(dashboard.journal)]
    command += ["--artifact-dir", str(dashboard.artifacts), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--server", "wsgiref", "--quiet"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/studies"), "optuna-dashboard", process=server)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(server)


def _get(url: str) -> tuple[Any, str, bytes]:
    with urllib.request.urlopen(url, timeout=STILL_S) as response:
        return response.status, response.headers["Content-Type"], response.read()


def _trials(address: str) -> list[dict[str, Any]]:
    return json.loads(_get(f"{address}/api/studies/0?after=0")[2])["trials"]


def _states(address: str) -> Counter[str]:
    return Counter(trial["state"] for trial in _trials(address))


def test_a_dashboard_shows_a_search_while_it_goes_on(tmp_path: Path) -> None:
    made = MadeSearch(tmp_path)
    made.one_of_each()
    dashboard = Dashboard(made.storage, FOLDER)
    dashboard.update()
    with _serving(dashboard) as address:
        (study,) = json.loads(_get(f"{address}/api/studies")[2])["study_summaries"]
        assert (study["study_name"], study["directions"]) == (STUDY, ["minimize"])
        trials = _trials(address)
        assert [trial["state"] for trial in trials] == ["Complete", "Pruned", "Fail", "Fail", "Complete", "Running"]
        assert trials[0]["values"] == [3.5]
        assert {param["name"]: param["param_external_value"] for param in trials[0]["params"]} == {
            "lr": "0.0001", "latent_dim": "2", "peaks": "0",
        }  # fmt: skip
        assert trials[1]["intermediate_values"] == [{"step": 11, "value": 1.5}]
        notes = {note["key"]: note["value"] for note in trials[2]["user_attrs"]}
        assert (notes["ended"], notes["reason"]) == ("diverged", "the loss is not finite")
        for artifact in trials[0]["artifacts"]:
            status, kind, data = _get(f"{address}/artifacts/0/0/{artifact['artifact_id']}")
            assert (status, kind, data) == (200, artifact["mimetype"], SAMPLES[artifact["filename"]])
        made.end(5, "finished", 2.5)
        made.propose(6)
        dashboard.update()
        wait_until(lambda: len(_trials(address)) == 7, "the dashboard's next look")
        assert _states(address) == {"Complete": 3, "Pruned": 1, "Fail": 2, "Running": 1}
        made.confirm(5, 0)
        dashboard.close(Results.read(made.storage, STUDY), pytest.fail)
        detail = json.loads(_get(f"{address}/api/studies/0?after=0")[2])
        assert {"key": "confirmed", "value": '["proposal 5", "proposal 0"]'} in detail["user_attrs"]


@pytest.mark.skipif(not browser.THERE, reason="chromium with chromedriver is not installed")
def test_a_browser_shows_it(tmp_path: Path) -> None:
    made = MadeSearch(tmp_path / "storage")
    made.one_of_each()
    for number in range(6, 40):
        made.propose(number)
        made.end(number, "pruned" if number % 3 else "finished", 3.0 + number % 5, (1.0 + number % 4,))
    dashboard = Dashboard(made.storage, FOLDER)
    dashboard.update()
    with _serving(dashboard) as address, browser.browsing(tmp_path / "profile", 1400, 1300) as page:
        page.visit(f"{address}/dashboard/studies/0")
        wait_until(lambda: "Hyperparameter Importance" in page.run("return document.body.innerText"), "the study")
        page.visit(f"{address}/dashboard/studies/0/trials?numbers=0")
        wait_until(lambda: page.run("return document.querySelectorAll('audio, img[src*=artifacts]').length"), "sound")
        text = page.run("return document.body.innerText")
        assert "set/frechet" in text
        assert "start-1.mp3" in text
