#!/usr/bin/env python
"""Do label smoothing, feature matching and TTUR keep the GAN from collapsing?  Claim C8: it collapses in spite of them.

All eight combinations. set/diversity_ratio is the variety of the samples, real music's being 1; train/diversity_ratio
and train/duplicate_rate show it epoch by epoch.
"""

from musiclab.study import Grid, Study

study = Study(
    name="gan_tricks",
    system="gan",
    space={"label_smoothing": Grid(False, True), "feature_matching": Grid(False, True), "ttur": Grid(1.0, 2.0)},
    control={"label_smoothing": False, "feature_matching": False, "ttur": 1.0},
    blocks=9,
    objective="diversity_ratio",
)

if __name__ == "__main__":
    study.main()
