"""Results for other programs: CSV, JSON and LaTeX say what the answer says, whatever names there are."""

import csv
import io
import json
from pathlib import Path

from musiclab.report.exports import results_csv, results_json, table_tex
from tests.support.made_results import made_study

HIGH, LOW = [5.0, 6.0, 7.0, 8.0, 9.0, 10.0], [1.0, 2.5, 3.0, 4.0, 5.0, 5.5]


def _of(values: list[float]) -> list[dict[str, float]]:
    return [{"set/frechet": value, "music/empty_bars": 0.25, "music/empty_bars.Drums": 1.0} for value in values]


def test_csv_has_a_line_a_trial_whether_it_finished_or_not(tmp_path: Path) -> None:
    failed = "out of memory"
    results = made_study(tmp_path, {"16": _of(LOW), "8": [*_of(HIGH[:4]), failed, None]}, form="written")
    lines = list(csv.DictReader(io.StringIO(results_csv(results))))
    assert len(lines) == 12
    assert [line["status"] for line in lines[6:]] == ["finished"] * 4 + ["failed", "missing"]
    first, bad = lines[0], lines[10]
    assert (first["study"], first["variant"], first["system"]) == ("made", "latent_dim=16", "vae_nn")
    assert first["form"] == "written"
    assert (first["latent_dim"], first["block"], first["trial"]) == ("16", "0", "madem0b0")
    assert (float(first["set/frechet"]), float(first["music/empty_bars.Drums"])) == (1.0, 1.0)
    assert (float(first["seconds"]), first["peak_memory_mib"]) == (12.5, "700")
    assert (bad["failure"], bad["set/frechet"], bad["seconds"]) == (failed, "", "")


def test_csv_leaves_no_value_empty_and_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    hostile = '=HYPERLINK("http://a")'
    nothing = {"set/frechet": float("nan")}
    results = made_study(tmp_path, {"16": [nothing], "8": [hostile], '@a,"\nb': [None]})
    lines = list(csv.DictReader(io.StringIO(results_csv(results))))
    assert lines[0]["set/frechet"] == ""
    assert lines[1]["failure"] == "'" + hostile
    assert lines[2]["latent_dim"] == "'@a,\"\nb"


def test_json_is_json_and_says_what_the_answer_says(tmp_path: Path) -> None:
    results = made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH)}, music={"set/frechet.floor": float("nan")})
    whole = json.loads(results_json(results), parse_constant=lambda name: 1 / 0)  # no NaN, no Infinity
    control, other = whole["variants"]
    assert (control["name"], control["comparison"]) == ("latent_dim=16", None)
    assert other["comparison"]["difference"]["mean"] == 4.0
    assert other["comparison"]["verdict"] == results.answer.comparisons["latent_dim=8"].verdict
    assert other["measures"]["set/frechet"]["mean"] == 7.5
    assert whole["scale"] == {"set/frechet.floor": None}
    assert whole["plan"]["environment"]["commit"] == "c0ffee"
    assert "trials" not in whole["plan"]


def test_json_has_the_claims(tmp_path: Path) -> None:
    expect = {"measure": "frechet", "of": {"latent_dim": "8"}, "relation": "above", "than": {"latent_dim": "16"}}
    claims = [{"id": "C1", "says": "so", "expect": [expect]}]
    whole = json.loads(results_json(made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH)}, claims=claims)))
    assert whole["claims"][0]["verdict"] == "supported"
    assert whole["claims"][0]["found"][0]["difference"]["mean"] == 4.0


def test_the_latex_table_has_a_row_a_variant_with_interval_and_mark(tmp_path: Path) -> None:
    results = made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH), "32": ["lost", None]})
    text = table_tex(results)
    rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    interval = results.answer.measures["latent_dim=8"]["set/frechet"]
    assert rows[0].startswith("latent\\_dim=16 & $3.5$ [") and rows[0].endswith("& control &  &  \\\\")
    assert f"latent\\_dim=8 & $7.5$ [${interval.low:.3g}$, ${interval.high:.3g}$] & $4$ [" in rows[1]
    assert rows[1].endswith("& 0.031 & $\\downarrow$ \\\\")
    assert rows[2] == "latent\\_dim=32 & -- & -- & -- &  \\\\"
    assert "latent\\_dim=32: 1 trial failed" in text
    assert text.count("&", text.index("toprule"), text.index("midrule")) == 4


def test_an_unbounded_interval_is_a_word_in_latex_and_null_in_json(tmp_path: Path) -> None:
    results = made_study(tmp_path, {"16": _of(LOW[:4]), "8": _of(HIGH[:4])})
    (row,) = [line for line in table_tex(results).splitlines() if line.startswith("latent\\_dim=8")]
    assert row.split(" & ")[2].endswith("$ [unbounded]")
    assert "infty" not in table_tex(results)
    whole = json.loads(results_json(results), parse_constant=lambda name: 1 / 0)
    difference = whole["variants"][1]["comparison"]["difference"]
    assert (difference["low"], difference["high"], difference["n"]) == (None, None, 4)


def test_powers_of_ten_are_typeset_in_latex(tmp_path: Path) -> None:
    results = made_study(tmp_path, {"16": _of([-2.5e-5]), "8": _of([999.7])})
    control, other = table_tex(results).split("\\midrule\n")[1].splitlines()[:2]
    assert control == r"latent\_dim=16 & $-2.5 \times 10^{-5}$ & control &  &  \\"
    assert other.startswith(r"latent\_dim=8 & $1 \times 10^{3}$ & $1 \times 10^{3}$ [unbounded] & ")


def test_names_cannot_break_out_of_the_latex_table(tmp_path: Path) -> None:
    text = table_tex(made_study(tmp_path, {"16": _of(LOW), "a&b%\n\\input{x}_^~#$": _of(HIGH)}))
    assert "a\\&b\\% \\textbackslash{}input\\{x\\}\\_\\textasciicircum{}\\textasciitilde{}\\#\\$" in text
