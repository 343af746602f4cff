"""The pages of `musiclab watch`: what they show, the events that keep them up to date, and the request to stop."""

import json
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musiclab.analysis.results import Results
from musiclab.dashboards.address import Address
from musiclab.dashboards.live import events
from musiclab.dashboards.live.app import Pages, opened
from musiclab.dashboards.live.follower import Follower
from musiclab.dashboards.live.watcher import Watcher
from musiclab.design.listening import Place
from musiclab.errors import UserError
from musiclab.report.html.listening import frame_of, shown
from musiclab.report.samples import RealMusic, Samples
from musiclab.storage.files import Storage, StorageFailed
from musiclab.storage.leases import stop_requested
from musiclab.storage.records import Records
from tests.support.listeners import STUDY, storage_of
from tests.support.made_live import MadeLive
from tests.support.made_results import made_study
from tests.support.searched_storage import MadeSearch
from tests.support.served import ask, form_token, serving
from tests.support.study_processes import Run


@pytest.fixture
def live(tmp_path: Path) -> Iterator[MadeLive]:
    """A study in the middle of its run, whose process lives."""
    made = MadeLive(tmp_path)
    with made.begin():
        made.in_the_middle()
        yield made


@pytest.fixture
def watched(tmp_path: Path) -> Callable[..., Any]:
    """Makes a watcher of the test's folder, or of one given, that looks when it is told to, and serves its pages."""
    return lambda folder=tmp_path: _Watched(folder)


class _Watched:
    """A watcher of a storage without a thread, and its pages served by a thread."""

    def __init__(self, folder: Path) -> None:
        self.watcher = Watcher(opened(str(folder)))
        self.look()

    def look(self) -> None:
        while not self.watcher.look():
            pass

    def __enter__(self) -> "_Watched":
        self._serving = serving(Pages(self.watcher, Address("127.0.0.1", 0)).server)
        self.url = self._serving.__enter__().rstrip("/")
        return self

    def __exit__(self, *error: Any) -> None:
        self._serving.__exit__(*error)

    def page(self, path: str = "/studies/made") -> str:
        """A page, with the parts that are drawn once somebody has asked for it."""
        ask(f"{self.url}{path}")
        self.look()
        answer = ask(f"{self.url}{path}")
        assert answer.status == 200, answer.text
        return answer.text


def _messages(url: str, path: str, count: int, **headers: str) -> list[dict[str, Any]]:
    """The first messages of an event stream, each with its `id`."""
    request = urllib.request.Request(f"{url}{path}", headers={n.replace("_", "-"): v for n, v in headers.items()})
    messages: list[dict[str, Any]] = []
    name = ""
    with urllib.request.urlopen(request, timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        while len(messages) < count:
            line = stream.readline().decode()
            if line.startswith("id: "):
                name = line[4:].strip()
            elif line.startswith("data: "):
                messages.append(json.loads(line[6:]) | {"id": name, "size": len(line)})
    return messages


def _events_of(page: str) -> str:
    found = re.search(r'data-events="([^"]+)"', page)
    assert found
    return found[1].replace("&amp;", "&")


# What they show.


def test_the_index_has_every_study_with_its_state_progress_and_price(tmp_path: Path, live: MadeLive, watched) -> None:
    made_study(tmp_path, {"a": [{"set/frechet": 1.0}], "b": [None]}, name="left")
    with watched() as pages:
        page = pages.page("/")
        row = re.search(r'<tr id="study-made">.*?</tr>', page, re.S)[0]
        assert "running" in row and "6 of 12" in row and "How large should the latent space be?" in row
        assert "5 min of workers&#39; time so far" in row
        assert "stopped" in re.search(r'<tr id="study-left">.*?</tr>', page, re.S)[0]
        assert page.index("study-made") < page.index("study-left")  # what runs comes first
        assert ask(f"{pages.url}/studies/none").text == f"{tmp_path} has no study 'none'.\n"


def test_who_comes_before_the_storage_was_read_sees_the_studies_once_it_was(live: MadeLive) -> None:
    watcher = Watcher(opened(live.storage.root))
    with serving(Pages(watcher, Address("127.0.0.1", 0)).server) as url:
        page = ask(url).text
        assert '<div id="studies"><p>The storage is being read.</p></div>' in page  # whose place the event takes
        while not watcher.look():
            pass
        (message,) = _messages(url.rstrip("/"), _events_of(page), 1)
    assert any(name == "studies" and "study-made" in html for name, html, _ in message["parts"])


def test_a_study_shows_each_trial_by_letter_and_epoch(live: MadeLive, watched) -> None:
    with watched() as pages:
        page = pages.page()
    cells = re.findall(r'<td id="c(\d+)" class="(\w)"[^>]*>(?:<a[^>]*>)?([^<]+)', page)
    by_number = {int(number): text for number, _, text in cells}
    assert [by_number[number] for number in range(12)] == [
        "U", "F", "F", "F", "X", "F", "C 9/25", "R 3/25", "W 7/25", "W", "W", "W",
    ]  # fmt: skip
    assert all(text.startswith(letter) for _, letter, text in cells)


def test_a_study_shows_who_works_and_what_failed_with_the_end_of_its_log(live: MadeLive, watched) -> None:
    with watched() as pages:
        page = pages.page()
    workers = re.search(r'<div id="workers">.*?</div>\s*</div>', page, re.S)[0]
    assert "kiln, process 2002" in workers and "NVIDIA H200 (GPU 0)" in workers
    assert "resumed, vae, epoch 9 of 25" in workers
    failures = re.search(r'<div id="failures">.*?</div>', page, re.S)[0]
    assert "step 39" in failures and "MemoryError" in failures and "step 5" not in failures


def test_numbers_are_marked_as_no_verdict_until_all_trials_have_ended(tmp_path: Path, watched) -> None:
    values = {"a": [{"set/frechet": 9.0 + block} for block in range(7)], "b": [{"set/frechet": 1.0}] * 7}
    results = made_study(tmp_path, values)
    assert results.answer.comparisons["latent_dim=b"].verdict == "better"
    with watched() as pages:
        page = pages.page()
        assert "so the verdicts on these numbers stand in the report" in page
        plan = results.plan
        specs = (*plan.trial_specs, replace(plan.trial_specs[0], stages={"vae": "v", "measure": "one-more"}))
        results.storage.write("trials/one-more/other", b"")
        Records(results.storage).plans.put(results.folder, replace(plan, trial_specs=specs))
        page = pages.page()
    assert "<b>Not yet a verdict.</b>" in page and "(not yet a verdict)" in page
    objective = re.search(r'<div id="objective">.*?</figure>', page, re.S)[0]
    assert "latent_dim=b: 1 " in objective  # its mean
    for word in ("p =", "p ≤", "p_holm", "✓", "better,"):
        assert word not in objective


def test_a_search_shows_proposals_the_best_and_the_front(tmp_path: Path, watched) -> None:
    made = MadeSearch(tmp_path, also=("music/empty_bars",))
    made.one_of_each()
    with watched() as pages:
        page = pages.page()
    cells = dict(re.findall(r'<li id="p(\d+)" class="\w"[^>]*>(?:<a[^>]*>)?([^<]+)', page))
    assert cells == {"0": "0 F", "1": "1 P", "2": "2 X", "3": "3 X", "4": "4 F", "5": "5 W"}
    assert "The front so far" in page and "out of memory" in page
    assert "no verdict comes from them" in page
    assert "proposal 0 (3.5) (not yet a verdict)" in page


def test_all_text_from_data_is_escaped(tmp_path: Path, watched) -> None:
    evil = "<script>alert(1)</script>\"'"
    live = MadeLive(tmp_path)
    plan = live.records.plans.get(live.folder)
    assert plan
    spec = plan.trial_specs[0]
    specs = (replace(spec, variant=replace(spec.variant, label=evil)), *plan.trial_specs[1:])
    controls = plan.controls | {evil: evil}
    live.records.plans.put(live.folder, replace(plan, question=evil, trial_specs=specs, controls=controls))
    live.fail(0, 0, evil, evil)
    live.mirrored(0, evil)
    with watched() as pages:
        for page in (pages.page(), pages.page("/")):
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert" in page


def test_a_measure_that_is_gone_is_a_sentence(tmp_path: Path, watched) -> None:
    live = MadeLive(tmp_path)
    live.finish(0, 0, 1.0)
    plan = live.records.plans.get(live.folder)
    assert plan
    live.records.plans.put(live.folder, replace(plan, objective="set/gone"))
    with watched() as pages:
        assert "set/gone" in re.search(r'<p class="alert">(.*?)</p>', pages.page())[1]


# Events.


def test_only_what_has_changed_is_sent(live: MadeLive, watched) -> None:
    with watched() as pages:
        path = _events_of(pages.page())
        live.train(3, 1, 4)
        pages.look()
        (message,) = _messages(pages.url, path, 1)
        names = {name for name, _, _ in message["parts"]}
        assert "c7" in names and "workers" in names
        assert not names & {"c0", "c4", "grid", "samples", "failures", "stop"}
        assert {name: html for name, html, _ in message["parts"]}["c7"].endswith(">R 4/25</td>")
        assert message["size"] < 100_000
        # Who comes back with the version that it has gets what came after it, and nothing twice.
        live.finish(3, 1, 2.0)
        pages.look()
        (message,) = _messages(pages.url, path, 1, Last_Event_ID=message["id"])
        parts = {name: html for name, html, _ in message["parts"]}
        assert parts["c7"] == '<td id="c7" class="F">F</td>' and "c6" not in parts


def test_a_page_of_another_server_is_loaded_again(live: MadeLive, watched) -> None:
    with watched() as pages:
        for version in ("", "0.0", "beef.7", f"{events.BOOT}.x"):
            (message,) = _messages(pages.url, f"/studies/made/events?since={version}", 1)
            assert message["reload"] is True


def test_a_large_update_comes_in_pieces(tmp_path: Path, watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LARGEST", 1000)
    live = MadeLive(tmp_path, blocks=10)
    with watched() as pages:
        path = _events_of(pages.page())
        for place in live.specs:
            live.fail(*place)
        pages.look()
        cells, seen, headers = {f"c{number}" for number in range(40)}, set[str](), dict[str, str]()
        while not cells <= seen:
            (message,) = _messages(pages.url, path, 1, **headers)
            headers = {"Last_Event_ID": message["id"]}
            seen |= {name for name, _, _ in message["parts"]}
            assert len(message["parts"]) == 1 or sum(len(json.dumps(html)) for _, html, _ in message["parts"]) <= 1000


def test_a_new_study_appears_on_the_index(tmp_path: Path, live: MadeLive, watched) -> None:
    with watched() as pages:
        path = _events_of(pages.page("/"))
        made_study(tmp_path, {"a": [None]}, name="late")
        pages.look()
        (message,) = _messages(pages.url, path, 1)
        assert "study-late" in {name for name, _, _ in message["parts"]}
        assert any(name == "studies" and "study-late" in html for name, html, _ in message["parts"])


def test_it_says_how_old_its_data_are_and_why(tmp_path: Path, live: MadeLive, watched, monkeypatch) -> None:
    with watched() as pages:
        page = pages.page()
        assert re.search(r'<span id="age">Read \d+ s ago\.', page)

        def refuses(storage: Storage, folder: str) -> list[str]:
            raise OSError("the bucket is gone")

        monkeypatch.setattr(Storage, "names", refuses)
        pages.watcher._read_at -= 60  # as if it had been a minute ago
        read = pages.watcher._read_at
        pages.look()
        assert pages.watcher._read_at == read
        assert "The storage cannot be read: the bucket is gone." in ask(f"{pages.url}/studies/made").text
        (message,) = _messages(pages.url, _events_of(page), 1)
        assert message["trouble"] == "The storage cannot be read: the bucket is gone." and message["age"] >= 60
        monkeypatch.undo()
        pages.look()
        assert "cannot be read" not in ask(f"{pages.url}/studies/made").text


def test_what_one_study_does_to_a_page_spares_the_others(tmp_path: Path, live: MadeLive, watched, monkeypatch) -> None:
    made_study(tmp_path, {"a": [{"set/frechet": 1.0}]}, name="other")
    with watched() as pages:
        monkeypatch.setattr("musiclab.dashboards.live.view.standing", lambda follower: 1 / 0)
        live.train(3, 1, 4)
        pages.look()
        assert pages.watcher.trouble.startswith("The page of made is not brought up to date (ZeroDivisionError")
        assert ask(f"{pages.url}/studies/other").status == 200


# Samples.


def test_a_sample_is_drawn_on_the_page_and_its_sound_comes_when_asked_for(live: MadeLive, watched) -> None:
    with watched() as pages:
        page = pages.page("/studies/made?place=0-2")
        sounds = re.findall(r'data-sound="([^"]+)"', page)
        assert [sound.rpartition("/")[2] for sound in sounds] == ["2.mp3"] * 4
        assert page.count('<svg class="roll"') == 4
        whole = ask(f"{pages.url}{sounds[0]}")
        assert whole.headers["content-type"] == "audio/mpeg" and len(whole.data) > 1000
        part = ask(f"{pages.url}{sounds[0]}", Range="bytes=100-199")
        assert (part.status, part.data) == (206, whole.data[100:200])


def test_a_visitor_may_take_the_room_of_a_start_that_is_being_drawn(live: MadeLive, watched, monkeypatch) -> None:
    monkeypatch.setattr("musiclab.dashboards.live.view._MOST_PLACES", 1)
    pages, drawn = watched(), []
    view = pages.watcher.views["made"]

    def drawing(follower: Follower, place: Place) -> None:
        """Real music is drawn, and meanwhile somebody asks for another start."""
        drawn.append(place)
        view.page(Place(0, 1))

    monkeypatch.setattr(view.real_music, "draw", drawing)
    view.page(Place(0, 2))
    pages.look()
    assert (pages.watcher.trouble, drawn) == ("", [Place(0, 2)])


def test_sounds_are_those_of_finished_trials_only(tmp_path: Path, live: MadeLive, watched) -> None:
    (tmp_path / "trials" / "secret" / "samples").mkdir(parents=True)
    (tmp_path / "trials" / "secret" / "samples" / "start-1.mp3").write_bytes(b"secret")
    finished, waiting = live.specs[0, 0].key, live.specs[0, 2].key
    with watched() as pages:
        for key, start in ((waiting, "1"), ("secret", "1"), ("..", "1"), ("%2e%2e%2fsecret", "1"), (finished, "3"),
                           (finished, "0"), (finished, "-1"), (finished, "1.mid"), (finished, "9" * 5000)):  # fmt: skip
            answer = ask(f"{pages.url}/studies/made/sound/{key}/{start}.mp3")
            assert answer.status == 404, (key, start)
            assert b"secret" not in answer.data


@pytest.mark.slow
def test_real_music_is_the_first_row_as_in_the_report(finished: Run, tmp_path: Path, watched) -> None:
    storage = storage_of(finished, tmp_path / "storage")
    results = Results.read(Storage(str(storage)), STUDY)
    place = Place(0, 2)
    real, label = RealMusic(results, Samples(results)), "Real music, block 0, start 2"
    with watched(storage) as pages:
        page = pages.page(f"/studies/{STUDY}?place=0-2")
        first, *others = re.findall(r'<tr id="(\w+)"><th scope="row">(.*?)</tr>', page, re.S)
        assert first[0] == "real" and [name for name, _ in others] == ["s0", "s1", "s2", "s3"]
        assert str(shown(label, real.get(place), frame_of(results.trial_specs), is_silent=True).svg) in first[1]
        assert real.title(place) in first[1]
        (sound,) = re.findall(r'data-sound="([^"]+)"', first[1])
        answer = ask(f"{pages.url}{sound}", Range="bytes=0-99")
        assert (answer.status, answer.headers["content-type"], len(answer.data)) == (206, "audio/mpeg", 100)
        for other in ("0-1", "0-9", "9-1", "x", "0-2-3", "%2e%2e"):  # drawn for nobody, or no start
            assert ask(f"{pages.url}/studies/{STUDY}/real/{other}.mp3").status == 404, other
    shutil.rmtree(storage / "data")
    with watched(storage) as pages:
        page = pages.page(f"/studies/{STUDY}?place=0-2")
    assert "Left out, because the windows of its songs are no longer in the storage." in page
    assert page.count('<svg class="roll"') == 4


# The report.


def test_the_report_is_served_in_a_sandbox(live: MadeLive, watched) -> None:
    with watched() as pages:
        assert ask(f"{pages.url}/studies/made/report").text == "made has no report yet.\n"
        live.storage.write(f"{live.folder}/report.html", b"<p>the report</p>")
        assert 'href="/studies/made/report"' in pages.page()
        answer = ask(f"{pages.url}/studies/made/report")
        assert answer.text == "<p>the report</p>"
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")


# The request to stop.


def test_the_button_asks_the_process_that_runs_the_study_to_stop(live: MadeLive, watched) -> None:
    with watched() as pages:
        page = pages.page()
        (lease,) = re.findall(r'name="lease" value="([^"]+)"', page)
        assert lease == live.lease
        answer = ask(f"{pages.url}/studies/made/stop", "POST", f"form_token={form_token(page)}&lease={lease}".encode())
        assert (answer.status, answer.headers["location"]) == (303, "/studies/made")
        assert stop_requested(live.storage, lease)
        page = pages.page()
        assert "Stopping: running trials finish their epoch" in page and 'name="lease"' not in page


def test_a_run_that_is_over_is_not_stopped_and_neither_is_the_next(live: MadeLive, watched) -> None:
    with watched() as pages:
        page = pages.page()
        for lease in ("", "studies/made/e/runner/0.json", f"{live.lease}/../x"):
            body = f"form_token={form_token(page)}&lease={lease}".encode()
            answer = ask(f"{pages.url}/studies/made/stop", "POST", body)
            assert (answer.status, answer.text.count("\n")) == (409, 1)
        assert ask(f"{pages.url}/studies/made/stop", "POST", f"lease={live.lease}".encode()).status == 403
        assert ask(f"{pages.url}/studies/made/stop").status == 405
        assert not stop_requested(live.storage, live.lease)


def test_a_storage_that_cannot_be_written_to_is_a_sentence(live: MadeLive, watched, monkeypatch) -> None:
    def refuses(storage: Storage, name: str, data: bytes) -> None:
        raise StorageFailed(storage.root, OSError(30, "Read-only file system"))

    with watched() as pages:
        page = pages.page()
        monkeypatch.setattr(Storage, "write", refuses)
        body = f"form_token={form_token(page)}&lease={live.lease}".encode()
        answer = ask(f"{pages.url}/studies/made/stop", "POST", body)
        assert answer.status == 503
        assert answer.text.startswith("The request to stop cannot be written: ") and "Read-only" in answer.text


# Storages.


def test_an_empty_folder_is_watched_until_a_study_begins(tmp_path: Path, watched) -> None:
    with watched() as pages:
        assert "No study has begun there yet." in pages.page("/")
        path = _events_of(pages.page("/"))
        MadeLive(tmp_path)
        pages.look()
        (message,) = _messages(pages.url, path, 1)
        assert any("study-made" in html for _, html, _ in message["parts"])


def test_a_secret_in_the_storage_s_address_is_on_no_page(live: MadeLive) -> None:
    storage = opened(live.storage.root)
    storage.root = "s3://key:secret@bucket/musiclab"
    with serving(Pages(Watcher(storage), Address("127.0.0.1", 0)).server) as url:
        for path, status in (("", 200), ("studies/made", 404)):  # no look has found a study yet
            page = ask(f"{url}{path}", Accept="text/html")
            assert page.status == status
            assert "s3://bucket/musiclab" in page.text and "secret" not in page.text


def test_a_storage_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file", tmp_path / "none", "s3://", "ftp://a/b"):
        with pytest.raises(UserError, match=r"^[^\n]*\.$"):
            opened(str(place))


def test_a_study_that_is_removed_disappears(tmp_path: Path, live: MadeLive, watched) -> None:
    made_study(tmp_path, {"a": [None]}, name="gone")
    with watched() as pages:
        assert "study-gone" in pages.page("/")
        shutil.rmtree(tmp_path / "studies" / "gone")
        assert "study-gone" not in pages.page("/")
        assert ask(f"{pages.url}/studies/gone").status == 404
