#!/usr/bin/env python
"""Which VAE + NN makes music that is most like real music, and as varied?

Nine fields are searched, from the size of the latent space to the rules that cut activations into notes. The article's
values and the preset's are tried first. The preset is the control of the confirmation.
"""

from musiclab import Categorical, Float, Int, Search, Study

study = Study(
    name="search_vae_nn",
    system="vae_nn",
    space=Search(
        {
            "latent_dim": Int(4, 64, log=True),
            "width": Categorical(8, 16, 24),
            "likelihood": Categorical("gaussian", "bernoulli"),
            "beta": Float(0.05, 5, log=True),
            "vae_lr": Float(5e-4, 1.6e-2, log=True),
            "vae_batch": Categorical(16, 32, 64),
            "threshold_rule": Categorical("density", "best_f1"),
            "peaks": Categorical(-1, 0, 2),
            "noise_sd": Float(0, 1.5),
        },
        sampler="tpe",
        scheduler="asha",
        budget=60,
        also=("diversity_ratio",),
    ),
    blocks=10,
    objective="frechet",
    seed=1,  # of no other study, because a winner may change the preset
)

if __name__ == "__main__":
    study.main()
