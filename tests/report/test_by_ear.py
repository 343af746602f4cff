"""The report's section By ear: what it says of simulated listeners, of one, of none, and of those who are excluded."""

import json
import re
import shutil
from pathlib import Path

import pytest

from musiclab.analysis.preferences import preferences
from musiclab.analysis.ratings import rating_results
from musiclab.analysis.results import Results
from musiclab.design.listening import PAIRS, RATINGS, SCALES
from musiclab.report.exports import results_json
from musiclab.report.html.by_ear import ear_section, pooled_ears
from musiclab.report.html.overview import overview
from musiclab.report.html.page import page
from musiclab.report.sentences import describe
from musiclab.report.sentences.by_ear import ONLY_SIMULATED, verdicts
from musiclab.storage.files import Storage
from tests.report.test_page import Parsed
from tests.support.browser import THERE, browsing
from tests.support.made_listening import made_plan, made_test
from tests.support.made_results import made_study
from tests.support.made_votes import heard as listened
from tests.support.simulated_listeners import fixed_ballots, listen, made_music

_SHORT = {"presentations": 20, "repeats": 3, "warm_ups": 1}


def _again(results: Results) -> Results:
    return Results.read(results.storage, results.plan.study)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a finished study that nobody has heard, not to be changed."""
    folder = tmp_path_factory.mktemp("music")
    made_music(folder)
    return folder


@pytest.fixture
def unheard(music: Path, tmp_path: Path) -> Results:
    """The study in a storage of its own."""
    shutil.copytree(music, tmp_path / "storage")
    return Results.read(Storage(str(tmp_path / "storage")), "made")


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A study that ten simulated listeners have heard in pairs and two have rated."""
    results = made_music(tmp_path_factory.mktemp("heard"))
    listen(fixed_ballots(results, **_SHORT), 10)
    listen(fixed_ballots(results, RATINGS, **_SHORT), 2)
    return _again(results)


@pytest.fixture(scope="module")
def parsed(heard: Results) -> Parsed:
    return Parsed(page(heard))


def _section(html: str) -> str:
    """The text of the section."""
    (section,) = Parsed(html).all("section", **{"aria-labelledby": "by-ear"})
    return section


def test_simulated_listeners_are_labelled_first_wherever_anything_is_said_of_them(
    heard: Results, parsed: Parsed
) -> None:
    section = _section(page(heard))
    assert section.startswith(f"By ear {ONLY_SIMULATED} By ear (10 simulated listeners, 200 votes): ")
    assert ONLY_SIMULATED in parsed.all("p", class_="alert")
    said = describe(heard.answer, heard.search, heard.listening)
    assert said[1] == ONLY_SIMULATED
    assert said[2].startswith("By ear (10 simulated listeners, 200 votes): against latent_dim=16, better: ")
    assert said[3].startswith("By ratings of single pieces (2 simulated listeners, 40 pieces): ")
    whole = json.loads(results_json(heard))
    assert ONLY_SIMULATED in whole["answer"]
    assert whole["by_ear"]["pairs"]["simulated"] is True


def test_the_page_is_whole_and_what_it_has_are_the_numbers_of_the_analysis(heard: Results, parsed: Parsed) -> None:
    assert parsed.wrong == []
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))
    assert "#by-ear" in parsed.attributes("href")
    assert heard.listening and heard.listening.pairs and heard.listening.ratings
    section = ear_section(heard)
    pairs, ratings = section.tests["pairs"], section.tests["ratings"]
    rows = {row.name: row for row in pairs.strengths}
    assert [row.note for row in pairs.strengths] == ["", "", "", "the ceiling", "the floor"]
    for name, strength in heard.listening.pairs.strengths.items():
        assert rows[name].share.mean == f"{100 * strength.share.mean:.0f} %"
        assert rows[name].won.endswith(f" of {strength.votes}")
    better = heard.listening.pairs.comparisons["latent_dim=8"]
    assert (rows["latent_dim=8"].verdict, better.verdict) == ("better", "better")
    assert rows["latent_dim=8"].against.bounds == f"[{100 * better.share.low:.0f} %, {100 * better.share.high:.0f} %]"
    assert rows["latent_dim=16"].verdict == "control"
    assert len(ratings.ratings) == 5 and len(ratings.ratings[0].cells) == len(SCALES)
    assert ratings.ratings[1].cells[0].verdict == heard.listening.ratings.comparisons["latent_dim=8"][SCALES[0]].verdict


def test_the_plot_has_floor_and_ceiling_as_lines_and_verdicts_in_words(heard: Results) -> None:
    plot = ear_section(heard).tests["pairs"].plot
    assert plot and heard.listening and heard.listening.pairs
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
    for name in ("real continuation", "shuffled tracks"):
        share = 100 * heard.listening.pairs.strengths[name].share.mean
        assert any(text.strip() == f"{name} {share:.3g}" for text in texts), name
    assert "✓ better, p = 0.016" in texts
    assert "★ control" in texts
    assert "latent_dim=8: " in plot.svg.split("<desc")[1].split("</desc>")[0]


def test_intervals_without_correction_and_verdicts_with_it_are_said_to_differ(heard: Results) -> None:
    for test in ear_section(heard).tests.values():
        assert "without correction. So an interval and a verdict may disagree" in test.sure
        assert "corrected by Holm over" in test.sure


def test_measures_are_ranked_by_how_often_they_pick_what_listeners_prefer(heard: Results, parsed: Parsed) -> None:
    section = ear_section(heard)
    names = [row.name for row in section.measures]
    assert (names[0], names[-1]) == ("set/frechet", "set/precision")
    assert section.trusted[0].startswith("Of 3 measures, 1 picks the winner of a vote more often than chance, by the ")
    assert "set/frechet (" in section.trusted[0] and "set/precision (" in section.trusted[1]
    assert "about 0.075 would lie above chance by luck" in section.trusted[2]
    assert any("Kendall's tau" in text for text in parsed.all("caption"))


def test_a_study_without_listeners_says_so(unheard: Results) -> None:
    words = (
        "By ear No listener has heard this study: `musiclab listen STORAGE/made` lets people judge its variants, blind."
    )
    assert _section(page(unheard)) == words
    assert not any("ear" in text.split() for text in describe(unheard.answer, None, unheard.listening))
    fixed_ballots(unheard)
    assert _section(page(_again(unheard))) == words, "a plan alone is no listener"


def test_one_listener_has_votes_but_no_interval_and_no_verdict(unheard: Results) -> None:
    listen(fixed_ballots(unheard, **_SHORT), 1)
    results = _again(unheard)
    test = ear_section(results).tests["pairs"]
    assert "1 simulated listener gave 20 votes on " in test.attended[0]
    assert "Intervals need at least 2 listeners and 2 blocks." in test.sure
    assert "At least 7 listeners and 7 blocks are needed to show anything." in test.sure
    assert {row.verdict for row in test.strengths} == {"control", "underpowered", ""}
    assert {row.share.bounds for row in test.strengths} == {""}
    assert "No measure can be told from chance yet." in _section(page(results))
    assert "nan" not in page(results)


def test_if_all_are_excluded_it_says_why_and_shows_no_strength(unheard: Results) -> None:
    ballots = fixed_ballots(unheard, **_SHORT)
    (withdrawn, *_) = listen(ballots, 1)
    ballots.withdraw(withdrawn.id)
    listen(ballots, 2, most=5)
    results = _again(unheard)
    section = ear_section(results)
    test = section.tests["pairs"]
    assert (test.plot, test.strengths, section.measures) == (None, [], [])
    assert test.verdicts == "By ear: no session counts, so nothing is compared."
    assert test.attended == [
        "Of 3 sessions none counts. Excluded by rules that were fixed before: 1 withdrawn by the listener and 2 with "
        "fewer than 10 answers."
    ]
    html = page(results)
    assert withdrawn.id not in html
    assert Parsed(html).wrong == []


def test_if_each_variant_is_its_own_control_nothing_is_compared() -> None:
    """As in a study of two systems without a control."""
    given = {"controls": {"v0": "v0", "v1": "v1"}, "presentations": 10, "repeats": 0}
    pairs, ratings = (made_plan(made_test(protocol=protocol, **given)) for protocol in (PAIRS, RATINGS))
    preferred = preferences(pairs, [listened(pairs, lambda shown: "equal")])
    rated = rating_results(ratings, [listened(ratings, lambda shown: dict.fromkeys(SCALES, 3))])
    reason = "nothing is compared, because each variant is its own control."
    assert verdicts(preferred) == f"By ear (1 simulated listener, 10 votes): {reason}"
    assert verdicts(rated) == f"By ratings of single pieces (1 simulated listener, 10 pieces): {reason}"


def test_simulated_listeners_beside_people_are_named_and_do_not_count(unheard: Results) -> None:
    """No person has heard this: the test says so of one session, which is the other side of the label."""
    ballots = fixed_ballots(unheard, **_SHORT)
    listen(ballots, 1)
    listen(ballots, 1, simulated=False)
    section = ear_section(_again(unheard))
    assert section.alert == ["1 of 2 sessions is of simulated listeners, not of people."]
    assert "1 of simulated listeners, which never count beside people" in section.tests["pairs"].attended[-1]
    assert section.tests["pairs"].verdicts.startswith("By ear (1 listener, 20 votes): ")


def test_ratings_alone_have_a_table_and_no_measures(unheard: Results) -> None:
    listen(fixed_ballots(unheard, RATINGS, **_SHORT), 2)
    section = ear_section(_again(unheard))
    assert list(section.tests) == ["ratings"]
    assert section.measures == []
    test = section.tests["ratings"]
    assert test.plot is None
    assert test.attended[0] == (
        "2 simulated listeners gave ratings of 40 pieces on 8 blocks, each a continuation of 8 bars."
    )


def test_a_damaged_ballot_is_named(unheard: Results) -> None:
    ballots = fixed_ballots(unheard, **_SHORT)
    (session,) = listen(ballots, 1)
    unheard.storage.write(f"{ballots.folder}/sessions/{session.id}/004.json", b"{")
    (_, damaged) = ear_section(_again(unheard)).alert
    assert damaged.startswith("Damaged and left out: 1 file (studies/made/e/listening/pairs/sessions/")


def test_the_overview_pools_studies_and_says_which(heard: Results, unheard: Results, tmp_path: Path) -> None:
    nobody = overview([unheard, unheard])
    assert "No listener has heard any of these studies" in nobody
    other = made_music(tmp_path / "other", name="other")
    listen(fixed_ballots(other, **_SHORT), 2)
    studies = [heard, unheard, _again(other)]
    html = overview(studies)
    parsed = Parsed(html)
    assert parsed.wrong == []
    assert ONLY_SIMULATED in parsed.all("p", class_="alert")
    assert "Pooled over 2 studies: made and other." in parsed.all("p")
    pooled = pooled_ears(studies)
    assert pooled and [row.studies for row in pooled.measures] == [2, 2, 2]
    alone = ear_section(heard).measures[0]
    assert pooled.measures[0].votes > alone.votes and pooled.measures[0].pairs == 2 * alone.pairs


def test_a_control_without_results_among_others_with_some_has_a_plot(tmp_path: Path) -> None:
    """A group of variants that have no block at all."""
    values = {"16": [{"set/frechet": 1.0}], "8": [None], "32": [{"set/frechet": 2.0}]}
    names = [f"latent_dim={name}" for name in values]
    results = made_study(tmp_path, values, controls={names[0]: names[0], names[1]: names[1], names[2]: names[0]})
    assert "objective-wide" in page(results)


@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium and chromedriver here")
def test_a_browser_shows_the_section_without_scrolling_sideways(heard: Results, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(heard), encoding="utf-8")
    with browsing(tmp_path / "profile") as browser:
        for width, kind in ((1280, "wide"), (390, "narrow")):
            browser.phone(width, 800)
            browser.open(file)
            assert browser.run("return document.documentElement.scrollWidth") <= width
            visible = f"return document.getElementById('by-ear-{kind}-t').closest('svg').checkVisibility()"
            assert browser.run(visible) is True
        assert browser.console() == []
