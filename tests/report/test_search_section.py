"""The report's section on a search: what it shows, that it stays light for thousands, that names stay text."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musiclab.analysis.results import Results
from musiclab.design.search import Categorical, Float
from musiclab.rendering.midi import to_midi
from musiclab.report.exports import results_json, search_csv
from musiclab.report.html.page import page
from musiclab.report.html.search import search_section
from musiclab.report.html.search_marks import MARKS, field_axis, mark_swatch
from musiclab.report.sentences.search import STATES
from musiclab.report.write import write_report
from tests.report.test_page import HOSTILE, Parsed
from tests.support.browser import THERE, browsing
from tests.support.made_search import CONFIG, CONTROL, SPACE, made_end, made_search, made_values

LIGHT = 3_000_000


def _seven(mean: float) -> list[float]:
    return [mean + 0.1 * step for step in (-3, -2, -1, 0, 1, 2, 3)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return made_search(
        tmp_path_factory.mktemp("made"), 40, confirmed={13: _seven(1.9), 9: _seven(1.6)}, control=_seven(2.5)
    )


@pytest.fixture(scope="module")
def parsed(made: Results) -> Parsed:
    return Parsed(page(made))


def test_the_section_has_all_its_parts_and_the_page_is_well_formed(made: Results, parsed: Parsed) -> None:
    assert parsed.wrong == []
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))
    section = search_section(made)
    assert section is not None
    assert [slice_.heading for slice_ in section.slices] == ["lr", "layers", "strength, in 10 of 28", "norm"]
    assert section.history and section.parallel and section.pair and section.rungs
    assert section.fronts == [] and section.heard == []
    assert section.pair.heading == "lr and layers"
    assert "#search" in parsed.attributes("href")


def test_what_did_not_finish_has_marks_of_its_own_and_no_score(made: Results) -> None:
    section = search_section(made)
    assert section is not None and section.history is not None
    kinds = [kind for kind, _ in section.history.marks]
    assert kinds == ["best", "finished", "pruned", "diverged", "failed", "confirmed"]
    for words in ("ended early", "diverged", "failed"):
        assert f">{words}</text>" in section.history.svg
    shapes = {kind: (style.strokes, style.reach) for kind, style in MARKS.items()}
    assert len(set(shapes.values())) == len(MARKS)  # not by colour alone
    assert set(STATES) <= set(MARKS)
    assert len({re.sub("swatch", "", mark_swatch(kind, "swatch")) for kind in MARKS}) == len(MARKS)


def test_the_ranking_stands_beside_the_confirmed_one(made: Results, parsed: Parsed) -> None:
    section = search_section(made)
    assert section is not None and made.search is not None
    names = [(row.name, row.confirmed_place) for row in section.ranking]
    assert names == [("control", ""), ("proposal 9", "1"), ("proposal 13", "2")]
    (_, nine, _) = section.ranking
    own = next(each for each in made.search.confirmed if each.name == "proposal 9")
    overstated = own.overstated(made.search.objective)
    (scores,) = nine.scores
    assert scores[2].replace("−", "-") == f"{overstated:+.3g}"
    assert "What confirmation left of its ranking" in parsed.all("h3")
    assert any("lr=" in text and "strength=" in text for text in parsed.all("span", class_="small values"))


def test_importance_comes_with_the_caution_that_it_tests_nothing(parsed: Parsed) -> None:
    (note,) = [text for text in parsed.all("p", class_="note") if "PED-ANOVA" in text]
    assert "It tests nothing" in note
    assert "With 28 finished proposals the best tenth is 3" in note
    assert {"70 %", "20 %", "6 %", "4 %"} <= set(parsed.all("td", class_="num"))


def test_cost_stands_beside_that_of_a_full_grid(made: Results) -> None:
    section = search_section(made)
    assert section is not None
    cost = dict(section.cost)
    assert cost["a full grid"].startswith("150 trials, about 30 min")
    assert cost["trials"].startswith("40 have ended, 6 min")
    assert cost["none ended early"].startswith("about 8 min")


def test_two_thousand_proposals_stay_light(tmp_path: Path) -> None:
    results = made_search(
        tmp_path, 2000, confirmed={13: _seven(1.9), 9: _seven(1.6)}, control=_seven(2.5), written=False
    )
    html = page(results)
    assert len(html.encode()) < LIGHT
    assert Parsed(html).wrong == []
    assert "2000 of 2000 proposals" in html
    assert "search.csv has them all" in html
    assert len(search_csv(results.search).splitlines()) == 2001 if results.search else False


def test_many_points_are_thinned_and_few_are_not(tmp_path: Path) -> None:
    def dots(count: int) -> int:
        section = search_section(made_search(tmp_path / str(count), count, early=False, written=False))
        assert section is not None and section.history is not None
        longest = max(re.findall(r' d="([^"]*)"', section.history.svg), key=len)
        return longest.count("M")

    assert dots(50) == 50
    assert 200 < dots(2000) <= 600


def _sample() -> dict[str, bytes]:
    roll = np.zeros((5, 24, 128), bool)
    roll[1, ::2, 60] = True
    return {"start-1.mid": to_midi(roll, 2, 120.0), "start-1.mp3": b"ID3 sound"}


def test_members_of_a_front_lead_to_their_sound(tmp_path: Path) -> None:
    results = made_search(
        tmp_path, 30, also=("music/empty_bars",), early=False, samples=_sample(),
        confirmed={9: _seven(1.6)}, control=_seven(2.5),
    )  # fmt: skip
    section = search_section(results)
    assert section is not None and results.search is not None
    heard = [each.number for each in section.heard]
    assert set(heard) <= set(results.search.front)
    assert 1 < len(heard) <= 8
    (front,) = section.fronts
    html = page(results)
    parsed = Parsed(html)
    assert parsed.wrong == []
    links = [value for value in parsed.attributes("href") if value.startswith("#hear-")]
    assert set(links) == {f"#hear-{each}" for each in heard}
    assert {value.removeprefix("#") for value in links} <= set(parsed.attributes("id"))
    assert "SUQzIHNvdW5k" in html  # the sound itself, in base64
    assert [len(row.scores) for row in section.ranking] == [2, 2]
    assert "A click on a large square plays" in front.note


@pytest.mark.skipif(not THERE, reason="needs chromium and chromedriver")
def test_a_click_on_a_point_of_the_front_goes_to_its_sound(tmp_path: Path) -> None:
    results = made_search(tmp_path, 30, also=("music/empty_bars",), early=False, samples=_sample())
    report = tmp_path / "report.html"
    report.write_text(page(results), encoding="utf-8")
    section = search_section(results)
    assert section is not None
    target = f"#hear-{section.heard[1].number}"
    with browsing(tmp_path / "profile") as browser:
        browser.open(report)
        browser.click(f"svg.wide a[href='{target}']")
        assert browser.run("return document.activeElement.closest('.cell').id") == target[1:]
        assert browser.run("return location.hash") == ""  # the link itself is not followed
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_a_front_without_samples_has_nothing_to_click(tmp_path: Path) -> None:
    section = search_section(made_search(tmp_path, 30, also=("music/empty_bars",), early=False))
    assert section is not None
    assert section.heard == []
    (front,) = section.fronts
    assert "<a " not in front.svg
    assert "click" not in front.note


def test_a_search_that_has_barely_begun_makes_a_page(tmp_path: Path) -> None:
    for count, ended in ((0, 0), (1, 0), (1, 1), (3, 2)):
        results = made_search(tmp_path / f"{count}{ended}", count, over=False, ended=ended)
        html = page(results)
        assert Parsed(html).wrong == []
        assert "nothing is confirmed and there is no answer yet" in html
        section = search_section(results)
        assert section is not None
        assert section.ranking == []
        assert (section.history is None) == (count == 0)


def test_hostile_values_and_fields_stay_text(tmp_path: Path) -> None:
    field = "<b>field</b>"
    space = {"lr": SPACE["lr"], "layers": SPACE["layers"], field: Categorical(HOSTILE, "plain")}

    def values(number: int) -> dict[str, Any]:
        return {"lr": made_values(number)["lr"], "layers": 1 + number % 8, field: (HOSTILE, "plain")[number % 2]}

    results = made_search(
        tmp_path, 30, space=space, values=values, confirmed={9: _seven(1.6), 12: _seven(1.7)}, control=_seven(2.5)
    )
    html = page(results)
    assert "<script>alert" not in html
    assert "<b>field" not in html
    parsed = Parsed(html)
    assert parsed.wrong == []
    assert "evil" not in parsed.attributes("class")


def test_a_value_outside_of_its_range_lies_at_the_end(tmp_path: Path) -> None:
    # The control may have values that the search does not allow.
    axis = field_axis(Float(1e-4, 1e-1, log=True))
    assert [axis.place(value) for value in (1e-6, 1e-4, 1e-1, 3.0)] == [0, 0, 1, 1]
    assert axis.place(10**-2.5) == pytest.approx(0.5)
    words = field_axis(Categorical("a", "b"))
    assert [words.place(value) for value in ("a", "b", "c")] == [0.25, 0.75, 0.5]


def test_csv_has_a_line_a_proposal(made: Results) -> None:
    assert made.search is not None
    lines = list(csv.DictReader(io.StringIO(search_csv(made.search))))
    assert len(lines) == 40
    assert (lines[0]["source"], lines[1]["source"]) == ("start", "sampler")
    assert [line["state"] for line in lines] == [made_end(each, made_values(each)).state for each in range(40)]
    assert float(lines[9]["lr"]) == made_values(9)["lr"]
    assert (lines[9]["strength"] != "", lines[10]["strength"]) == (True, "")
    assert float(lines[9]["set/frechet"]) == made.search.tried[9].score(made.search.objective)
    assert (lines[3]["state"], lines[3]["set/frechet"], lines[3]["seconds"]) == ("pruned", "", "3.0")
    assert (lines[9]["confirmed"], lines[10]["confirmed"]) == ("1", "0")
    assert lines[22]["reason"] == "the loss is not finite"


def test_json_has_what_was_confirmed_and_files_are_written(made: Results) -> None:
    whole = json.loads(results_json(made), parse_constant=lambda name: 1 / 0)
    assert [each["name"] for each in whole["search"]["confirmed"]] == ["control", "proposal 13", "proposal 9"]
    assert whole["search"]["winner"] == "proposal 9"
    assert whole["search"]["cost"]["grid_trials"] == 150
    write_report(made)
    assert made.storage.exists(f"{made.folder}/search.csv")


def test_made_values_are_those_of_the_space() -> None:
    for number in range(40):
        for name, value in made_values(number).items():
            assert SPACE[name].holds(value)
    assert {*CONFIG} == {"continuation", "steps"}
    assert made_values(0) == CONTROL
