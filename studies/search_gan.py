#!/usr/bin/env python
"""Which tricks, with which weights, make the GAN's music most like real music?

A weight is searched only where its trick is on.
"""

from musiclab import Categorical, Float, Search, Study

matching = {"feature_matching": True}

study = Study(
    name="search_gan",
    system="gan",
    space=Search(
        {
            "output": Categorical("sigmoid", "softmax"),
            "label_smoothing": Categorical(False, True),
            "feature_matching": Categorical(False, True),
            "match_inputs": Float(0.01, 10, log=True, when=matching),
            "match_features": Float(0.01, 10, log=True, when=matching),
            "spectral_norm": Categorical(False, True),
            "r1": Float(0.01, 10, log=True, when={"spectral_norm": True}),
            "g_lr": Float(5e-4, 2e-2, log=True),
            "ttur": Float(0.5, 8, log=True),
            "schedule": Categorical("constant", "cosine"),
        },
        sampler="tpe",
        scheduler="asha",
        budget=60,
    ),
    blocks=10,
    objective="frechet",
    seed=1,
)

if __name__ == "__main__":
    study.main()
