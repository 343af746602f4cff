#!/usr/bin/env python
"""How much noise on the latents is best?  Claim C2: between 0.5 and 1.0; more is random, less repeats.

latent/noise_response says how far noise of a given sd moves a decoded window (two real windows are 1 apart).
set/noise_sensitivity says how much two continuations of one start window differ.
"""

from musiclab import Claim, Expect, Grid, Study

BEST = [0.5, 0.75, 1.0]

study = Study(
    name="noise_sd",
    system="vae_nn",
    space={"noise_sd": Grid(0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)},
    control={"noise_sd": 0.5},
    fixed={"variations": 2},
    blocks=9,
    objective="frechet",
    claims=[
        Claim(
            "C2",
            "noise_sd between 0.5 and 1.0 gives the best degree of variation (more is random, less repeats)",
            [
                Expect("frechet", {"noise_sd": 0.0}, "above", {"noise_sd": BEST}),
                Expect("frechet", {"noise_sd": [2.0, 2.5, 3.0]}, "above", {"noise_sd": BEST}),
                Expect("duplicate_rate", {"noise_sd": 0.0}, "above", {"noise_sd": BEST}),
            ],
        )
    ],
)

if __name__ == "__main__":
    study.main()
