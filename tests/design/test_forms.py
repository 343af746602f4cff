"""Forms: which one a variant starts from, where a study or a run says so, and what it changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study import Ablation, Claim, Expect, Grid
from musiclab.study.forecast import setting
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun
from musiclab.systems.vae_nn.system import VaeNN

VAE = {"system": "vae_nn"}
SIZES = {"latent_dim": Grid(8, 16)}
BOTH = {"form": Grid("mended", "written")}


@pytest.fixture(autouse=True)
def known_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms of a system that differ in one field, whatever its real forms are."""
    forms = {"mended": {"beta": 0.25}, "written": {"beta": 0.5}, "coded": {"beta": 0.75}}
    monkeypatch.setattr(VaeNN, "forms", forms)


def _betas(design: Any) -> list[float]:
    return [variant.config["beta"] for variant in design.variants]


@pytest.mark.parametrize(
    ("options", "fixed", "form", "beta"),
    [
        ([], {}, "mended", 0.25),
        (["--form", "mended"], {}, "mended", 0.25),
        (["--form", "written"], {}, "written", 0.5),
        (["--form", "coded", "--scale", "article"], {}, "coded", 0.75),
        ([], {"form": "written"}, "written", 0.5),
        (["--form", "written", "--set", "beta=2"], {}, "written", 2.0),
        ([], {"form": "written", "beta": 3.0}, "written", 3.0),
    ],
)
def test_a_form_changes_fields_beside_the_scale_and_below_what_is_fixed(
    designed: Callable[..., Any], options: list[str], fixed: dict[str, Any], form: str, beta: float
) -> None:
    design = designed(SIZES, {"latent_dim": 16}, *options, fixed=fixed, **VAE)
    assert design.form == form
    assert {variant.form for variant in design.variants} == {form}
    assert _betas(design) == [beta, beta]
    assert {variant.config["width"] for variant in design.variants} == {64 if "article" in options else 16}
    # A form that is not compared is in no name.
    assert [variant.name for variant in design.variants] == ["latent_dim=8", "latent_dim=16"]


def test_forms_can_be_compared_and_are_named_by_their_value_alone(designed: Callable[..., Any]) -> None:
    design = designed({"system": Grid("vae_nn", "note_rnn")} | BOTH, {"system": "vae_nn"})
    names = ["vae_nn, mended", "vae_nn, written", "note_rnn, mended", "note_rnn, written"]
    assert [variant.name for variant in design.variants] == names
    assert design.form == ""
    # The control names no form, so each is compared with the control of its own form.
    assert list(design.controls.values()) == ["vae_nn, mended", "vae_nn, written"] * 2
    assert design.comparisons == 2


def test_a_control_may_name_its_form(designed: Callable[..., Any]) -> None:
    controls = designed(SIZES | BOTH, {"latent_dim": 16, "form": "written"}, **VAE).controls
    assert set(controls.values()) == {"written, latent_dim=16"}
    controls = designed(SIZES | BOTH, {"latent_dim": 16}, **VAE).controls
    assert set(controls.values()) == {"mended, latent_dim=16", "written, latent_dim=16"}
    with pytest.raises(UserError, match="control must be one variant of the space"):
        designed(SIZES | BOTH, {"latent_dim": 16, "form": "coded"}, **VAE)


def test_a_listed_variant_may_change_the_form_that_is_fixed(designed: Callable[..., Any]) -> None:
    space, fixed = [{}, {"latent_dim": 8}, {"form": "coded"}], {"form": "written"}
    design = designed(space, {}, fixed=fixed, **VAE)
    assert _betas(design) == [0.5, 0.5, 0.75]
    assert design.form == ""
    # A variant that names no form has the one that is fixed, also as the control that is meant by its form.
    design = designed(space, {"form": "written"}, fixed=fixed, **VAE)
    assert design.controls == dict.fromkeys(("vae_nn", "latent_dim=8", "coded"), "vae_nn")


def test_a_form_may_be_a_component_of_an_ablation(designed: Callable[..., Any]) -> None:
    design = designed(Ablation({"form": ("written", "mended"), "noise_sd": (0.0, 0.5)}), {}, **VAE)
    assert design.controls == {
        "mended, noise_sd=0.5": "mended, noise_sd=0.5",
        "written, noise_sd=0.5": "mended, noise_sd=0.5",
        "mended, noise_sd=0.0": "mended, noise_sd=0.5",
    }


def test_a_claim_may_expect_something_of_a_form(designed: Callable[..., Any]) -> None:
    def claim(form: str) -> dict[str, Any]:
        return {"claims": [Claim("C1", "?", [Expect("frechet", {"form": form}, "above", "shuffled")])]}

    designed(BOTH, {"form": "mended"}, **VAE, **claim("written"))
    designed(SIZES, {"latent_dim": 16}, "--form", "written", **VAE, **claim("written"))
    with pytest.raises(UserError) as caught:
        designed(SIZES, {"latent_dim": 16}, **VAE, **claim("written"))
    assert str(caught.value) == "Claim C1 names written, but no variant of the study has that."


@pytest.mark.parametrize(
    ("space", "fixed", "options", "sentence"),
    [
        (BOTH, {}, ["--form", "written"], "--form is not possible, because q says itself which forms it asks about."),
        (
            SIZES,
            {"form": "written"},
            ["--form", "mended"],
            "--form is not possible, because q says itself which forms it asks about.",
        ),
        (SIZES, {}, ["--set", "form=written"], "--set form is not possible, because a form is no field; use --form "),
        (SIZES, {"form": "mend"}, [], "form must be one of mended, written, coded; got 'mend'."),
        (SIZES, {"form": ["mended"]}, [], "form must be one of mended, written, coded; got ['mended']."),
        ({"form": Grid("mended", 3)}, {}, [], "form must be one of mended, written, coded; got 3."),
        (BOTH, {"form": "written"}, [], "q both fixes form and compares values of it; leave one out."),
    ],
)
def test_a_wrong_form_is_one_sentence(
    designed: Callable[..., Any], space: Any, fixed: dict[str, Any], options: list[str], sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        designed(space, {"latent_dim": 16} if space is SIZES else {"form": "mended"}, *options, fixed=fixed, **VAE)
    assert str(caught.value).startswith(sentence)


def test_two_forms_of_the_same_values_are_the_same_variant(
    designed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VaeNN, "forms", {"mended": {}, "written": {}, "coded": {}})
    with pytest.raises(UserError, match="mended and written are the same variant; leave one of them out"):
        designed(BOTH, {"form": "mended"}, **VAE)


def test_the_form_changes_keys_by_its_fields_alone(designed: Callable[..., Any]) -> None:
    def keys(*options: str) -> list[str]:
        return [trial.key for trial in designed(SIZES, {"latent_dim": 16}, *options, **VAE).trial_specs]

    assert keys("--form", "written") == keys("--set", "beta=0.5") != keys()


def test_plan_and_trials_say_the_form(designed: Callable[..., Any], tmp_path: Path) -> None:
    records = Records(Storage(str(tmp_path)))
    designs = {
        "written": designed(SIZES, {"latent_dim": 16}, "--form", "written", **VAE),
        "": designed(BOTH, {"form": "mended"}, **VAE),
    }
    for form, design in designs.items():
        PlanFile(StudyRun(design, records)).write()
        plan = records.plans.get(design.folder)
        assert plan is not None
        assert plan.form == form
        assert [trial.variant.form for trial in plan.trial_specs[:2]] == ([form] * 2 if form else ["mended", "written"])
    data = f"data {designs[''].source.spec}"
    assert setting(designs["written"]) == f"{data}, scale demo, form written"
    assert setting(designs[""]) == f"{data}, scale demo, forms compared"
    # A trial that an earlier version planned says none.
    trial = designs["written"].trial_specs[0]
    old = trial.to_json()
    del old["variant"]["form"]
    assert TrialSpec.from_json(old).variant.form == ""
    assert TrialSpec.from_json(trial.to_json()) == trial
