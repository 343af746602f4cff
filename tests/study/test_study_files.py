"""The studies of the project: each can be planned, has the blocks that its verdicts need, and asks what it says."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from musiclab import ROOT, Search
from musiclab.analysis.statistics import ALPHA, smallest_p
from musiclab.design.design import Design
from musiclab.study import Study
from musiclab.study.options import design_of, options_of
from musiclab.systems import SYSTEMS, find_system

FILES = {file.stem: file for file in sorted((ROOT.parent / "studies").glob("*.py"))}


def _study(name: str) -> Study:
    study = runpy.run_path(str(FILES[name]))["study"]
    assert isinstance(study, Study)
    return study


def _design(name: str) -> Design:
    return design_of(_study(name), options_of({}))


@pytest.mark.parametrize("name", FILES)
def test_a_study_has_the_blocks_that_its_verdicts_need_and_hardly_more(name: str) -> None:
    study, design = _study(name), _design(name)
    assert study.name == name
    assert smallest_p(study.blocks, design.comparisons) <= ALPHA
    # A claim is contradicted by any of what it expects, corrected for all of it.
    assert all(smallest_p(study.blocks, len(claim.expect)) <= ALPHA for claim in study.claims)
    if isinstance(study.space, Search):
        return  # what is confirmed has one chance, so a search may have blocks to spare
    families = [design.comparisons, *(len(claim.expect) for claim in study.claims)]
    assert smallest_p(study.blocks - 1, max(families)) > ALPHA


@pytest.mark.parametrize("name", FILES)
def test_claims_on_how_a_system_sounds_are_about_the_written_form(name: str) -> None:
    study, design = _study(name), _design(name)
    for claim in study.claims:
        forms = {fields.get("form", design.form) for expect in claim.expect for fields in _fields(expect)}
        sounds = claim.id in ("C6", "C7", "C8", "C9")
        assert forms == {"written" if sounds else "mended"}, claim.id


def _fields(expect: Any) -> list[dict[str, Any]]:
    return [fields for fields in (expect.of, expect.than) if isinstance(fields, dict)]


def test_every_claim_on_a_sound_has_the_mended_form_s_verdict_beside_it() -> None:
    ids = {claim.id for name in FILES for claim in _study(name).claims}
    assert ids == {f"C{number}" for number in range(1, 10)} | {f"C{number} mended" for number in range(6, 10)}


def test_a_lone_piano_is_compared_on_the_piano_alone() -> None:
    for claim in _study("systems").claims:
        for expect in claim.expect:
            # Only distances of the whole music count the tracks that it leaves empty.
            if expect.measure == "frechet":
                assert not any("note_rnn" in str(fields.get("system")) for fields in _fields(expect))


def test_every_difference_of_a_form_is_compared_alone() -> None:
    variants = [variant for variant in _design("written_or_coded").variants if set(variant.values) != {"system"}]
    for name in SYSTEMS:
        system = find_system(name)
        written = system.config().with_values(system.scales["demo"] | system.forms["written"])
        alone = [variant.values for variant in variants if variant.system == name]
        for form in ("coded", "mended"):
            other = system.config().with_values(system.scales["demo"] | system.forms[form])
            for field, value in other.to_json().items():
                if value != getattr(written, field) and other.spec(field).metadata["stage"] != "windows":
                    (variant,) = [values for values in alone if values.get(field) == value]
                    assert len(variant) == 2 or {"loss", "counts"} < set(variant), (name, form, field)
    assert {"system": "multitrack_rnn", "sequence": 200} in [variant.values for variant in variants]


def test_a_study_file_needs_nothing_but_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert all(_study(name).question for name in FILES)
