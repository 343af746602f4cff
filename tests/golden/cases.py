"""The cases of the golden runs: every choice and every switch of every system, changed one at a time."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.base import System

# A case is named for what it changes. The base case changes nothing.
BASE = "as it is"
Cases = dict[str, dict[str, dict[str, Any]]]

# Small enough to take a fraction of a second, large enough that every part of a system computes something.
_COMMON = {"max_train": 48, "max_eval": 24, "starts": 6, "continuation": 2}
_TINY: dict[str, dict[str, Any]] = {
    "note_rnn": {"hidden": 12, "vocabulary": 24, "sequence": 16, "epochs": 2, "batch": 8, "lr": 1e-2},
    "multitrack_rnn": {"hidden": 12, "layers": 2, "epochs": 2, "batch": 8, "lr": 1e-2},
    "melody_harmony_cnn": {"width": 4, "hidden": 16, "epochs": 2, "batch": 8, "lr": 1e-2},
    "vae_nn": {
        "width": 4, "latent_dim": 6, "vae_epochs": 2, "vae_batch": 8, "vae_lr": 1e-2, "latent_epochs": 2,
        "latent_batch": 8, "latent_lr": 1e-2,
    },
    "gan": {"width": 2, "latent_dim": 6, "epochs": 2, "batch": 16, "g_lr": 3e-3},
    "transformer_xl": {
        "d_model": 16, "layers": 2, "heads": 2, "memory": 32, "segment": 32, "epochs": 2, "batch": 4, "lr": 1e-2,
    },
}  # fmt: skip
# Cases that `switches` does not find: numbers that select other code, and switches that need a second one.
_MORE: dict[str, list[dict[str, Any]]] = {
    "note_rnn": [{"layers": 2}],
    "multitrack_rnn": [{"layers": 1}, {"loss": "cross_entropy", "counts": "drawn"}],
    "melody_harmony_cnn": [{"dense_layers": 2}, {"peaks": 2}, {"threshold_rule": "density", "peaks": -1}],
    "vae_nn": [
        {"threshold_rule": "density", "peaks": -1, "contrast": 0.5},
        {"target": "drawn"},
        {"target": 'song:"song 03" + song:"song 05"*2'},
        {"target": "drawn", "alpha_mix": "last_window"},
        {"target": "drawn", "alpha_mix": "coded"},
    ],
    "gan": [{"pitches": 72}, {"label_smoothing": False, "feature_matching": False}, {"peaks": -1}, {"peaks": 3}],
    "transformer_xl": [{"steps": 16, "hop": 16}],
}


def cases() -> Cases:
    """By system and by name of the case: the values in which its config differs from the defaults."""
    return {name: dict(_cases(find_system(name))) for name in SYSTEMS}


def _cases(system: System[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    base = _COMMON | _TINY[system.name]
    yield BASE, base
    changes = [*switches(system), {"variations": 2}, *_MORE[system.name]]
    for change in changes:
        yield ", ".join(f"{name}={value}" for name, value in change.items()), base | change


def switches(system: System[Any]) -> list[dict[str, Any]]:
    """Every other choice of each field, every flag reversed, and every number that is switched off or on by 0.

    Fields of the windows are left out, because golden runs of systems make their windows instead of cutting songs.
    """
    changes: list[dict[str, Any]] = []
    config = system.config().with_values(_COMMON | _TINY[system.name])
    for field in dataclasses.fields(config):
        value, meta = getattr(config, field.name), field.metadata
        if meta["stage"] == "windows":
            continue
        if meta["choices"]:
            changes += [{field.name: choice} for choice in meta["choices"] if choice != value]
        elif isinstance(value, bool):
            changes.append({field.name: not value})
        elif meta["low"] == 0:
            changes.append({field.name: 0 if value else min(1, meta["high"] / 2)})
    return changes
