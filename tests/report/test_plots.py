"""The report's plots: what is drawn where, without ids that clash, colours of their own or anything from outside."""

import itertools
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from musiclab.analysis.intervals import Interval, mean_intervals
from musiclab.report.html.axes import Reference, scale_of
from musiclab.report.html.plots import Line, Row, blocks_plot, curves_plot, distribution_plot, response_plot, swatch
from musiclab.report.html.svg import COLOR, drawn

HOSTILE = "\x00\x1b<script>alert(1)</script>\n & \"']]>"


def _row(name: str, values: list[float], control: bool = False) -> Row:
    return Row(name, "", dict(enumerate(values)), mean_intervals([values])[0], control)


def _svgs(markup: Markup) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<div>{markup}</div>"))


def _texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter("text")]


def _curve(name: str, style: int, y: list[float]) -> Line:
    x = list(map(float, range(1, len(y) + 1)))
    return Line(name, style, x, y, [value - 1 for value in y], [value + 1 for value in y])


def _all_plots() -> dict[str, Markup]:
    groups = [[_row("a", [1.0, 2.0], True), _row("b", [2.0, 4.0])], [_row("c", [3.0, 1.0], True)]]
    edges = np.linspace(0, 1, 5)
    return {
        "blocks": blocks_plot(groups, [Reference("real music", 2.0, band=(1.9, 2.1))], "one", "Title"),
        "curves": curves_plot([_curve("a", 0, [3.0, 2.0, 1.0]), _curve("b", 7, [2.0, 2.0])], "two", "Title", "Said."),
        "response": response_plot([_curve("", -1, [3.0, 2.0, 1.0])], [], [1.0, 2.0, 3.0], "three", "Title"),
        "distribution": distribution_plot(edges, np.full(4, 0.25), [(2, np.eye(4)[1])], "four", "Title", "Said."),
        "swatch": swatch(3, "five"),
    }


def test_an_unbounded_interval_leaves_the_axis_and_the_other_rows_as_they_are() -> None:
    bounded, values = Interval(2.0, 1.0, 3.0, 2), {0: 1.5, 1: 2.5}
    plots = [
        str(blocks_plot([[Row("a", "", values, bounded, True), Row("b", "", values, interval)]], [], "one", "Title"))
        for interval in (Interval(2.0, -math.inf, math.inf, 2), Interval(2.0, math.nan, math.nan, 2))
    ]
    assert plots[0].replace("[unbounded]", "") == plots[1]
    assert "[unbounded]" in plots[0]


@pytest.mark.parametrize("kind", ["blocks", "curves", "response", "distribution", "swatch"])
def test_a_plot_has_only_colours_that_the_page_gives_it(kind: str) -> None:
    svg = str(_all_plots()[kind])
    assert "var(--" in svg
    assert not re.search(
        r"#[0-9a-fA-F]{3,8}\b(?!-)|rgb|(?:fill|stroke): ?(?:black|white)", re.sub(r'href="#[^"]*"', "", svg)
    )


@pytest.mark.parametrize("kind", ["blocks", "curves", "response", "distribution", "swatch"])
def test_a_plot_refers_to_nothing_but_itself(kind: str) -> None:
    plot = _all_plots()[kind]
    assert "http" not in plot
    assert "<style" not in plot
    assert "<metadata" not in plot
    assert "font-family" not in plot
    ids = [element.get("id") for svg in _svgs(plot) for element in svg.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:href="#|url\(#)([^")]+)', plot)
    named = {name for svg in _svgs(plot) for name in (svg.get("aria-labelledby") or "").split()}
    assert set(referred) | named == set(ids)  # and no id that nobody asks for
    assert referred


def test_ids_of_two_plots_of_the_same_do_not_clash() -> None:
    def ids(name: str) -> set[str]:
        plot = curves_plot([_curve("a", 0, [3.0, 2.0])], name, "Title", "Said.")
        return set(re.findall(r'id="([^"]+)"', plot))

    assert ids("one").isdisjoint(ids("two"))
    assert all(name.startswith("one-") for name in ids("one"))


def test_the_same_plot_is_the_same_every_time() -> None:
    assert _all_plots() == _all_plots()


@pytest.mark.parametrize("kind", ["blocks", "curves", "response", "distribution"])
def test_a_plot_says_in_words_what_it_shows(kind: str) -> None:
    for svg in _svgs(_all_plots()[kind]):
        assert svg.get("role") == "img"
        title, description = (svg.find(tag) for tag in ("title", "desc"))
        assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.text == "Title"
        assert len(description.text) > 4


def test_hostile_names_stay_text_and_short() -> None:
    rows = [_row(HOSTILE, [1.0, 2.0], True), _row("$\\frac{x}{0}$", [1.0, 2.0]), _row("x" * 10_000, [1.0, 2.0])]
    plot = blocks_plot([rows], [], "one", HOSTILE[:100])
    plot += curves_plot([_curve(HOSTILE, 0, [1.0, 2.0])], "two", HOSTILE[:60], HOSTILE[:80])
    assert "<script" not in plot
    texts = [text for svg in _svgs(_without_controls(plot)) for text in _texts(svg)]
    # What XML cannot hold is marked, not dropped.
    assert any(text.startswith("\ufffd\ufffd<script>alert(1)</script>") for text in texts)
    assert "$\\frac{x}{0}$" in texts  # and no formula is set
    assert max(map(len, texts)) < 60


def _without_controls(plot: Markup) -> Markup:
    """What an HTML parser makes do with, an XML parser does not."""
    return Markup(re.sub(r"[\x00-\x08\x0b-\x1f]", "", plot))


def test_every_block_is_a_dot_and_every_mean_stands_in_words() -> None:
    rows = [_row("a", [1.0, 2.0, 4.0], True), _row("b", [5.0, 7.0])]
    wide, narrow = _svgs(blocks_plot([rows], [], "one", "Title"))
    for svg in (wide, narrow):
        # Three kinds of markers are used more than once: dots and, where there are two variants, diamonds.
        uses = [use.get("href") for use in svg.iter("use")]
        dots = [use for use in svg.iter("use") if "fill:var(--paper)" in use.get("style", "")]
        assert len(dots) == 5, uses
        assert "a: 2.33" in svg.find("desc").text
        assert "b: 6 " in svg.find("desc").text
        assert {"a", "b"} <= set(_texts(svg))
    assert float(narrow.get("width")) < 360 < float(wide.get("width"))


def test_dots_lie_where_their_values_say() -> None:
    (wide, _) = _svgs(blocks_plot([[_row("a", [0.0, 10.0], True), _row("b", [5.0, 5.0])]], [], "one", "Title"))
    x = [float(use.get("x")) for use in wide.iter("use") if "fill:var(--paper)" in use.get("style", "")]
    assert len(x) == 4
    assert min(x) < max(x)
    assert sorted(x)[1:3] == pytest.approx([(min(x) + max(x)) / 2] * 2, abs=0.2)


def test_values_that_span_decades_get_a_logarithmic_axis() -> None:
    assert scale_of([1.0, 2.0, 40.0], []).logarithmic
    assert not scale_of([1.0, 2.0, 20.0], []).logarithmic
    assert not scale_of([0.0, 2.0, 4000.0], []).logarithmic
    assert not scale_of([-1.0, 2.0, 4000.0], []).logarithmic


def test_a_reference_far_off_is_named_and_leaves_the_values_their_room() -> None:
    near, far = Reference("near", 3.0), Reference("far", 1000.0)
    scale = scale_of([1.0, 2.0], [far, near])
    assert scale.inside == (near,)
    assert scale.outside == (far,)
    assert scale.low < 1
    assert 3 < scale.high < 4
    (wide, _) = _svgs(blocks_plot([[_row("a", [1.0, 2.0])]], [far], "one", "Title"))
    assert "far 1,000 →" in _texts(wide)
    (wide, _) = _svgs(blocks_plot([[_row("a", [1.0, 2.0])]], [Reference("far", -1000.0)], "one", "Title"))
    assert "← far −1,000" in _texts(wide)


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [math.nan], [], [1e-9, 1e9], [1e300, -1e300]])
def test_no_values_are_too_odd_for_a_scale(values: list[float]) -> None:
    scale = scale_of(values, [Reference("real", 1.0), Reference("lost", math.nan)])
    assert scale.low < scale.high
    assert math.isfinite(scale.low)
    assert math.isfinite(scale.high)


@pytest.mark.parametrize("variants", [1, 2, 30])
def test_rows_do_not_touch_whatever_their_number(variants: int) -> None:
    rows = [_row(f"first={n}, second={'long' * 5}, third={n}", [1.0 + n, 2.0]) for n in range(variants)]
    for svg in _svgs(blocks_plot([rows], [], "one", "Title")):
        labels = [float(text.get("y")) for text in svg.iter("text") if (text.text or "").startswith("first=")]
        assert len(labels) == variants
        assert all(later - sooner >= 30 for sooner, later in itertools.pairwise(labels))
        assert float(svg.get("height")) > max(labels)


def test_a_curve_of_many_points_keeps_its_ends_and_stays_light() -> None:
    light = curves_plot([_curve("a", 0, list(np.linspace(1, 3, 50)))], "one", "Title", "Said.")
    heavy = curves_plot([_curve("a", 0, list(np.linspace(1, 3, 5000)))], "one", "Title", "Said.")
    assert len(heavy) < 1.5 * len(light)


def test_a_colour_that_is_none_of_the_page_s_would_be_seen() -> None:
    """What the test on colours rests on."""
    plot = drawn(10, 10, lambda figure: figure.text(0, 0, "x", color="#ff0000"), "one", "Title", "Said.")
    assert "#ff0000" in plot
    assert "var(--accent)" in drawn(10, 10, lambda figure: figure.text(0, 0, "x", color=COLOR["accent"]), "a", "b", "c")
