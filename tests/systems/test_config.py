"""Configs: types, ranges and the sentences that say what would be right."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.errors import UserError
from musiclab.systems import Config, field, find_system, system
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.system import VaeNN


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("latent_dim", "8", 8),
        ("latent_dim", np.int64(8), 8),
        ("latent_dim", torch.tensor(8), 8),
        ("beta", "0", 0.0),
        ("beta", 2, 2.0),
        ("beta", np.uint8(2), 2.0),
        ("beta", np.float32(0.1), 0.1),
        ("likelihood", "bernoulli", "bernoulli"),
        ("likelihood", np.str_("bernoulli"), "bernoulli"),
        ("threshold_rule", "calibrated", "best_f1"),  # as version 0.1.0 called it
    ],
)
def test_texts_become_typed_values(name: str, given: object, value: object) -> None:
    got = getattr(VaeNNConfig().with_values({name: given}), name)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("latent_dim", "many", "latent_dim must be a whole number from 1 to 256; got 'many'."),
        ("latent_dim", 8.5, "latent_dim must be a whole number from 1 to 256; got 8.5."),
        (
            "latent_dim",
            8.0,
            "latent_dim must be a whole number from 1 to 256; got 8.0; write 8, or values.astype(int) for an array.",
        ),
        (
            "latent_dim",
            np.linspace(8, 32, 4)[1],
            "latent_dim must be a whole number from 1 to 256; got 16.0; write 16, or values.astype(int) for an array.",
        ),
        ("latent_dim", np.bool_(True), "latent_dim must be a whole number from 1 to 256; got True."),
        ("latent_dim", np.float32("nan"), "latent_dim must be a whole number from 1 to 256; got nan."),
        ("latent_dim", np.arange(2), "latent_dim must be a whole number from 1 to 256; got [0, 1]."),
        ("latent_dim", True, "latent_dim must be a whole number from 1 to 256; got True."),
        ("latent_dim", 0, "latent_dim must be a whole number from 1 to 256; got 0."),
        ("beta", "nan", "beta must be a number from 0 to 100; got 'nan'."),
        ("beta", float("inf"), "beta must be a number from 0 to 100; got inf."),
        ("likelihood", "poisson", "likelihood must be one of gaussian, bernoulli; got 'poisson'."),
        ("resolution", 5, "resolution must be a divisor of 24; got 5."),
        ("steps", 40, "steps must be a multiple of 16, because the convolutions divide by it; got 40."),
    ],
)
def test_wrong_values_say_what_is_right(name: str, given: object, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        VaeNNConfig().with_values({name: given})
    assert str(caught.value) == sentence


def test_unknown_field_and_system_suggest_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'latent_dim'"):
        VaeNNConfig().with_values({"latent_dims": 8})
    with pytest.raises(UserError, match="did you mean 'vae_nn'"):
        find_system("vae_n")


def test_every_field_has_a_sentence_and_a_stage_of_the_system() -> None:
    for spec in dataclasses.fields(VaeNNConfig):
        assert spec.metadata["doc"]
        assert spec.metadata["stage"] in ("windows", *VaeNN.stages)


def test_the_type_beside_a_field_counts_or_else_that_of_its_default() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine(Config):
        heat: float = field(1, "generate", "factor")
        other: "float" = field(2, "generate", "factor")  # noqa: RUF009 - of the field of a config

    def mine(data: Any, *, heat: float = 1, order=2) -> np.ndarray:
        raise NotImplementedError

    for config in (Mine, system(mine).config):
        assert repr(config().heat) == "1.0"
        assert config().with_values({"heat": 0.5}).heat == 0.5
    assert repr(Mine().other) == "2.0"
    said = "order must be a whole number; got 0.5; its default 2 is one, so write 2.0, or order: float."
    with pytest.raises(UserError, match=f"^{said}$"):
        system(mine).config().with_values({"order": 0.5})


def test_choices_and_limits_of_a_user_s_own() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine(Config):
        hidden: int = field(8, "train", "units", choices=(8, 16))
        layers: int = field(1, "train", "layers", high=4)

        def check(self) -> None:
            if self.layers == 3:
                raise ZeroDivisionError("odd")

    assert Mine().with_values({"hidden": "16"}).hidden == 16
    for values, sentence in (
        ({"hidden": 12}, r"hidden must be one of 8, 16; got 12\."),
        ({"layers": 5}, r"layers must be a whole number of at most 4; got 5\."),
        ({"layers": 3}, r"Mine: check raises ZeroDivisionError: odd \(test_config.py, line \d+\)\."),
    ):
        with pytest.raises(UserError, match=sentence):
            Mine().with_values(values)
