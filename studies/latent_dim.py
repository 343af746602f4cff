#!/usr/bin/env python
"""How large should the latent space be?  Claim C1: 16 of 8, 16, 32, 64 is right."""

from musiclab import Claim, Expect, Grid, Study

study = Study(
    name="latent_dim",
    system="vae_nn",
    space={"latent_dim": Grid(8, 16, 32, 64)},
    control={"latent_dim": 16},
    blocks=7,
    objective="frechet",
    claims=[
        Claim(
            "C1",
            "a 16-dimensional latent space is the right size among 8, 16, 32, 64",
            [Expect("frechet", {"latent_dim": size}, "above", {"latent_dim": 16}) for size in (8, 32, 64)],
        )
    ],
)

if __name__ == "__main__":
    study.main()
