#!/usr/bin/env python
"""How large should the latent space be?  Claim C1: 16 of 8, 16, 32, 64 is right."""

from musiclab.study import Grid, Study

study = Study(
    name="latent_dim",
    system="vae_nn",
    space={"latent_dim": Grid(8, 16, 32, 64)},
    control={"latent_dim": 16},
    blocks=10,
    objective="frechet",
)

if __name__ == "__main__":
    study.main()
