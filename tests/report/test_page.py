"""The report's page: what it says of a study, that it needs nothing from outside, and that names in it stay names."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from musiclab.analysis.results import Results
from musiclab.design.trials import TrialSpec, Variant
from musiclab.measures.distributions import FEATURES
from musiclab.report.formatting import bounds_html
from musiclab.report.html import tables, trial_tables
from musiclab.report.html.page import page
from musiclab.report.html.sections import curve_plots, distribution_plots, fewer, legend
from musiclab.report.sentences import captions
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialData
from musiclab.training.streams import Block
from tests.support.browser import THERE, browsing
from tests.support.made_records import made_plan, made_record
from tests.support.made_results import RUN, made_study

CSS = Path(tables.__file__).with_name("style.css").read_text(encoding="utf-8")
HOSTILE = (
    "</style></script></title><script>alert(1)</script>"
    """<img class="evil" src=x onerror=alert(1)>'"<b class="evil">{{ 7*7 }}"""
)
SVG = "http://www.w3.org/2000/svg"  # a name, which scripts need to make SVG elements; nobody asks for it
VOID = {"meta", "br", "img", "input", "link", "hr", "rect", "path", "use", "circle", "line"}


class Parsed(HTMLParser):
    """The page's elements with attributes and own text, in order; `wrong` says where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.wrong: list[str] = []
        self._open: list[int] = []
        self.feed(html)
        self.close()
        self.wrong += [f"open: {self.elements[place][0]}" for place in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if len(dict(attrs)) < len(attrs):
            self.wrong.append(f"attributes twice: {attrs}")
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self.elements[self._open[-1]][0] != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for place in self._open:
            self.elements[place][2].append(data)

    def all(self, tag: str, **attributes: str) -> list[str]:
        """The text of each element of that tag and attributes, blanks drawn together."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            " ".join("".join(text).split())
            for name, has, text in self.elements
            if name == tag and wanted.items() <= has.items()
        ]

    def attributes(self, name: str) -> list[str]:
        return [has[name] or "" for _, has, _ in self.elements if name in has]


def crossed(
    folder: Path,
    fields: dict[str, list[Any]],
    blocks: int,
    value: Callable[[dict[str, Any], int], float | str | None],
    *,
    shared: bool = False,
    histograms: bool = False,
    **plan: Any,
) -> Results:
    """A study of all combinations of fields; `value` gives a trial's objective, why it failed, or None: not run.

    Every trial has two epochs of a curve `train/loss` of two tracks; with `shared` all variants of a block have one.
    """
    storage, cells = Storage(str(folder)), []
    records = Records(storage)
    variants = [dict(zip(fields, values, strict=True)) for values in itertools.product(*fields.values())]
    for block, (number, values) in itertools.product(range(blocks), enumerate(variants)):
        stages = {"train": f"t{block}" if shared else f"t{number}-{block}", "measure": f"m{number}-{block}"}
        cell = TrialSpec(Variant("vae_nn", values, values, "d" * 8), Block(0, block), stages)
        cells.append(cell)
        found = value(values, block)
        if isinstance(found, str):
            records.put_failure(cell.key, found, found, again=False)
        if not isinstance(found, float):
            continue
        points = [
            {"name": f"train/loss.{track}", "step": step, "value": number + 1 / step + track_value, "time": 1.7e9}
            for step in (1, 2)
            for track, track_value in (("Piano", 0.0), ("Bass", 2.0))
        ]
        storage.write(f"stages/{stages['train']}/curves.json", json.dumps(points).encode())
        counts = {name: list(range(1, len(feature.edges))) for name, feature in FEATURES.items()}
        record = made_record(
            {"set/frechet": found, "music/empty_bars": 0.25, "set/precision": found / 100},
            {"set/frechet.floor": 0.5, "music/empty_bars": 0.2, "music/empty_bars.floor": 0.03,
             "set/frechet.random": 9e9},
            key=cell.key, config=values, block=cell.block, stages=stages,
            data=TrialData(fingerprint="d" * 8, split=f"split{block}"),
            histograms={"generated": counts, "real": counts} if histograms else {},
        )  # fmt: skip
        records.put(cell.key, record, replace(RUN, seconds={"train": 10.0, "measure": 1.0}), {})
    names = [cell.variant.name for cell in cells[: len(variants)]]
    written = {
        "controls": dict.fromkeys(names, names[0]), "blocks": blocks, "trial_specs": tuple(cells),
        "command": ("studies/made.py", "--set", "a b=1"),
    }  # fmt: skip
    records.plans.put("studies/made/e", made_plan(**(written | plan)))
    return Results.read(storage, "made")


def _sized(values: dict[str, Any], block: int) -> float:
    return 10.0 * values["k"] + values.get("noise", 0) + 0.1 * ((7 * block + values["k"]) % 5)


def _formed(values: dict[str, Any], block: int) -> float:
    return len(values["form"]) + block


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One field of three values on eight blocks, in which all differences can be shown."""
    return crossed(tmp_path_factory.mktemp("eight"), {"k": [2, 1, 3]}, 8, _sized, histograms=True)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two crossed fields."""
    return crossed(tmp_path_factory.mktemp("grid"), {"k": [1, 2, 3], "noise": [0.0, 0.5]}, 3, _sized, shared=True)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """All that may come from data is markup, has line breaks and half characters, or is 10 kB long."""
    names = {
        "first\nline " + HOSTILE: [1.0, 2.0],
        "x" * 10_000: [2.0, 2.5],
        HOSTILE: [3.0, HOSTILE],
        "y" * 10_000: [None, "z" * 500],
    }
    values = {
        name: [{"set/frechet": each} if isinstance(each, float) else each for each in of] for name, of in names.items()
    }
    return made_study(
        tmp_path_factory.mktemp("hostile"), values, question=HOSTILE + "\n\n" + HOSTILE + "w" * 10_000 + "\udc80\x00",
        command=["studies/made.py", HOSTILE], base={HOSTILE: HOSTILE, "data": HOSTILE, "seed": 0},
        environment={"musiclab": HOSTILE, "python": HOSTILE, "platform": HOSTILE, "commit": HOSTILE},
        claims=[{"id": HOSTILE, "says": HOSTILE, "expect": []}],
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(eight: Results, grid: Results, hostile: Results) -> dict[str, str]:
    """Their pages, made once."""
    return {"eight": page(eight), "grid": page(grid), "hostile": page(hostile)}


@pytest.mark.parametrize("study", ["eight", "grid", "hostile"])
def test_the_page_is_whole(study: str, pages: dict[str, str]) -> None:
    html = pages[study]
    parsed = Parsed(html)
    assert parsed.wrong == []
    assert html.startswith("<!doctype html>")
    ids = parsed.attributes("id")
    assert [name for name, times in Counter(ids).items() if times > 1] == []
    targets = {href[1:] for href in parsed.attributes("href") if href.startswith("#")}
    targets |= {name for names in parsed.attributes("aria-labelledby") for name in names.split()}
    assert targets <= set(ids)
    levels = [int(tag[1]) for tag, _, _ in parsed.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= sooner + 1 for sooner, later in itertools.pairwise(levels))
    for landmark in ("header", "main", "footer"):
        assert len(parsed.all(landmark)) == 1


@pytest.mark.parametrize("study", ["eight", "grid", "hostile"])
def test_the_page_needs_nothing_from_outside(study: str, pages: dict[str, str]) -> None:
    html = pages[study]
    parsed = Parsed(html)
    for name in ("href", "src", "srcset", "action", "poster", "data", "xlink:href", "background", "formaction"):
        assert [value for value in parsed.attributes(name) if not value.startswith("#")] == [], name
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _, _ in parsed.elements}
    assert not [name for _, has, _ in parsed.elements for name in has if name.startswith("on")]
    styles = "".join(parsed.all("style") + parsed.attributes("style"))
    assert "@import" not in styles
    assert not re.search(r"url\((?!['\"]?(?:#|data:))", styles)
    assert "http" not in html.replace(SVG, "")


def test_what_comes_from_data_stays_text(pages: dict[str, str]) -> None:
    html = pages["hostile"]
    html.encode()
    parsed = Parsed(html)
    assert "evil" not in " ".join(parsed.attributes("class"))
    assert len(parsed.all("script")) == len(Parsed(pages["eight"]).all("script"))
    assert len(parsed.all("style")) == 1
    assert "alert(1)" not in "".join(parsed.all("script") + parsed.all("style"))
    shown = " ".join(HOSTILE.split())
    assert parsed.all("title")[0].startswith("made: </style>")
    assert any(text.endswith(shown) for text in parsed.all("th", scope="row"))
    assert shown in parsed.all("td", class_="reason")
    assert html.count("alert(1)") > 10
    assert "49" not in parsed.all("h1")[0]


def test_sections_come_in_the_order_of_reading(pages: dict[str, str]) -> None:
    headings = Parsed(pages["eight"]).all("h2")
    assert headings == [
        "The answer", "Every variant against its control", "By ear", "What each field does", "All measures",
        "Learning curves", "Distributions against real music", "Listening", "What it cost", "How to do it again",
    ]  # fmt: skip
    assert "Distributions against real music" not in Parsed(pages["grid"]).all("h2")


def test_the_question_and_the_answer_stand_on_top(tmp_path: Path) -> None:
    question = "Is it so?  Claim C1: it is.\n\nA paragraph\nof two lines."
    parsed = Parsed(page(crossed(tmp_path, {"k": [2, 1, 3]}, 8, _sized, question=question)))
    assert parsed.all("h1") == ["Is it so?"]
    assert parsed.all("p")[:2] == ["Claim C1: it is.", "A paragraph of two lines."]
    (answer,) = parsed.all("p", class_="answer")
    assert "better" in answer
    assert "k=1" in answer
    (sure,) = [text for text in parsed.all("p", class_="note") if "paired" in text]
    assert sure.startswith(
        "Each comparison has 8 paired blocks. Verdicts come from two-sided tests (sign flips and Student's t, of which "
        "the larger p counts) at 5 %, corrected by Holm over 2 comparisons."
    )
    assert "Intervals are 95 % intervals over blocks, without correction." in sure
    assert captions.UNBOUNDED not in sure
    assert "The smallest p that so many blocks can give is 0.0156." in sure


def test_how_far_from_real_music_stands_below_the_answer(tmp_path: Path) -> None:
    music = {"set/frechet.floor": 1.0, "set/frechet.shuffled": 2.0, "set/frechet.random": 90.0}
    values = {size: [{"set/frechet": 70.0}] for size in ("16", "8")}
    texts = Parsed(page(made_study(tmp_path, values, music=music))).all("p")
    answer = next(place for place, text in enumerate(texts) if text.startswith("On frechet"))
    assert texts[answer + 1].startswith("How far from real music, by frechet: other real songs lie at 1, ")
    assert texts[answer + 1].endswith("all variants (70) are nearer to random notes than to real music.")


def test_the_page_of_too_few_blocks_says_that_intervals_are_unbounded(tmp_path: Path) -> None:
    results = crossed(tmp_path, {"k": [2, 1, 3]}, 4, _sized)
    (row, *_) = (row for row in tables.verdict_rows(results) if row.verdict != "control")
    assert row.difference.bounds == "[unbounded]"
    assert row.value.bounds.startswith("[")
    assert row.value.bounds != "[unbounded]"
    text = page(results)
    assert captions.UNBOUNDED in text
    assert "∞" not in text
    assert "inf" not in re.sub(r"<[^>]*>|inform|infl", "", text.split("The answer")[1].split("Listening")[0])


def test_the_page_shows_the_interval_of_equivalence_if_there_is_a_margin(tmp_path: Path) -> None:
    results = crossed(tmp_path / "with", {"k": [2, 1, 3]}, 8, _sized, margin=5.0)
    within = results.answer.comparisons["k=1"].within
    (row,) = (row for row in tables.verdict_rows(results) if row.name == "k=1")
    assert row.within == bounds_html(within)
    assert f'90 %: <span class="interval">{row.within}</span>' in page(results)
    without = crossed(tmp_path / "without", {"k": [2, 1, 3]}, 8, _sized)
    assert "90 %: " not in page(without)


def test_verdicts_are_words_with_a_mark(eight: Results, pages: dict[str, str]) -> None:
    rows = {row.name: row for row in tables.verdict_rows(eight)}
    assert [(row.mark, row.verdict) for row in rows.values()] == [("★", "control"), ("✓", "better"), ("✗", "worse")]
    assert rows["k=1"].difference.mean.startswith("−")
    assert rows["k=3"].difference.mean.startswith("+")
    assert rows["k=1"].p == "0.016"
    assert (rows["k=1"].improvement.mean, rows["k=1"].improvement.bounds) == ("100 %", "[68 %, 100 %]")
    assert rows["k=2"].p == ""
    parsed = Parsed(pages["eight"])
    assert [parsed.all("span", class_=f"verdict {word}") for word in ("better", "worse", "control")] == [
        ["✓ better"], ["✗ worse"], ["★ control"]
    ]  # fmt: skip


def test_fields_are_columns_where_there_are_several(pages: dict[str, str]) -> None:
    assert {"k", "noise", "mean", "verdict"} <= set(Parsed(pages["grid"]).all("th", scope="col"))
    columns = Parsed(pages["eight"]).all("th", scope="col")
    assert columns[: columns.index("blocks") + 1] == [
        "variant", "mean", "difference", "p (Holm)", "P(better)", "verdict", "blocks"
    ]  # fmt: skip


def test_what_failed_or_was_not_run_is_counted_and_named(tmp_path: Path) -> None:
    def value(values: dict[str, Any], block: int) -> float | str | None:
        if values["k"] == 2 and block < 2:
            return "diverged: lost"
        return None if values["k"] == 3 and block == 3 else _sized(values, block)

    results = crossed(tmp_path, {"k": [1, 2, 3, 4]}, 4, value)
    rows = {row.name: row for row in tables.verdict_rows(results)}
    assert [(row.failed, row.missing, row.blocks, row.left_out) for row in rows.values()] == [
        (0, 0, 4, ""), (2, 0, 2, "0, 1"), (0, 1, 3, "3"), (0, 0, 4, "")
    ]  # fmt: skip
    assert [(row.name, row.count, row.blocks, row.reason) for row in trial_tables.unfinished(results)] == [
        ("k=2", 2, "0–1", "diverged: lost"), ("k=3", 1, "3", None)
    ]  # fmt: skip
    parsed = Parsed(page(results))
    assert {"failed trials", "trials not run", "left-out blocks"} <= set(parsed.all("th", scope="col"))
    assert any(text.startswith("13 of 16 trials have finished.") for text in parsed.all("p", class_="alert"))
    assert "diverged: lost" in parsed.all("td")
    assert any("2 failed" in text for text in parsed.all("text"))


def test_nothing_finished_is_a_page_too(tmp_path: Path) -> None:
    parsed = Parsed(page(crossed(tmp_path, {"k": [1, 2]}, 2, lambda values, block: None)))
    assert parsed.wrong == []
    assert parsed.all("p", class_="answer") == ["No trial has finished, so there is no answer."]
    assert "What is missing" in parsed.all("h2")


def test_a_heat_map_has_every_cell_s_value(eight: Results, grid: Results, pages: dict[str, str]) -> None:
    found = tables.heat_map(grid)
    assert (found.rows, found.row_values) == ("k", ("1", "2", "3"))
    assert (found.columns, found.column_values) == ("noise", ("0.0", "0.5"))
    means = [[float(cell.mean) for cell in row] for row in found.cells]
    for k, row in zip((1, 2, 3), means, strict=True):
        for noise, mean in zip((0.0, 0.5), row, strict=True):
            own = [_sized({"k": k, "noise": noise}, block) for block in range(3)]
            assert mean == pytest.approx(sum(own) / 3, rel=0.01)
    shares = [cell.share for row in found.cells for cell in row]
    assert (min(shares), max(shares)) == (0, 1)
    assert [cell.control for row in found.cells for cell in row] == [True] + [False] * 5
    assert tables.heat_map(eight) is None
    assert [text for text in Parsed(pages["grid"]).all("caption") if "The higher the value, the deeper" in text]


def test_measures_stand_beside_what_music_scores(eight: Results, pages: dict[str, str]) -> None:
    found = tables.measure_tables(eight.answer)
    assert list(found) == ["music", "set"]
    (empty,) = found["music"]
    assert (empty.real, empty.direction, empty.same) == ("0.2 ± 0.03", "→ real", True)
    frechet = next(row for row in found["set"] if row.measure.name == "frechet")
    assert (frechet.real, frechet.random, frechet.shuffled) == ("0.5", "9e+09", "–")
    assert frechet.objective
    assert not frechet.same
    assert [value.n for value in frechet.values] == [8, 8, 8]
    text = " ".join(Parsed(pages["eight"]).all("table", class_="measures"))
    assert "the same for all variants" in text
    assert "squared sds" in text


def test_curves_are_means_over_tracks_and_blocks(eight: Results, grid: Results) -> None:
    ((plot,), more) = curve_plots(eight, legend(eight))
    assert more == 0
    assert plot.heading == "train/loss, train"
    # 1 / step, plus the variant's number, plus the mean of the tracks' 0 and 2.
    assert "k=2: 2 at first, 1.5 at last; k=1: 3 at first, 2.5 at last; k=3: 4 at first" in plot.svg
    ((plot,), _) = curve_plots(grid, legend(grid))
    assert "all: " in plot.svg
    assert "share this training" in plot.note


def test_distributions_are_shown_where_records_have_them(eight: Results, grid: Results) -> None:
    plots = distribution_plots(eight, legend(eight))
    assert [plot.heading.split(" (")[0] for plot in plots] == [feature.title for feature in FEATURES.values()]
    assert distribution_plots(grid, legend(grid)) == []


def test_a_legend_has_few_but_the_control_the_best_and_the_worst(tmp_path: Path) -> None:
    # They stand where a choice spread evenly over twenty would pass them by.
    values = dict.fromkeys(range(20), 5.0) | {2: 1.0, 4: 9.0}
    controls = {f"k={k}": "k=1" for k in values}
    results = crossed(tmp_path, {"k": list(values)}, 1, lambda of, block: values[of["k"]], controls=controls)
    keys = legend(results)
    assert len(keys) == 8
    assert {"k=1", "k=2", "k=4", "k=19"} <= {key.name for key in keys}
    assert [key.style for key in keys] == list(range(8))
    few = fewer(results, keys)
    assert len(few) == 5
    assert {"k=1", "k=2", "k=4"} <= {key.name for key in few}
    assert set(few) <= set(keys)  # in the same styles


def test_cost_and_how_to_do_it_again(eight: Results, pages: dict[str, str]) -> None:
    found = trial_tables.cost(eight)
    assert dict(found.facts)["all trials"] == "5.0 min of workers' time"
    assert [(stage.stage, stage.done, stage.total) for stage in found.stages] == [
        ("train", 24, "4.0 min"), ("measure", 24, "24 s")
    ]  # fmt: skip
    again = dict(trial_tables.reproduction(eight))
    assert again["command"] == ["studies/made.py --set 'a b=1'"]
    assert again["commit"] == ["c0ffee"]
    assert again["data fingerprint"] == ["dddddddd"]
    assert again["split"][7] == "split7, block 7"
    assert again["seeds"] == ["study seed 0, blocks 0–7"]
    assert again["when"] == ["planned 2023-11-14 22:13 UTC", "last trial ended 2023-11-14 22:13 UTC"]
    assert again["versions"] == ["musiclab 0, Python 3.11", "numpy 2", "torch 2"]
    text = Parsed(pages["eight"]).all("main")[0]
    for values in again.values():
        assert all(value in text for value in values)


def test_claims_stand_near_the_top(tmp_path: Path) -> None:
    expect = {"measure": "frechet", "of": {"k": 1}, "relation": "below", "than": {"k": 2}}
    claims = [{"id": "C1", "says": "small is better", "expect": [expect]}]
    parsed = Parsed(page(crossed(tmp_path, {"k": [2, 1]}, 8, _sized, claims=claims)))
    assert "What this says about the article" in parsed.all("h3")
    assert "small is better" in parsed.all("td")
    assert "supported" in parsed.all("span")


def test_the_head_says_the_form_unless_forms_are_compared(tmp_path: Path) -> None:
    written = Parsed(page(crossed(tmp_path / "one", {"k": [1, 2]}, 6, _sized, form="written"))).all("li")
    assert written[:3] == ["made", "demo scale", "written form"]
    compared = Parsed(page(crossed(tmp_path / "two", {"form": ["written", "mended"]}, 6, _formed))).all("li")
    assert compared[:3] == ["made", "demo scale", "chorales"]


def test_a_margin_and_a_sequential_test_are_said(tmp_path: Path) -> None:
    results = crossed(tmp_path, {"k": [1, 2]}, 8, _sized, margin=0.5, sequential=True)
    (sure,) = [text for text in Parsed(page(results)).all("p", class_="note") if "paired" in text]
    assert "They hold however often one looks." in sure
    assert "Differences of at most 0.5 squared sds count as none." in sure


@pytest.mark.parametrize("study", ["eight", "grid"])
def test_tables_can_be_read_aloud(study: str, pages: dict[str, str]) -> None:
    parsed = Parsed(pages[study])
    own = [has for tag, has, _ in parsed.elements if tag == "div" and has.get("class") == "scroll"]
    assert len(own) >= 4
    assert all(has["tabindex"] == "0" and has["aria-label"] for has in own)
    assert len(parsed.all("caption")) == len(own) == len(parsed.all("table"))
    assert [has for tag, has, _ in parsed.elements if tag == "th" and has.get("scope") not in ("row", "col")] == []


def test_the_same_study_gives_the_same_page(grid: Results, pages: dict[str, str]) -> None:
    assert page(grid) == pages["grid"]


def test_thirty_variants_stay_light_and_are_all_there(tmp_path: Path) -> None:
    results = crossed(tmp_path, {"k": list(range(1, 31))}, 3, _sized, histograms=True)
    html = page(results)
    assert len(html) < 700_000
    labels = Parsed(html).all("text")
    assert {f"k={k}" for k in range(1, 31)} <= set(labels)


def _variables(scheme: str) -> dict[str, str]:
    light, dark = CSS.split("prefers-color-scheme: dark", 1)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return found if scheme == "light" else found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark))


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    def luminance(color: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_from_their_ground(scheme: str) -> None:
    colors = {name: _rgb(value) for name, value in _variables(scheme).items()}
    assert len(colors) > 14
    for ground, texts in {
        "paper": ("ink", "muted", "accent", "s2", "s4"), "panel": ("ink", "muted"), "accent-soft": ("ink", "muted"),
    }.items():  # fmt: skip
        for text in texts:
            assert _contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for line in ("real", "muted", "accent", *(f"s{n}" for n in range(1, 9))):
        assert _contrast(colors[line], colors["paper"]) >= 3, line
    deepest = tuple(0.45 * a + 0.55 * b for a, b in zip(colors["accent"], colors["paper"], strict=True))
    assert _contrast(colors["ink"], deepest) >= 4.5
    assert "* 40%)" in CSS  # what the heat map mixes in at most


@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="no chromium and chromedriver here")
@pytest.mark.parametrize("study", ["eight", "grid", "hostile"])
def test_a_browser_shows_it_without_complaint(study: str, pages: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(pages[study], encoding="utf-8")
    with browsing(tmp_path / "profile") as browser:
        browser.open(file)
        browser.requests()
        for width, scheme in ((1280, "light"), (390, "dark"), (360, "light")):
            browser.phone(width, 800)
            browser.emulate(prefers_color_scheme=scheme)
            browser.open(file)
            assert browser.run("return document.documentElement.scrollWidth") <= width
            ink, ground = browser.run("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
            assert ink == ("rgb(233, 232, 227)" if scheme == "dark" else "rgb(30, 30, 28)")
            assert ground == ("rgb(23, 24, 26)" if scheme == "dark" else "rgb(252, 252, 250)")
            shown = browser.run(
                "return [...document.querySelectorAll('svg.wide, svg.narrow')].filter(e => e.checkVisibility())"
                ".map(e => e.classList[1])"
            )
            assert set(shown) == {"wide" if width > 768 else "narrow"}
        assert browser.console() == []
        assert {url for url in browser.requests() if not url.startswith("file:")} == set()
        assert browser.run("return window.evil === undefined && document.querySelectorAll('.evil').length") == 0
