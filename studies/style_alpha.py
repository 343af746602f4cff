#!/usr/bin/env python
"""How far does alpha steer towards a target song?  Claim C3: more alpha, more likeness; 0.5 keeps variation too.

Each block draws a few held-out songs as targets. With alpha 0 there is no target. style/specificity is the likeness to
the target minus the likeness to other songs.
"""

from musiclab import Claim, Expect, Grid, Study

study = Study(
    name="style_alpha",
    system="vae_nn",
    space={"alpha": Grid(0.0, 0.25, 0.5, 0.75, 1.0), "noise_sd": Grid(0.0, 0.5, 1.0)},
    control={"alpha": 0.0, "noise_sd": 0.5},
    fixed={"target": "drawn"},
    blocks=10,
    objective="specificity",
    claims=[
        Claim(
            "C3",
            "alpha steers similarity to the target song; 0.5 keeps resemblance and variation",
            [
                Expect("similarity", {"alpha": 1.0}, "above", {"alpha": 0.5}),
                Expect("similarity", {"alpha": 0.5}, "above", {"alpha": 0.0}),
                Expect("specificity", {"alpha": 0.5}, "above", 0.0),
                Expect("duplicate_rate", {"alpha": 0.5}, "below", {"alpha": 1.0}),
            ],
        )
    ],
)

if __name__ == "__main__":
    study.main()
