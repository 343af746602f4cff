"""The tables that `benchmarks/all_studies.py` makes of the records, and that it goes on where it was stopped."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.made_results import made_study


@pytest.fixture
def script(benchmark: Any) -> Any:
    return benchmark("all_studies")


MUSIC = {
    "set/frechet.floor": 5.0, "set/frechet.shuffled": 20.0, "set/frechet.random": 100.0,
    "music/polyphony": 4.0, "music/polyphony.shuffled": 4.5, "music/polyphony.random": 3.0,
    "music/note_length": 1.0, "music/note_density": 0.5,
}  # fmt: skip


def _measured(frechet: float, polyphony: float) -> dict[str, float]:
    return {"set/frechet": frechet, "music/polyphony": polyphony, "music/note_length": 1.2, "music/note_density": 0.1}


def _cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_systems_stand_beside_what_music_scores(script: Any, tmp_path: Path) -> None:
    values = {"a": [_measured(value, 4.9) for value in (30.0, 40.0, 80.0)], "b": [_measured(10.0, 9.0)] * 3}
    made_study(tmp_path, values, name="systems", music=MUSIC)
    head, _, real, shuffled, random, first, second = _cells(
        script.systems_table(script.open_results("systems", tmp_path))
    )
    rows = [dict(zip(head, row, strict=True)) for row in (real, shuffled, random, first, second)]
    assert [row["Frechet"] for row in rows] == ["5", "20", "100", "50 [-15.7, 116]", "10 [10, 10]"]
    assert [row["median"] for row in rows] == ["", "", "", "40", "10"]
    assert [row["of random"] for row in rows] == ["0.05", "0.20", "1.00", "0.40", "0.10"]
    assert [row["of shuffled"] for row in rows] == ["0.25", "1.00", "5.00", "2.00", "0.50"]
    assert [row["pitches a step"] for row in rows] == ["4", "4.5", "3", "4.9", "9"]
    assert [row["within a quarter of real"] for row in rows[3:]] == ["pitches a step, beats a note", "beats a note"]
    assert "Frechet, piano" not in head


def test_a_lone_piano_has_a_column_of_its_own(script: Any, tmp_path: Path) -> None:
    values = {"a": [_measured(30.0, 4.0) | {"set/frechet.Piano": 7.0}] * 3}
    made_study(tmp_path, values, name="systems", music=MUSIC | {"set/frechet.Piano.random": 70.0})
    head, *rows = _cells(script.systems_table(script.open_results("systems", tmp_path)))
    assert [row[head.index("Frechet, piano")] for row in rows[3:]] == ["70", "7 [7, 7]"]


def test_claims_are_in_order_with_all_that_was_measured(script: Any, tmp_path: Path) -> None:
    expect = {"measure": "frechet", "of": {"latent_dim": "b"}, "relation": "below", "than": {"latent_dim": "a"}}
    values = {"a": [_measured(value, 4.0) for value in (5, 6, 7, 8, 9, 10)], "b": [_measured(2.0, 4.0)] * 6}
    claims = [{"id": name, "says": "so", "expect": [expect] * 2} for name in ("C10", "C9 mended", "C9")]
    made_study(tmp_path, values, name="systems", music=MUSIC, claims=claims)
    _, _, *rows = _cells(script.claims_table([script.open_results("systems", tmp_path)]))
    assert [row[:2] for row in rows] == [[f"{name} so", "supported"] for name in ("C9", "C9 mended", "C10")]
    assert (
        rows[0][2].count("✓ frechet of latent_dim=b below that of latent_dim=a: 2 against 7.5, difference -5.5 [") == 2
    )
    assert "p = 0.031, 6 blocks<br>" in rows[0][2]


def test_the_studies_run_one_after_the_other_and_seconds_add_up(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    codes = {"noise_sd.py": 130}

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command[1:])
        return subprocess.CompletedProcess(command, codes.get(Path(command[1]).name, 0))

    monkeypatch.setattr(script.subprocess, "run", run)
    monkeypatch.setattr(script.time, "monotonic", iter(range(1000)).__next__)
    assert script.run_all("midi:songs", tmp_path) == 130  # Ctrl-C ends it
    assert [Path(words[0]).stem for words in commands] == ["latent_dim", "noise_sd"]
    codes["noise_sd.py"] = 1  # a trial failed: the others run all the same
    assert script.run_all("midi:songs", tmp_path) == 1
    studies = commands[2:-1]
    assert {Path(words[0]).name for words in studies} == {
        file.name for file in script.STUDIES.glob("*.py") if not file.name.startswith("search_")
    }
    assert all(words[1:] == ["--data", "midi:songs", "--storage", str(tmp_path)] for words in studies)
    assert commands[-1] == ["-m", "musiclab", "report", str(tmp_path)]
    seconds = json.loads((tmp_path / "all_studies.json").read_text())
    assert (seconds["latent_dim"], seconds["systems"]) == (2, 1)
    assert "| `all` | 9 |" in script.tables(tmp_path)


def test_pictures_are_of_one_drawn_block_and_start(script: Any, tmp_path: Path) -> None:
    values = {name: [_measured(30.0, 4.0)] * 3 for name in ("a", "b")}
    made_study(tmp_path, values, name="systems", music=MUSIC)
    results = script.open_results("systems", tmp_path)
    for trial, block, variant in results.frame()[["trial", "block", "variant"]].itertuples(index=False):
        folder = tmp_path / "trials" / trial / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(4 if variant == "a" else 3):
            (folder / f"start-{start}.png").write_text(f"{block} {start}")
    script.write_pictures(results, tmp_path, tmp_path / "pictures")
    pictures = {path.stem.rpartition("=")[2]: path.read_text() for path in (tmp_path / "pictures").iterdir()}
    assert len(pictures) == 2 and len(set(pictures.values())) == 1
