"""Claims: what is expected, what was measured of it, and the verdict."""

import math
from typing import Any

import pytest

from musiclab.analysis.claims import judgements
from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import paired_p
from musiclab.design.claims import Claim, Expect, check_claims
from musiclab.design.trials import TrialSpec, Variant
from musiclab.errors import UserError
from musiclab.report.sentences import evidence, evidence_mark, expectation
from musiclab.storage.trial_documents import TrialRecord
from musiclab.training.streams import Block
from tests.support.made_records import made_record

FRECHET = "set/frechet"


def _trials(
    values: dict[int, list[float | None]], scale: dict[str, float] | None = None, full: str = FRECHET
) -> tuple[list[TrialSpec], dict[str, TrialRecord]]:
    """Cells and records of variants by latent_dim, a value a block; None is a block without a record."""
    cells, records = [], {}
    for size, of in values.items():
        variant = Variant("vae_nn", {"latent_dim": size}, {"latent_dim": size, "beta": 1.0}, "d")
        for block, value in enumerate(of):
            cell = TrialSpec(variant, Block(0, block), {"measure": f"{size}-{block}"})
            cells.append(cell)
            if value is not None:
                records[cell.key] = made_record({full: value}, scale)
    return cells, records


def _verdict(values: dict[int, list[float | None]], *expect: Expect, scale: dict[str, float] | None = None) -> str:
    return judgements([Claim("C1", "so it is", expect)], *_trials(values, scale))[0].verdict


ABOVE = Expect("frechet", {"latent_dim": 8}, "above", {"latent_dim": 16})
BELOW = Expect("frechet", {"latent_dim": 8}, "below", {"latent_dim": 16})
HIGH, LOW = [5.0, 6.0, 7.0, 8.0, 9.0, 10.0], [1.0, 2.5, 3.0, 4.0, 5.0, 5.5]


def test_what_is_shown_supports_and_its_opposite_contradicts() -> None:
    assert _verdict({8: HIGH, 16: LOW}, ABOVE) == "supported"
    assert _verdict({8: HIGH, 16: LOW}, BELOW) == "contradicted"
    assert _verdict({8: HIGH, 16: HIGH[::-1]}, ABOVE) == "not shown"


def test_five_blocks_can_show_nothing() -> None:
    assert _verdict({8: HIGH[:5], 16: LOW[:5]}, ABOVE) == "not shown"


def test_all_that_is_expected_must_be_shown_each_by_itself() -> None:
    third = Expect("frechet", {"latent_dim": 32}, "above", {"latent_dim": 16})
    assert _verdict({8: HIGH, 16: LOW, 32: HIGH}, ABOVE, third) == "supported"
    assert _verdict({8: HIGH, 16: LOW, 32: LOW[::-1]}, ABOVE, third) == "not shown"
    # p is 2/64 for each: not small enough to contradict once it is corrected for two, and for one it is.
    assert _verdict({8: HIGH, 16: LOW, 32: HIGH}, BELOW, third) == "not shown"
    assert _verdict({8: [*HIGH, 9.0], 16: [*LOW, 2.0], 32: [*HIGH, 9.0]}, BELOW, third) == "contradicted"


def test_a_claim_that_expects_nothing_is_not_shown() -> None:
    assert _verdict({8: HIGH}) == "not shown"


def test_real_music_and_ceilings_come_from_each_block_s_own_scale() -> None:
    scale = {"set/frechet.floor": 20.0, "set/frechet.shuffled": 0.5}
    real = Expect("frechet", {"latent_dim": 8}, "below", "real")
    shuffled = Expect("frechet", {"latent_dim": 8}, "above", "shuffled")
    assert _verdict({8: HIGH}, real, shuffled, scale=scale) == "supported"
    # A measure whose aim is real music has its value under its own name, which counts before any floor.
    assert _verdict({8: HIGH}, real, scale=scale | {FRECHET: 1.0}) == "contradicted"
    found = judgements([Claim("C", "", [shuffled])], *_trials({8: HIGH}, scale))[0].found[0]
    assert (found.value, found.than, found.difference.mean) == (7.5, 0.5, 7.0)


def test_several_values_stand_for_their_mean_in_each_block() -> None:
    cells, records = _trials({8: [1.0, 2.0], 16: [3.0, None], 32: [10.0, 20.0]})
    either = Expect("frechet", {"latent_dim": [8, 16]}, "below", {"latent_dim": 32})
    found = judgements([Claim("C", "", [either])], cells, records)[0].found[0]
    assert (found.difference.n, found.value, found.than) == (1, 2.0, 10.0)  # block 1 lacks one of the two
    everything = Expect("frechet", {"beta": 1.0}, "below", 100.0)
    assert judgements([Claim("C", "", [everything])], cells, records)[0].found[0].value == pytest.approx(14 / 3)


def test_a_value_of_one_track_and_what_was_never_measured() -> None:
    cells, records = _trials({8: [0.5] * 6}, full="set/noise_sensitivity.Drums")
    drums = Expect("noise_sensitivity.Drums", {"latent_dim": 8}, "above", 0.0)
    assert judgements([Claim("C4", "", [drums])], cells, records)[0].verdict == "supported"
    scale = {f"{FRECHET}.random": 0.1, f"{FRECHET}.Piano.random": 1.0, f"{FRECHET}.Piano.floor": 0.2}
    piano = [Expect("frechet.Piano", {"latent_dim": 8}, *side) for side in (("below", "random"), ("above", "real"))]
    of_piano = _trials({8: [0.5] * 6}, scale, full=f"{FRECHET}.Piano")
    assert judgements([Claim("C9", "", piano)], *of_piano)[0].verdict == "supported"
    nothing = judgements([Claim("C4", "", [ABOVE])], cells, records)[0]
    assert (nothing.verdict, evidence_mark(nothing.found[0])) == ("not shown", "?")
    assert math.isnan(nothing.found[0].p) and evidence(nothing.found[0]).endswith("not measured")


def test_words_say_what_was_expected_and_found() -> None:
    found = judgements([Claim("C1", "", [BELOW])], *_trials({8: HIGH, 16: LOW}))[0].found[0]
    assert evidence_mark(found) == "✗"
    assert evidence(found).startswith(
        "frechet of latent_dim=8 below that of latent_dim=16: 7.5 against 3.5, difference 4 [3.5, 4.5], p"
    )
    assert evidence(found).endswith("p = 0.031, 6 blocks")
    assert expectation(Expect("frechet", {"system": ["gan", "vae_nn"]}, "above", "shuffled")) == (
        "frechet of gan or vae_nn above tracks shuffled between songs"
    )


def test_a_form_is_a_field_of_its_own_and_shown_by_its_name_alone() -> None:
    values = {"mended": LOW, "written": HIGH}
    trials = [
        TrialSpec(Variant("gan", {"form": form}, {}, "d", form), Block(0, block), {"measure": f"{form}-{block}"})
        for form in values
        for block in range(len(LOW))
    ]
    records = {
        trial.key: made_record({FRECHET: values[trial.variant.form][trial.block.index]}, {f"{FRECHET}.random": 5.5})
        for trial in trials
    }
    than_mended = Expect("frechet", {"form": "written"}, "above", {"system": "gan", "form": "mended"})
    than_random = Expect("frechet", {"system": "gan", "form": "written"}, "above", "random")
    (found,) = judgements([Claim("C1", "", [than_mended, than_random])], trials, records)
    assert [round(measured.value - measured.than, 2) for measured in found.found] == [4, 2]
    assert expectation(than_mended) == "frechet of written above that of gan, mended"


def test_json_gives_the_claim_back() -> None:
    import dataclasses
    import json

    claim = Claim("C1", "so", (ABOVE, Expect("frechet", {"latent_dim": 8}, "below", 0.5)))
    assert Claim.from_json(json.loads(json.dumps(dataclasses.asdict(claim)))) == claim


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (["C1"], "claims must be a list of Claim"),
        (
            [Claim("C1", "", [Expect("freshet", {"latent_dim": 8}, "above", 1.0)])],
            "must have a known name; got 'freshet'",
        ),
        ([Claim("C1", "", [Expect("frechet", {"latent_dim": 9}, "above", 1.0)])], "Claim C1 names latent_dim=9"),
        ([Claim("C1", "", [Expect("frechet", {"latent_dim": 8}, "above", {"alpha": 9})])], "Claim C1 names alpha=9"),
        (
            [Claim("C1", "", [Expect("frechet", {"latent_dim": 8}, "over", 1.0)])],
            "relation must be above or below; got 'over'",
        ),
        ([Claim("C1", "", [Expect("frechet", {"latent_dim": 8}, "above", "reel")])], "'reel'"),
        ([Claim("C1", "", [Expect("frechet", {"latent_dim": 8}, "above", None)])], "or a number"),
        ([Claim("C1", "", [Expect("frechet", {"latent_dim": 8}, "above", math.nan)])], "or a number"),
        ([Claim("C1", "", [Expect("frechet", "vae_nn", "above", 1.0)])], "of must be fields of a variant"),
    ],
)
def test_a_claim_that_cannot_be_is_a_sentence(claims: list[Any], said: str) -> None:
    variants = [cell.variant for cell in _trials({8: [1.0]})[0]]
    with pytest.raises(UserError, match=said):
        check_claims(claims, variants)


def test_blocks_that_came_one_by_one_are_judged_by_tests_that_hold_at_any_time() -> None:
    cells, records = _trials({8: HIGH, 16: [value - 4 for value in HIGH]})
    fixed, sequential = (judgements([Claim("C", "", [ABOVE])], cells, records, each)[0] for each in (False, True))
    assert (fixed.found[0].p, sequential.found[0].p) == (paired_p([4.0] * 6), anytime_p([4.0] * 6))
    # The first eight blocks show it, and the mean of all twenty is on the other side.
    turned = _trials({8: [1.0] * 8 + [-1.0] * 12, 16: [0.0] * 20})
    assert judgements([Claim("C", "", [ABOVE])], *turned, True)[0].verdict == "not shown"
