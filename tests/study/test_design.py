"""Designs: which variants a study file and its options make, and which of them are compared with which."""

from pathlib import Path
from typing import Any

import pytest

from musiclab.errors import UserError
from musiclab.study import Grid, Study
from musiclab.study.design import Design
from musiclab.study.options import parse_options

VAE = {"system": "vae_nn"}
RNN = {"system": "note_rnn"}


@pytest.fixture
def designed(song_folder: Path):
    """The design of a study of the given space and more, with the given options."""

    def made(space: Any, control: dict, *options: str, **more: Any) -> Design:
        study = Study(name="q", question="?", space=space, control=control, blocks=2, objective="frechet", **more)
        return Design(study, parse_options("?", ["--data", f"midi:{song_folder}", *options]))

    return made


def test_systems_can_be_compared(designed) -> None:
    design = designed({"system": Grid("vae_nn", "note_rnn")}, VAE)
    assert [variant.name for variant in design.variants] == ["vae_nn", "note_rnn"]
    assert design.controls == {"vae_nn": "vae_nn", "note_rnn": "vae_nn"}
    assert design.comparisons == 1
    assert [list(cell.stages) for cell in design.cells[:2]] == [
        ["vae", "latent", "generate", "measure"],
        ["train", "generate", "measure"],
    ]
    assert len({cell.key for cell in design.cells}) == 4
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
    with pytest.raises(UserError, match="control takes one variant of the space"):
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


def test_the_edition_is_that_of_all_controls(designed, tmp_path: Path) -> None:
    from musiclab.study.storage import Storage

    storage = Storage(str(tmp_path))
    space = [VAE, RNN, RNN | {"layers": 2}]
    one = designed(space, {}).write(storage)
    assert one == designed([*space, RNN | {"layers": 3}], {}, "--blocks", "5").write(storage)
    assert one != designed(space, {}, "--set", "noise_sd=0.7").write(storage)
    assert one != designed(space, {}, "--set", "temperature=0.7").write(storage)
