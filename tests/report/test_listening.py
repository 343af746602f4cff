"""The listening section: what it shows is what the storage holds, and a browser plays it."""

import base64
import html
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from musiclab.analysis.results import Results
from musiclab.data.notes import notes
from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.design.listening import Place
from musiclab.design.trials import TrialSpec, Variant
from musiclab.hashing import content_hash
from musiclab.rendering.midi import from_midi, to_midi
from musiclab.rendering.mp3 import RATE, to_mp3
from musiclab.rendering.sound import Player
from musiclab.report.html.listening import LARGEST, LISTENING_CSS, LISTENING_JS, drawn, listening
from musiclab.report.samples import RealMusic, Samples
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.training.streams import Block
from musiclab.training.windows import block_windows
from tests.support.browser import THERE, Browser, browsing
from tests.support.made_records import made_cost, made_plan, made_record
from tests.support.waiting import wait_until

STEPS, CONTINUATION, SAMPLES, SEED = 32, 2, 4, "c0ffee"
NAMES = ("8", "16", "32")
MP3 = Player.mp3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real music is not played: that takes a second a sample."""
    monkeypatch.setattr(Player, "mp3", lambda self, midi: b"sound of " + content_hash(midi.hex()).encode())


@pytest.fixture
def make(store: WindowStore, tmp_path: Path) -> Callable[..., Results]:
    """What makes finished studies over the store, read back from a storage."""

    def made(
        names: tuple[str, ...] = NAMES,
        *,
        blocks: int = 2,
        seed: str = SEED,
        unfinished: tuple[tuple[str, int], ...] = (),
        startless: tuple[str, ...] = (),
        data: dict[str, str] | None = None,
        sound: Callable[[int], bytes] = lambda number: f"sound {number}".encode(),
        kept: bool = True,
    ) -> Results:
        folder = tmp_path / f"storage-{len(list(tmp_path.iterdir()))}"
        storage = Storage(str(folder))
        if kept:
            shutil.copytree(store.folder, folder / "data" / store.fingerprint)
        records, cells, count = Records(storage), [], 0
        for name in names:
            config = {"max_train": 0, "max_eval": 32, "starts": 8, "continuation": CONTINUATION, "steps": STEPS}
            variant = Variant("vae_nn", {"latent_dim": name}, config, (data or {}).get(name, store.fingerprint))
            for index in range(blocks):
                block = Block(0, index)
                cell = TrialSpec(variant, block, {"measure": f"{len(cells):04}"})
                cells.append(cell)
                if (name, index) in unfinished:
                    continue
                samples = {}
                for number in range(1, SAMPLES + 1):
                    count += 1
                    roll = np.random.default_rng(count).random((5, CONTINUATION * STEPS, 128)) < 0.01
                    if name not in startless:
                        start = block_windows(store, block, 0, 32, 8).starts[number - 1, 0]
                        roll = np.concatenate([store.batch(np.array([start]))[0], roll], axis=1)
                    samples |= {f"start-{number}.mid": to_midi(roll, 2), f"start-{number}.mp3": sound(count)}
                record = made_record({}, key=cell.key, config=config, samples=dict.fromkeys(samples, "hash"))
                records.put(cell.key, record, made_cost(), samples)
        plan = made_plan(
            question="?", edition=seed, began=1.0, base={"data": "made"}, blocks=blocks, trial_specs=tuple(cells),
            controls={cell.variant.name: cells[0].variant.name for cell in cells},
        )  # fmt: skip
        records.plans.put("studies/made/e", plan)
        return Results.read(storage, "made")

    return made


def parsed(results: Results, **options: int) -> ElementTree.Element:
    return ElementTree.fromstring(listening(results, **options))


def text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def table(section: ElementTree.Element) -> tuple[list[Place], dict[str, list[ElementTree.Element]]]:
    """The columns' places, and the cells of each row by its name."""
    heads = [re.match(r"\s*block (\d+), start (\d+)", head.text) for head in section.findall(".//thead//th")]
    places = [Place(int(head[1]), int(head[2])) for head in heads]
    rows = {
        "".join(row.find("th/div/div/span").itertext()): row.findall("td") for row in section.findall(".//tbody/tr")
    }
    return places, rows


def drawn_notes(cell: ElementTree.Element) -> list[np.ndarray]:
    """What a cell's roll draws, by track: start, length, pitch of each note."""
    paths = [path.get("d") for path in cell.findall("svg/path") if "transform" in path.attrib]
    found = [re.findall(r"M(\d+)-(\d+)h(\d+)", path) for path in paths]
    return [np.array([(int(x), int(n), int(y)) for x, y, n in of]).reshape(-1, 3) for of in found]


def same_notes(cell: ElementTree.Element, roll: np.ndarray) -> bool:
    return all(np.array_equal(*pair) for pair in zip(drawn_notes(cell), map(notes, roll), strict=True))


def key_of(results: Results, name: str, block: int) -> str:
    return next(c.key for c in results.trial_specs if c.variant.name == name and c.block.index == block)


def test_each_cell_shows_and_plays_its_sample(make: Callable[..., Results]) -> None:
    results = make()
    records, (places, rows) = Records(results.storage), table(parsed(results))
    assert len(places) == 4 and places == sorted(places)
    names = ["latent_dim=8", "latent_dim=16", "latent_dim=32"]
    assert list(rows) == ["Real music", *names]
    for name in names:
        for place, cell in zip(places, rows[name], strict=True):
            kept = records.samples(key_of(results, name, place.block))
            roll, _, _ = from_midi(kept[f"start-{place.start}.mid"])
            assert roll.shape[1] == (1 + CONTINUATION) * STEPS and same_notes(cell, roll)
            assert base64.b64decode(cell.find("script").text) == kept[f"start-{place.start}.mp3"]
            label = f"{name}, block {place.block}, start {place.start}"
            assert cell.find("svg/title").text == label
            assert cell.find("div/button").get("aria-label") == f"Play {label}"
            assert float(cell.get("data-seconds")) == 3 * 8.0
            assert float(cell.get("data-bar")) == 2.0
    sounds = [cell.find("script").text for cells in rows.values() for cell in cells]
    assert len(set(sounds)) == len(sounds) == 16


def test_strips_are_labelled_in_every_row(make: Callable[..., Results]) -> None:
    for row in parsed(make()).findall(".//tbody/tr"):
        assert [span.text for span in row.findall("th/div/div[@class='tracks']/span")] == list(TRACKS)


def test_real_music_is_what_follows_the_start_in_its_song(make: Callable[..., Results], store: WindowStore) -> None:
    results = make(blocks=3)
    real, lengths = RealMusic(results, Samples(results)), set()
    for place in Samples(results).places():
        first = block_windows(store, Block(0, place.block), 0, 32, 8).starts[place.start - 1, 0]
        (song,) = [song for song in store.songs if song.first <= first < song.first + song.count]
        windows = [first + step for step in range(1 + CONTINUATION) if first + step < song.first + song.count]
        lengths.add(len(windows))
        sample = real.get(place)
        expected = np.concatenate(list(store.batch(np.array(windows))), axis=1)
        assert np.array_equal(sample.roll, expected)
        assert (sample.start_steps, sample.resolution, sample.tempo) == (STEPS, 2, 120.0)
        assert song.title in real.title(place)
    assert lengths == {2, 3}  # songs that end early are among them
    places, rows = table(parsed(results))
    for place, cell in zip(places, rows["Real music"], strict=True):
        assert same_notes(cell, real.get(place).roll)


def test_real_music_sounds_as_a_sample_of_it_would(
    make: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Player, "mp3", MP3)
    results = make()
    sample = RealMusic(results, Samples(results)).get(Place(1, 2))
    assert sample.mp3 == Player().mp3(to_midi(sample.roll, 2, 120.0))


def test_bars_of_a_column_stand_below_one_another(make: Callable[..., Results]) -> None:
    _, rows = table(parsed(make(startless=("32",))))
    for name, cells in rows.items():
        for cell in cells:
            first, _, width, _ = map(int, cell.find("svg").get("viewBox").split())
            # From the end of the start on, all show as much; who has no start has nothing where others have one.
            assert (first, width) == (-STEPS if name == "latent_dim=32" else 0, (1 + CONTINUATION) * STEPS)


def test_what_continues_no_start_has_none_marked(make: Callable[..., Results]) -> None:
    section = parsed(make(startless=("32",)))
    _, rows = table(section)
    for name, cells in rows.items():
        for cell in cells:
            marked = any("--border" in path.get("stroke", "") for path in cell.findall("svg/path"))
            assert marked == (name != "latent_dim=32")
    noted = [text(row.find("th")) for row in section.findall(".//tbody/tr") if "no start" in text(row.find("th"))]
    assert len(noted) == 1 and noted[0].startswith("latent_dim=32")


def test_real_music_is_shown_where_nothing_continues_a_start(make: Callable[..., Results]) -> None:
    _, rows = table(parsed(make(startless=NAMES)))
    assert all(cell.find("script") is not None for cell in rows["Real music"])


def test_the_draw_is_the_seed_s(make: Callable[..., Results]) -> None:
    results = make(blocks=3)
    samples = Samples(results)
    order = drawn(samples, "a")
    assert sorted(order) == [Place(block, start) for block in range(3) for start in range(1, 5)]
    assert order == drawn(Samples(make(blocks=3)), "a")
    assert len({tuple(drawn(samples, seed)[:4]) for seed in "abcdefgh"}) == 8
    # More blocks add places and move none.
    assert [place for place in order if place.block < 2] == drawn(Samples(make(blocks=2)), "a")
    section = parsed(results)
    assert set(table(section)[0]) == set(drawn(samples, SEED)[:4])
    assert SEED in text(section) and "No cherry-picking" in text(section)
    assert "one start window, the same for every row." in text(section)
    assert "drawn from the 12 start windows for which every variant has a sample" in text(section)


def test_only_places_where_every_variant_has_finished_are_drawn(make: Callable[..., Results]) -> None:
    for seed in "abcdef":
        results = make(blocks=3, seed=seed, unfinished=(("16", 0), ("32", 2)))
        places, _ = table(parsed(results))
        assert {place.block for place in places} == {1}


def test_a_variant_that_has_finished_nowhere_is_shown_as_such(make: Callable[..., Results]) -> None:
    results = make(unfinished=(("16", 0), ("16", 1)))
    Records(results.storage).put_failure(key_of(results, "latent_dim=16", 0), "no luck", "", again=False)
    section = parsed(Results.read(results.storage, "made"))
    places, rows = table(section)
    said = {place.block: text(cell) for place, cell in zip(places, rows["latent_dim=16"], strict=True)}
    assert said == {0: "This trial failed.", 1: "This trial has not finished."}
    assert "for which the most variants (2 of 3) have a sample" in text(section)


def test_a_study_without_samples_says_so(make: Callable[..., Results]) -> None:
    everything = tuple((name, block) for name in NAMES for block in range(2))
    section = parsed(make(unfinished=everything))
    assert "nothing to hear" in text(section) and section.find(".//table") is None


def test_what_a_trial_has_not_played_is_played_for_the_page(make: Callable[..., Results]) -> None:
    results = make(blocks=1)
    name = f"trials/{key_of(results, 'latent_dim=16', 0)}/samples/start-1"
    results.storage.remove(f"{name}.mp3")
    _, rows = table(parsed(results))
    midi = results.storage.read(f"{name}.mid")
    played, kept, *_ = (base64.b64decode(cell.find("script").text) for cell in rows["latent_dim=16"])
    assert played == b"sound of " + content_hash(midi.hex()).encode() != kept


def test_samples_that_are_gone_leave_a_sentence(make: Callable[..., Results]) -> None:
    results = make(blocks=1)
    folder = f"trials/{key_of(results, 'latent_dim=16', 0)}/samples"
    results.storage.remove(f"{folder}/start-2.mid")
    results.storage.write(f"{folder}/start-3.mid", b"junk")
    _, rows = table(parsed(results))
    first, gone, damaged, well = rows["latent_dim=16"]
    assert first.find("script") is not None
    assert text(gone) == "This sample is no longer in the storage."
    assert text(damaged) == "This sample is damaged."
    assert well.find("script") is not None
    assert all(cell.find("script") is not None for cell in rows["latent_dim=32"])


def test_real_music_that_is_not_to_be_had_leaves_a_sentence(
    make: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Real music is left out, because "
    section = parsed(make(kept=False))
    assert f"{said}the windows of its songs are no longer in the storage." in text(section)
    assert "Real music" not in table(section)[1]
    section = parsed(make(data={"16": "0" * 20}))
    assert f"{said}the variants cut songs into different windows" in text(section)
    assert "the music there is not the same in every row" in text(section)
    results = make()
    monkeypatch.setattr("musiclab.report.samples.block_windows", lambda _, block, *rest: other(results, block))
    _, rows = table(parsed(results))
    assert {text(cell) for cell in rows["Real music"]} == {"The trials started from other music."}


def other(results: Results, block: Block) -> object:
    """The block's starts in another order."""
    store = RealMusic(results, Samples(results))._store
    found = block_windows(store, block, 0, 32, 8)
    return type("Windows", (), {"starts": np.roll(found.starts, 1, axis=0)})


def test_names_from_data_stay_text(make: Callable[..., Results]) -> None:
    hostile = (
        "<script>alert(1)</script>",
        '"\' onfocus="alert(1)',
        "</title></svg><img src=x onerror=alert(1)>",
        "{{ 7*7 }}",
    )
    section = parsed(make(hostile))
    _, rows = table(section)
    assert list(rows)[1:] == [f"latent_dim={name}" for name in hostile]
    assert not {"img"} & {element.tag for element in section.iter()}
    assert {script.get("type") for script in section.iter("script")} == {"text/plain"}
    assert not [name for element in section.iter() for name in element.attrib if name.startswith("on")]


def test_nothing_in_it_is_fetched(make: Callable[..., Results]) -> None:
    section = parsed(make())
    fetching = {"src", "href", "srcset", "poster", "action", "data"}
    assert not [element.tag for element in section.iter() if fetching & set(element.attrib)]
    for text_ in (LISTENING_CSS, LISTENING_JS):
        assert not re.search(r"url\(|@import|fetch\(|XMLHttp|localStorage|sessionStorage|cookie", text_)
        assert set(re.findall(r"https?://[^\"' ]*", text_)) <= {"http://www.w3.org/2000/svg"}


def test_eight_variants_on_four_windows_fit(make: Callable[..., Results], monkeypatch: pytest.MonkeyPatch) -> None:
    forty_seconds = 200_567  # bytes, of a start and four windows that continue it
    sound = lambda number: bytes(forty_seconds)  # noqa: E731
    monkeypatch.setattr(Player, "mp3", lambda self, midi: bytes(forty_seconds))
    section = listening(make(tuple(map(str, range(8))), sound=sound))
    places, rows = table(ElementTree.fromstring(section))
    assert (len(places), len(rows)) == (4, 9)
    assert 9e6 < len(section.encode()) < LARGEST < 25e6


def test_what_does_not_fit_is_left_out_and_named(make: Callable[..., Results]) -> None:
    results = make(sound=lambda number: bytes(30_000))
    samples, order = Samples(results), drawn(Samples(results), SEED)
    whole = listening(results)
    section = parsed(results, largest=len(whole) * 2 // 3)
    places, rows = table(section)
    assert places == sorted(order[:2]) and len(rows) == 4
    left = "; ".join(f"block {place.block}, start {place.start}" for place in sorted(order[2:4]))
    assert f"These columns would have come next: {left}." in text(section)
    small = listening(results, largest=100_000)
    section = ElementTree.fromstring(small)
    places, rows = table(section)
    assert places == order[:1]
    assert list(rows)[:2] == ["Real music", "latent_dim=8"] and len(rows) == 3  # the control stays
    (lacking,) = set(samples.variants) - set(rows)
    assert "1 of 3 variants are left out" in text(section)
    assert text(section.find("details/p")) == lacking
    assert len(small) < 110_000
    nothing = parsed(results, largest=1_000)
    assert "3 of 3 variants are left out" in text(nothing) and nothing.find(".//table") is None


def test_controls_are_left_out_last_and_the_others_by_the_draw(make: Callable[..., Results]) -> None:
    names, left_out = tuple("abcd"), set()
    for seed in "123456":
        results = make(names, blocks=1, seed=seed, sound=lambda number: bytes(30_000))
        _, rows = table(parsed(results, largest=100_000))
        assert "latent_dim=a" in rows and len(rows) == 3
        left_out.add(tuple(rows)[2])
    assert len(left_out) > 1


def test_colours_can_be_told_from_what_lies_behind_them() -> None:
    themes = re.findall(r"\.listening \{((?:[^{}]*--drums)[^}]*)\}", LISTENING_CSS)
    assert len(themes) == 2
    for theme in themes:
        colors = dict(re.findall(r"--(\w+): (#\w+);", theme))
        for behind in ("strip", "start"):
            for name in (*map(str.lower, TRACKS), "border", "head"):
                assert contrast(colors[name], colors[behind]) >= 3, (name, behind)


def contrast(first: str, second: str) -> float:
    """WCAG's ratio of two colours."""

    def luminance(color: str) -> float:
        digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
        parts = np.array([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


# In a browser: as a page of its own, and as MLflow shows artifacts, in a sandboxed frame without an origin.
FRAMES = {
    "page": None,
    "srcdoc": "frame.srcdoc = page",
    "blob": 'frame.src = URL.createObjectURL(new Blob([page], {type: "text/html"}))',  # as MLflow 3.17 does it
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    # In a process of its own a sandboxed frame would tell the driver nothing of its console and its requests.
    flag = "--disable-features=IsolateSandboxedIframes"
    with browsing(tmp_path_factory.mktemp("browser") / "profile", 1280, 900, flag) as made:
        yield made


@pytest.fixture(params=FRAMES)
def player(
    request: pytest.FixtureRequest, browser: Browser, make: Callable[..., Results], tmp_path: Path
) -> Iterator[Browser]:
    """A page of two variants on four windows, with sounds that play, opened; it must leave nothing in the console."""
    tone = to_mp3(0.1 * np.sin(np.arange(24 * RATE) * 0.1))
    Player.mp3 = lambda self, midi: tone  # the fixture `quick` puts it back
    section = listening(make(("8", "16"), sound=lambda number: tone))
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>made</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{LISTENING_CSS}</style>"
        f"</head><body>{section}<script>{LISTENING_JS}</script></body></html>"
    )
    file = tmp_path / "page.html"
    if FRAMES[request.param]:
        file.write_text(
            '<!doctype html><meta charset="utf-8"><title>frame</title>'
            '<iframe sandbox="allow-scripts" width="1200" height="600"></iframe>'
            f'<script type="text/plain" id="page">{base64.b64encode(page.encode()).decode()}</script><script>'
            "const frame = document.querySelector('iframe');"
            "const bytes = Uint8Array.from(atob(document.querySelector('#page').textContent), (c) => c.charCodeAt(0));"
            f"const page = new TextDecoder().decode(bytes); {FRAMES[request.param]};</script>",
            encoding="utf-8",
        )
    else:
        file.write_text(page, encoding="utf-8")
    browser.emulate()
    browser.open(Path("/dev/null"))
    browser.console(), browser.requests()
    browser.open(file)
    if FRAMES[request.param]:
        browser.enter("iframe")
        assert (
            browser.run("try { return localStorage && 'open'; } catch (error) { return 'sandboxed'; }") == "sandboxed"
        )
    eventually(lambda: len(buttons(browser)) == 12)
    yield browser
    assert browser.console() == []
    assert [url for url in browser.requests() if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


def eventually(true: Callable[[], object]) -> None:
    wait_until(true, "what the page shows")


def buttons(browser: Browser) -> list[str]:
    return browser.run("return [...document.querySelectorAll('.listening button')].map((each) => each.ariaLabel)")


def pressed(browser: Browser) -> list[str]:
    """The labels of what plays."""
    script = "return [...document.querySelectorAll('.listening [aria-pressed=true]')].map((each) => each.ariaLabel)"
    return browser.run(script)


def head(browser: Browser, number: int) -> float:
    """The step at which a cell's playhead is, counted in the order of buttons; -1 where it has none yet."""
    script = (
        "const head = document.querySelectorAll('.listening .cell')[arguments[0]].querySelector('.playhead');"
        "return head ? head.transform.baseVal.getItem(0).matrix.e : -1"
    )
    return browser.run(script, number)


def focused(browser: Browser) -> str:
    return browser.run("return document.activeElement.ariaLabel")


def focus(browser: Browser, number: int) -> None:
    browser.run("document.querySelectorAll('.listening button')[arguments[0]].focus()", number)


@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium with chromedriver here")
def test_what_a_frame_complains_of_and_asks_for_is_seen(browser: Browser, tmp_path: Path) -> None:
    page = "<script>console.error('a fault'); new Image().src = 'http://localhost:8/x.png';</script>"
    file = tmp_path / "page.html"
    file.write_text(f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page)}"></iframe>')
    browser.console(), browser.requests()
    browser.open(file)
    seen: list[str] = []
    eventually(lambda: seen.extend(browser.requests()) or "http://localhost:8/x.png" in seen)
    assert any("a fault" in message for message in browser.console())


@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium with chromedriver here")
def test_it_is_played_by_keyboard_one_at_a_time(player: Browser) -> None:
    labels = buttons(player)
    player.press("Tab")
    assert focused(player) == labels[0]
    assert player.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    focus(player, 4)
    assert head(player, 4) == -1
    player.press("Space")
    eventually(lambda: head(player, 4) > 2)
    assert pressed(player) == [labels[4]]
    player.press("Down")
    assert focused(player) == labels[8]
    player.press("Enter")
    eventually(lambda: head(player, 8) > 1)
    assert pressed(player) == [labels[8]]
    stopped = head(player, 4)
    time.sleep(0.5)
    assert head(player, 4) == stopped > 2
    player.press("Space")
    eventually(lambda: pressed(player) == [])
    here = head(player, 8)
    player.press("Right")
    assert head(player, 8) == pytest.approx(here + 8, abs=0.1)  # a bar
    player.press("Left", "Left")
    assert head(player, 8) == pytest.approx(max(here - 8, 0), abs=0.1)
    player.press("Home")
    assert head(player, 8) == 0
    player.press("Up", "Up")
    assert focused(player) == labels[0]
    focus(player, 4)
    player.press("Space")  # goes on where it was
    eventually(lambda: head(player, 4) > stopped)
    assert head(player, 4) < stopped + 16


@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium with chromedriver here")
def test_a_click_on_a_roll_moves_there(player: Browser) -> None:
    roll = "tbody tr:nth-child({}) td:nth-of-type(2) svg.roll"
    player.click(roll.format(2), across=0.5)
    assert head(player, 5) == pytest.approx(48, abs=1)
    assert pressed(player) == []
    player.click("tbody tr:nth-child(2) td:nth-of-type(2) button")
    eventually(lambda: head(player, 5) > 50)
    player.click(roll.format(2), across=0.25)
    eventually(lambda: 24 <= head(player, 5) < 44)
    player.click(roll.format(3), across=0.9)  # another one is only got ready
    assert pressed(player) == [buttons(player)[5]]
    player.click(roll.format(2), across=0.99)
    eventually(lambda: pressed(player) == [])  # it ends
    assert head(player, 5) == 96


@pytest.mark.parametrize("player", ["page"], indirect=True)
@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium with chromedriver here")
def test_who_wants_less_motion_gets_beats(player: Browser) -> None:
    player.emulate(prefers_reduced_motion="reduce")
    focus(player, 4)
    player.press("Space")
    seen = set()
    eventually(lambda: seen.add(head(player, 4)) or max(seen) >= 6)
    assert {step % 2 for step in seen - {-1}} == {0} and len(seen) >= 4


@pytest.mark.parametrize("player", ["page"], indirect=True)
@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium with chromedriver here")
def test_nothing_is_decoded_before_it_is_played(player: Browser) -> None:
    assert player.run("return document.querySelectorAll('audio, video').length") == 0
    focus(player, 1)
    player.press("Space")
    eventually(lambda: head(player, 1) > 0)
    assert [head(player, number) for number in range(12) if number != 1] == [-1] * 11


@pytest.mark.parametrize("player", ["page"], indirect=True)
@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium with chromedriver here")
def test_a_phone_scrolls_the_table_and_not_the_page(player: Browser) -> None:
    player.phone(390, 844)
    try:
        assert player.run("return document.documentElement.scrollWidth") == 390
        box = "document.querySelector('.rolls')"
        assert player.run(f"return {box}.scrollWidth > {box}.clientWidth + 300")
        name = "document.querySelector('.listening tbody th').getBoundingClientRect().left"
        before = player.run(f"return {name}")
        assert player.run(f"{box}.scrollLeft = 300; return {name}") == before
        focus(player, 3)
        seen = player.run(
            "const button = document.activeElement.getBoundingClientRect();"
            "return [document.querySelector('.listening tbody th').getBoundingClientRect().right, button.left, "
            "button.right]"
        )
        assert seen[0] <= seen[1] < seen[2] <= 390
    finally:
        player._chrome("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("player", ["page"], indirect=True)
@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium with chromedriver here")
def test_print_has_rolls_and_no_players(player: Browser) -> None:
    player._chrome("Emulation.setEmulatedMedia", media="print")
    try:
        shown = "return [...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility()).length"
        assert player.run(shown, ".player, .keys") == 0
        assert player.run(shown, "svg.roll") == 12
    finally:
        player._chrome("Emulation.setEmulatedMedia", media="")
