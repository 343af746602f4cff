"""Configs by which every system trains in seconds."""

from typing import Any

# Seconds of training, after which the output depends on all that the system says it depends on.
TINY: dict[str, dict[str, Any]] = {
    "vae_nn": {
        # So trained, the latents hold enough for the others to follow the piano in most continuations.
        "width": 8, "latent_dim": 8, "likelihood": "bernoulli", "beta": 0.01, "vae_epochs": 6, "vae_batch": 8,
        "vae_lr": 1e-2, "latent_epochs": 6, "latent_batch": 8, "latent_lr": 1e-2,
    },
    "note_rnn": {"hidden": 16, "vocabulary": 32, "sequence": 16, "epochs": 4, "batch": 8, "lr": 1e-2},
    "multitrack_rnn": {"hidden": 16, "layers": 2, "epochs": 3, "batch": 8, "lr": 1e-2},
    "melody_harmony_cnn": {
        # So trained and cut, guitar and bass follow the piano after most starts.
        "width": 8, "hidden": 64, "dense_layers": 2, "dropout": 0.0, "epochs": 6, "batch": 8, "lr": 1e-2,
        "threshold_rule": "absolute", "threshold": 0.1,
    },
    "gan": {"width": 2, "latent_dim": 8, "epochs": 3, "batch": 16, "g_lr": 3e-3},
    "transformer_xl": {
        "d_model": 16, "layers": 1, "heads": 2, "memory": 32, "segment": 32, "epochs": 2, "batch": 4, "lr": 1e-2,
    },
}  # fmt: skip
COMMON = {"max_train": 64, "max_eval": 24, "starts": 6, "continuation": 3}
