"""Hostile names from data to every page, in a storage and a working directory that nobody would wish for."""

import csv
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from musiclab.data.describe import describe
from musiclab.data.midi import Midi
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from musiclab.design.spec import is_folder_name
from musiclab.rendering.midi import to_midi
from musiclab.storage.files import Storage
from musiclab.tracking.uri import database_file, default_uri
from tests.support.browser import THERE, browsing
from tests.support.made_results import made_study
from tests.support.made_songs import write_tar
from tests.support.mlflow_servers import MlflowServer
from tests.support.study_processes import ROOT
from tests.support.waiting import run_to_end, wait_until

EVIL = """<script>window.evil=1</script><img src=x onerror="window.evil=1">"""
TITLES = (
    EVIL, "two\nlines", "..x", "CON", "-rf", "--help", "=cmd|' !A0", "@SUM(1)", "+1", "\u202egpj.exe",
    "\x1b[2J\x1b]0;evil\x07",
    "\udc80\udcff", "é音ü", "$&_#^~%{}\\input{x}", "'\"", "x" * 10_000, "{{ 7*7 }}", "%s%n", "`id`", "~", " .",
    "tab\there",
    "]]>-->", "song", "song #2",
)  # fmt: skip
STUDY = '''"""Does {evil} matter?  =cmd $&_#^~%\\\\input  \\u202e"""
from musiclab.study import Claim, Expect, Grid, Study

if __name__ == "__main__":
    expect = Expect("frechet", {{"latent_dim": 8}}, "above", {{"latent_dim": 16}})
    Study(
        name="音_ü.1", system="vae_nn", space={{"latent_dim": Grid(8, 16)}}, control={{"latent_dim": 16}}, blocks=1,
        objective="frechet", claims=[Claim({evil!r}, "\\x1b[2J" + {evil!r} + "=cmd $&_#", [expect])],
    ).main()
'''.format(evil=EVIL.replace('"', "'"))


def songs(path: Path) -> Path:
    """An archive of a song for each title, under an artist of that name, and a copy of one that is called the same."""
    files = {}
    for number, title in enumerate(TITLES):
        rng = np.random.default_rng(number)
        roll = np.zeros((5, 6 * 32, 128), bool)
        roll[0, ::4, 36] = True
        for step in range(0, roll.shape[1], 2):
            roll[1, step : step + 2, 60 + int(rng.choice([0, 2, 4, 5, 7]))] = True
            roll[3, step, 40] = True
        name = title.replace("/", "\\")
        files[f"{name.strip('.') or 'a'}/{name}.mid"] = to_midi(roll, 2, 120.0)
    files["song/song.midi"] = files["song/song.mid"]
    files["song/song #2.mid"] = files.pop("song #2/song #2.mid")
    return write_tar(path, files)


def lines(text: str) -> None:
    """Fail where a text for a terminal has more in it than lines."""
    odd = [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\n"]
    assert not odd, ascii(odd)


def test_all_are_built_under_names_of_their_own(tmp_path: Path) -> None:
    store = build(Midi(songs(tmp_path / "songs.tar.gz")), WindowSpec(), tmp_path / "stores", workers=1)
    ids = [song.id for song in store.songs]
    assert len(ids) == len(set(ids)) == len(TITLES) + 1
    # A second version of one song, and a song that is called like one.
    assert [name for name in ids if name.startswith("song/")] == ["song/song", "song/song #2", "song/song #2 #2"]
    windows = store.indices(ids)
    assert len(set(windows.tolist())) == len(windows) == len(store.windows)
    assert all(
        text.isprintable() and len(text) <= 200 for song in store.songs for text in (song.id, song.artist, song.title)
    )
    lines(describe(store))


def test_hostile_names_of_what_is_skipped_stay_on_their_line(tmp_path: Path) -> None:
    files = {f"{title.replace('/', '')}.mid": b"no song" for title in TITLES}
    source = Midi(
        write_tar(tmp_path / "songs.tar", files | {"good.mid": to_midi(np.ones((5, 64, 128), bool), 2, 120.0)})
    )
    store = build(source, WindowSpec(), tmp_path / "stores", workers=1)
    assert len(store.skipped) == len(TITLES)
    text = describe(store)
    lines(text)
    assert len(text.partition("Skipped songs")[2].splitlines()) == len(TITLES) + 2


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-rf", "a b", "a\n", "a\x00", "<b>", "é" * 101, "a" * 201]
)
def test_names_that_could_be_no_folder_s_are_none(name: str) -> None:
    assert not is_folder_name(name)
    assert is_folder_name("音_ü.1")
    assert is_folder_name("a" * 200)


def test_a_database_s_address_is_plain_if_it_can_be(tmp_path: Path) -> None:
    odd = Storage(str(tmp_path / "ü #1 50% 'q'"))
    assert default_uri(odd) == f"sqlite:///{tmp_path}/ü #1 50% 'q'/mlflow.db"
    odd = Storage(str(tmp_path / "why?not=1"))
    assert database_file(default_uri(odd)) == tmp_path / "why?not=1" / "mlflow.db"


def test_a_working_directory_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = 'cd "$1" && rmdir "$1" && exec "$2" -c "from musiclab.cli.main import main; main([\'report\', \'x\'])"'
    ended = subprocess.run(
        ["sh", "-c", script, "sh", tmp_path / "gone", sys.executable], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == "error: The working directory no longer exists; change to one that does.\n"


class Place:
    """A storage with an odd name, a working directory that cannot be written to, and a study that ran there."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self.storage = folder / "ü ñ 音 #1 50% 'q' \"$HOME\" &<b>;"
        self.working = folder / "read-only"
        self.working.mkdir(mode=0o555)
        file = folder / "study 'q'.py"
        file.write_text(STUDY, encoding="utf-8")
        self.data = songs(folder / "songs #1 50%.tar.gz")
        self.out = self.run(file, "--data", f"midi:{self.data}", *options, "--in-process", "--storage", self.storage)

        # Another study, so that there is an overview, whose variants have such names too.
        measured = {"set/frechet": 1.0}
        made_study(self.storage, {"16": [measured], EVIL: [measured], "=cmd": [f"{EVIL}\x1b[2J"]}, question=EVIL)
        self.reported = self.musiclab("report", self.storage)

    def musiclab(self, *words: object) -> str:
        """What a `musiclab` command says, which must end well."""
        return self.run("-c", "import sys; from musiclab.cli.main import main; main(sys.argv[1:])", *words)

    def run(self, *words: object) -> str:
        # Who is root may write anywhere, unless that right is given up.
        give_up = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
        command = [*give_up, sys.executable, *map(str, words)]
        ended = run_to_end(command, cwd=self.working, env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return ended.stdout + ended.stderr

    @property
    def edition(self) -> Path:
        (report,) = self.storage.glob("studies/音_ü.1/*/report.html")
        return report.parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> Place:
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root can write to any folder, and there is no setpriv to give that up")
    return Place(tmp_path_factory.mktemp("hostile"), tiny)


@pytest.mark.slow
def test_a_study_runs_there_and_leaves_nothing_elsewhere(place: Place) -> None:
    assert list(place.working.iterdir()) == []
    assert (place.storage / "mlflow.db").is_file()
    assert sorted(path.name for path in place.storage.parent.iterdir()) == sorted(
        ["read-only", "songs #1 50%.tar.gz", "study 'q'.py", place.storage.name]
    )
    # The hint can be given to a shell as it is.
    (hint,) = [line for line in place.out.splitlines() if "--backend-store-uri" in line]
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {hint.partition('MLflow: ')[2]}"], capture_output=True, text=True
    )
    assert words.stdout.splitlines()[-1] == f"sqlite:///{place.storage}/mlflow.db"


@pytest.mark.slow
def test_what_commands_print_cannot_rule_a_terminal(place: Place, tmp_path: Path) -> None:
    lines(place.out)
    lines(place.musiclab("data", "describe", f"midi:{place.data}", "--storage", place.storage))
    lines(place.reported)


@pytest.mark.slow
def test_any_song_can_be_named_as_a_style(place: Place, tmp_path: Path) -> None:
    (table,) = place.storage.glob("data/*/songs.json")
    titles = {song["title"] for song in json.loads(table.read_text())["songs"]}
    wanted = [title for title in titles if any(mark in title for mark in ("<script>", "=cmd", "-rf", "{{", "evil"))]
    assert len(wanted) >= 5
    style = " + ".join('song:"{}"'.format(title.replace('"', '""')) for title in wanted)
    out = tmp_path / "<b>out 'q' #%"
    said = place.musiclab(
        "generate",
        "vae_nn",
        "--study",
        "音_ü.1",
        "--storage",
        place.storage,
        "--style",
        style,
        "--samples",
        "1",
        "--out",
        out,
    )
    lines(said)
    assert sorted(path.suffix for path in out.iterdir()) == [".mid", ".mp3", ".png"]


@pytest.mark.slow
def test_tables_for_other_programs_are_theirs(place: Place) -> None:
    with (place.edition / "results.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert cells
    assert not [cell for cell in cells if cell[:1] in "=+@\t" and cell]
    results = json.loads((place.edition / "results.json").read_text(encoding="utf-8"))
    assert EVIL.replace('"', "'") in json.dumps(results, ensure_ascii=False)


class Elements(HTMLParser):
    """The tags of a page with their attributes, and what stands in its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts.append(data)


@pytest.mark.slow
def test_pages_hold_the_names_as_text(place: Place) -> None:
    pages = [*place.storage.glob("studies/*/*/report.html"), place.storage / "overview.html"]
    assert len(pages) == 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found = Elements(text)
        assert "window.evil" in text
        assert not any("window.evil" in script for script in found.scripts)
        assert not [tag for tag, attributes in found.tags if any(name.startswith("on") for name in attributes)]


@pytest.mark.slow
def test_mlflow_has_the_report_under_these_names(place: Place) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place.storage}/mlflow.db")
    experiment = client.get_experiment_by_name("musiclab/音_ü.1")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (study,) = [run for run in runs if run.data.tags["musiclab.role"] == "study"]
    listed = [artifact.path for artifact in client.list_artifacts(study.info.run_id)]
    assert "report.html" in listed
    fetched = Path(client.download_artifacts(study.info.run_id, "report.html"))
    assert fetched.read_bytes() == (place.edition / "report.html").read_bytes()


@pytest.fixture
def server(place: Place, tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path / "server", f"sqlite:///{place.storage}/mlflow.db")
    server.start()
    yield server
    server.end()


@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium here")
def test_no_page_runs_what_data_say(place: Place, server: MlflowServer, tmp_path: Path) -> None:
    (study,) = [line.split()[-1] for line in place.out.splitlines() if "the study http" in line]
    with browsing(tmp_path / "profile") as browser:
        for page in (place.edition / "report.html", place.storage / "overview.html"):
            browser.open(page)
            assert "window.evil" in browser.run("return document.body.innerText")
            assert browser.run("return window.evil") is None
        browser.run("location.href = arguments[0]", f"{server.uri}/#{study.partition('#')[2]}")
        wait_until(lambda: "matter?" in browser.run("return document.body.innerText"), "MLflow's page")
        assert browser.run("return window.evil") is None
