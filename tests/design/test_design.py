"""Designs: which variants a study file and its options make, and which of them are compared with which."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from musiclab.design.design import Design
from musiclab.errors import UserError
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study import Ablation, Claim, Expect, Grid, Study
from musiclab.study.options import design_of, options_of
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun

VAE = {"system": "vae_nn"}
RNN = {"system": "note_rnn"}


@pytest.mark.parametrize(
    "values",
    [
        np.arange(8, 33, 8),
        np.linspace(8, 32, 4).astype(int),
        8 * np.arange(1, 5, dtype=np.uint8),
        torch.arange(8, 33, 8),
        pd.Series([8, 16, 24, 32]),
        pd.Series([8, 16, 24, 32, None], dtype="Int64")[:4],
        [np.array(8), Decimal(16), np.int16(24), 32],
    ],
    ids=lambda values: f"{type(values).__name__} of {getattr(values, 'dtype', 'mixed')}",
)
def test_values_of_any_library_make_the_same_trials(designed, values: Any) -> None:
    expected = designed({"latent_dim": Grid(8, 16, 24, 32)}, {"latent_dim": 16}, **VAE)
    design = designed({"latent_dim": Grid(*values)}, {"latent_dim": values[1]}, **VAE)
    assert design.trial_specs == expected.trial_specs
    assert design.edition == expected.edition
    assert json.loads(json.dumps(design.trial_specs[0].to_json()))["variant"]["values"] == {"latent_dim": 8}


def test_every_number_of_a_study_may_be_of_numpy(designed) -> None:
    def made(whole: Any, number: Any, text: Any) -> tuple[Design, Study]:
        claim = Claim("C1", "?", [Expect("frechet", {"beta": [number(0.1)]}, "above", number(0.5))])
        study = Study(
            name=text("q"), system=text("vae_nn"), space=Ablation({"beta": (number(0.2), number(0.1))}),
            blocks=whole(2), objective=text("frechet"), margin=number(0.3), seed=whole(3), fixed={"width": whole(2)},
            claims=[claim], question="?",
        )  # fmt: skip
        given = {"set": {"vae_lr": number(0.1), "kl": text("sample")}, "blocks": whole(1), "max_failures": whole(1)}
        return design_of(study, options_of(given)), study

    (design, study), (expected, plain_study) = made(np.int64, np.float32, np.str_), made(int, float, str)
    assert study == plain_study
    assert design.trial_specs == expected.trial_specs
    assert [variant.name for variant in design.variants] == ["beta=0.1", "beta=0.2"]


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (
            {"latent_dim": Grid(*np.linspace(8, 32, 4))},
            "latent_dim must be a whole number from 1 to 256; got 8.0; write 8, or values.astype(int) for an array.",
        ),
        (
            {"latent_dim": Grid(np.arange(8, 33, 8))},
            "space['latent_dim'] must have numbers or texts, such as 8 or 'sample'; got [8, 16, 24, 32]; write "
            "Grid(*values).",
        ),
        (
            {"latent_dim": Grid(range(3))},
            "space['latent_dim'] must have numbers or texts, such as 8 or 'sample'; got range(0, 3); write "
            "Grid(*values).",
        ),
        (
            {"latent_dim": Grid(pd.NA, 8)},
            "space['latent_dim'] must have numbers or texts, such as 8 or 'sample'; got <NA>.",
        ),
        ({"beta": Grid(1.0, np.nan)}, "beta must be a number from 0 to 100; got nan."),
        (
            Ablation({"beta": (np.arange(2), np.arange(2))}),
            "components['beta'] must have numbers or texts, such as 8 or 'sample'; got [0, 1].",
        ),
        (
            Ablation({"beta": (pd.NA, pd.NA)}),
            "components['beta'] must have numbers or texts, such as 8 or 'sample'; got <NA>.",
        ),
        (
            Ablation({"beta": (np.float32(0.1), 0.1)}),
            "components['beta'] must have two different values of beta; got 0.1 both off and on.",
        ),
    ],
)
def test_values_that_no_field_takes_are_one_sentence(designed, space: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        designed(space, {}, **VAE)
    assert str(caught.value) == sentence


def test_systems_can_be_compared(designed) -> None:
    design = designed({"system": Grid("vae_nn", "note_rnn")}, VAE)
    assert [variant.name for variant in design.variants] == ["vae_nn", "note_rnn"]
    assert design.controls == {"vae_nn": "vae_nn", "note_rnn": "vae_nn"}
    assert design.comparisons == 1
    assert [list(cell.stages) for cell in design.trial_specs[:2]] == [
        ["vae", "latent", "generate", "measure"],
        ["train", "generate", "measure"],
    ]
    assert len({cell.key for cell in design.trial_specs}) == 4
    # Each has its own preset; what is equal in all is what the study as a whole is described by.
    assert design.variants[0].config["width"] == 16
    assert "width" not in design.base()
    assert design.base()["max_train"] == 1024


def test_a_list_of_variants_is_compared_each_with_its_own_system_s_control(designed) -> None:
    space = [VAE, VAE | {"noise_place": "before"}, RNN, RNN | {"layers": 2}]
    design = designed(space, {})
    assert list(design.controls.items()) == [
        ("vae_nn", "vae_nn"),
        ("vae_nn, noise_place=before", "vae_nn"),
        ("note_rnn", "note_rnn"),
        ("note_rnn, layers=2", "note_rnn"),
    ]
    assert design.comparisons == 2
    assert set(designed(space, VAE).controls.values()) == {"vae_nn"}
    with pytest.raises(UserError, match="There is no field 'layers' in VaeNNConfig"):
        designed(space, {"layers": 2})
    with pytest.raises(UserError, match="control must be one variant of the space"):
        designed(space, {"temperature": 1.0} | RNN)


def test_what_is_fixed_a_listed_variant_may_change(designed) -> None:
    design = designed([{}, {"noise_place": "after"}], {}, system="vae_nn", fixed={"noise_place": "before"})
    assert [variant.config["noise_place"] for variant in design.variants] == ["before", "after"]


def test_a_list_may_be_of_one_system(designed) -> None:
    design = designed([{}, {"kl": "sample"}, {"kl": "sample", "latent_dim": 8}], {}, system="vae_nn")
    assert list(design.controls) == ["vae_nn", "kl=sample", "kl=sample, latent_dim=8"]
    assert [variant.config["latent_dim"] for variant in design.variants] == [16, 16, 8]


def test_grids_over_systems_and_fields_are_compared_within_each_system(designed) -> None:
    space = {"system": Grid("vae_nn", "note_rnn"), "continuation": Grid(2, 4)}
    assert designed(space, {"continuation": 2}).controls == {
        "vae_nn, continuation=2": "vae_nn, continuation=2",
        "vae_nn, continuation=4": "vae_nn, continuation=2",
        "note_rnn, continuation=2": "note_rnn, continuation=2",
        "note_rnn, continuation=4": "note_rnn, continuation=2",
    }


def test_fixed_fields_lie_between_preset_and_options(designed) -> None:
    space = {"system": Grid("vae_nn", "note_rnn")}
    fixed = {"max_train": 512, "variations": 3, "latent_dim": 8}
    design = designed(space, VAE, "--set", "max_train=256", "--set", "layers=2", fixed=fixed)
    vae, rnn = (variant.config for variant in design.variants)
    assert (vae["max_train"], vae["variations"], vae["latent_dim"]) == (256, 3, 8)
    assert (rnn["max_train"], rnn["variations"], rnn["layers"]) == (256, 3, 2)
    assert "latent_dim" not in rnn
    with pytest.raises(UserError, match="There is no field 'latent_dims' in VaeNNConfig"):
        designed(space, VAE, fixed={"latent_dims": 8})


def test_the_edition_is_that_of_all_controls(designed) -> None:
    space = [VAE, RNN, RNN | {"layers": 2}]
    one = designed(space, {}).edition
    assert one == designed([*space, RNN | {"layers": 3}], {}, "--blocks", "5").edition
    assert one == designed(space, {}, "--until-clear", "--max-blocks", "9").edition
    assert one != designed(space, {}, "--set", "noise_sd=0.7").edition
    assert one != designed(space, {}, "--set", "temperature=0.7").edition


NOISE = {
    "noise_place": ("before", "after"),
    "kl": ("analytic", "sample"),
    "noise_sd": (0.0, 0.5),
    "alpha": (0.0, 1.0),
}


@pytest.mark.parametrize(
    ("design", "control"),
    [
        ("leave-one-out", "noise_place=after, kl=sample, noise_sd=0.5, alpha=1.0"),
        ("add-one-in", "noise_place=before, kl=analytic, noise_sd=0.0, alpha=0.0"),
        ("factorial", "noise_place=before, kl=analytic, noise_sd=0.0, alpha=0.0"),
    ],
)
def test_an_ablation_has_a_control_of_its_own(designed, design: str, control: str) -> None:
    made = designed(Ablation(NOISE, design), {}, system="vae_nn")
    assert set(made.controls.values()) == {control}
    assert next(iter(made.controls)) == control
    assert (made.comparisons, made.main_effects) == ((15, 4) if design == "factorial" else (4, 0))
    other = {"noise_place": "after", "kl": "sample", "noise_sd": 0.5, "alpha": 1.0}
    assert set(designed(Ablation(NOISE, "factorial"), other, system="vae_nn").controls.values()) == {
        "noise_place=after, kl=sample, noise_sd=0.5, alpha=1.0"
    }


def test_a_factorial_ablation_is_the_same_study_as_its_grids(designed) -> None:
    grids = {name: Grid(*sides) for name, sides in NOISE.items()}
    control = {name: off for name, (off, _) in NOISE.items()}
    one, other = designed(Ablation(NOISE, "factorial"), {}, system="vae_nn"), designed(grids, control, system="vae_nn")
    assert [(cell.key, cell.variant.name) for cell in one.trial_specs] == [
        (cell.key, cell.variant.name) for cell in other.trial_specs
    ]
    assert (one.edition, one.controls) == (other.edition, other.controls)


def test_systems_may_be_components(designed) -> None:
    space = Ablation({"system": ("note_rnn", "vae_nn"), "continuation": (2, 4)}, "add-one-in")
    assert designed(space, {}).controls == {
        "note_rnn, continuation=2": "note_rnn, continuation=2",
        "vae_nn, continuation=2": "note_rnn, continuation=2",
        "note_rnn, continuation=4": "note_rnn, continuation=2",
    }


def test_grids_need_a_control_and_components_take_no_fixed_value(designed) -> None:
    with pytest.raises(UserError, match=r"control must be one variant .* such as \{'kl': 'analytic'\}; got none."):
        designed({"kl": Grid("analytic", "sample")}, {}, system="vae_nn")
    with pytest.raises(UserError, match="--set kl is not possible, because q compares values of kl"):
        designed(Ablation(NOISE), {}, "--set", "kl=sample", system="vae_nn")
    with pytest.raises(UserError, match="q both fixes kl and compares values of it"):
        designed(Ablation(NOISE), {}, system="vae_nn", fixed={"kl": "sample"})
    with pytest.raises(UserError, match="There is no field 'noise_places' in VaeNNConfig"):
        designed(Ablation({"noise_places": ("before", "after")}), {}, system="vae_nn")


def test_the_plan_states_the_design_and_what_it_confounds(designed, tmp_path: Path) -> None:
    records = Records(Storage(str(tmp_path)))
    fraction = Ablation(NOISE, "fractional", resolution=4)
    made = designed(fraction, {}, system="vae_nn")
    assert len(made.variants) == 8
    PlanFile(StudyRun(made, records)).write()
    assert records.plans.get(made.folder).design == {
        "kind": "fractional",
        "components": {name: [name] for name in NOISE},
        "resolution": 4,
        "aliases": {
            "noise_place x kl": ["noise_sd x alpha"],
            "noise_place x noise_sd": ["kl x alpha"],
            "noise_place x alpha": ["kl x noise_sd"],
        },
    }
    grid = designed({"kl": Grid("analytic", "sample")}, {"kl": "sample"}, system="vae_nn")
    PlanFile(StudyRun(grid, records)).write()
    assert records.plans.get(grid.folder).design == {"kind": "grid", "aliases": {}}


@pytest.mark.parametrize(
    ("resolution", "said"),
    [
        (4, "This fraction cannot tell apart: noise_place x kl and noise_sd x alpha; noise_place x noise_sd and kl x"),
        (3, "8 of all 16 combinations, a fraction of resolution 3."),
        (3, "The 4 main effects are a family of tests of their own: 8 blocks suffice for them."),
    ],
)
def test_plan_says_what_a_fraction_confounds(
    song_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, resolution: int, said: str
) -> None:
    space = Ablation(NOISE, "fractional", resolution)
    study = Study(name="q", question="?", system="vae_nn", space=space, blocks=2, objective="frechet")
    study.main(["--data", f"midi:{song_folder}", "--storage", str(tmp_path), "--plan"])
    assert said in capsys.readouterr().out


def test_a_wrong_ablation_is_one_sentence(capsys: pytest.CaptureFixture) -> None:
    study = Study(name="q", question="?", system="vae_nn", space=Ablation(NOISE, "some"), blocks=2, objective="frechet")
    with pytest.raises(SystemExit, match="2"):
        study.main(["--plan"])
    assert "Ablation's design must be one of leave-one-out" in capsys.readouterr().err
