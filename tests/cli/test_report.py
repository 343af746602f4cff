"""`musiclab report`: which studies are meant, what is written, and the overview with the claims."""

import re
from pathlib import Path

import pytest

from musiclab.cli.main import main
from musiclab.report.html.overview import overview
from tests.support.made_results import made_study

HIGH, LOW = [5.0, 6.0, 7.0, 8.0, 9.0, 10.0], [1.0, 2.5, 3.0, 4.0, 5.0, 5.5]
FILES = ("report.html", "results.csv", "results.json", "table.tex")


def _of(values: list[float]) -> list[dict[str, float]]:
    return [{"set/frechet": value} for value in values]


def _claim(name: str, relation: str, variant: str = "8") -> dict:
    expect = {"measure": "frechet", "of": {"latent_dim": variant}, "relation": relation, "than": {"latent_dim": "16"}}
    return {"id": name, "says": f"{name} is so", "expect": [expect]}


def _run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *words])
    return ended.value.code or 0


def test_one_study_gets_its_page_and_files_and_no_overview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_study(tmp_path / "my store", {"16": _of(LOW), "8": _of(HIGH)})
    assert _run(f"{tmp_path}/my store/made/") == 0
    folder = tmp_path / "my store/studies/made/e"
    assert capsys.readouterr().out == f"made: {folder}/report.html\n"
    assert all((folder / name).stat().st_size for name in FILES)
    assert not (tmp_path / "my store/overview.html").exists()


def test_a_storage_means_all_its_studies_and_gives_an_overview_whose_links_lead_to_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH)}, name="one", claims=[_claim("C2", "above")])
    made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH)}, name="two", claims=[_claim("C1", "below")])
    assert _run(str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"overview: {tmp_path}/overview.html"
    links = re.findall(r'href="([^"]+)"', (tmp_path / "overview.html").read_text())
    assert links and all((tmp_path / link).is_file() for link in links)


def test_the_claims_are_in_order_with_their_verdicts_and_the_scale_they_were_measured_at(tmp_path: Path) -> None:
    one = made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH)}, name="one", claims=[_claim("C10", "above")])
    base = {"beta": 1.0, "data": "lpd5:/somewhere/songs.tar.gz", "seed": 0}
    claims = [_claim("C2 mended", "above"), _claim("C2", "below"), _claim("C1", "above", "32")]
    few = {"16": _of(LOW), "8": _of(HIGH), "32": _of(LOW[:2])}
    two = made_study(tmp_path, few, name="two", claims=claims, base=base, scale="article", form="coded")
    text = overview([one, two])
    rows = re.findall(r'<th scope="row">(C\d+[ a-z]*)</th>.*?class="verdict ([a-z-]+)".*?</tr>', text, re.DOTALL)
    assert rows == [
        ("C1", "not-shown"), ("C2", "contradicted"), ("C2 mended", "supported"), ("C10", "supported")
    ]  # fmt: skip
    assert "article scale, coded form, lpd5:songs.tar.gz, 6 blocks" in text and "demo scale, chorales, 6 blocks" in text
    assert "/somewhere" not in text
    assert "frechet of latent_dim=8 below that of latent_dim=16: 7.5 against 3.5" in text


def test_text_of_claims_and_studies_is_escaped(tmp_path: Path) -> None:
    claim = _claim("C1", "above") | {"says": "<script>alert(1)</script>"}
    study = made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH)}, claims=[claim], question="<img src=x onerror=y>")
    text = overview([study])
    assert "<script>" not in text and "<img" not in text and "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("place", ["nowhere/made", "nowhere", "store/other", "file"])
def test_a_place_without_a_study_is_a_sentence_and_makes_no_folder(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_study(tmp_path / "store", {"16": _of(LOW), "8": _of(HIGH)})
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    assert _run(f"{tmp_path}/{place}") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and place in said and "STORAGE/STUDY" in said
    assert sorted(tmp_path.iterdir()) == before


def test_of_several_a_damaged_one_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "old", "two"):
        made_study(tmp_path, {"16": _of(LOW), "8": _of(HIGH)}, name=name)
    plan = tmp_path / "studies/old/e/plan.json"
    plan.write_bytes(plan.read_bytes().replace(b"best", b"worst"))
    assert _run(str(tmp_path)) == 0
    said = capsys.readouterr()
    assert "no study 'old' (damaged: studies/old/e/plan.json)" in said.err and said.err.count("\n") == 1
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["one", "two", "overview"]
    assert _run(f"{tmp_path}/old") == 2
