#!/usr/bin/env python
"""Do label smoothing, feature matching and TTUR keep the GAN from collapsing?  Claim C8: it collapses in spite of them.

All eight combinations, on the form that the article wrote down; `systems` asks the same of the mended form.
set/diversity_ratio is the variety of the samples (real music has 1). train/diversity_ratio and train/duplicate_rate
show it epoch by epoch.
"""

from musiclab import Ablation, Claim, Expect, Study

ALL_THREE = {"label_smoothing": True, "feature_matching": True, "ttur": 2.0}

study = Study(
    name="gan_tricks",
    system="gan",
    space=Ablation(
        {"label_smoothing": (False, True), "feature_matching": (False, True), "ttur": (1.0, 2.0)}, design="factorial"
    ),
    fixed={"form": "written"},
    blocks=9,
    objective="diversity_ratio",
    claims=[
        Claim(
            "C8",
            "the GAN collapses in spite of label smoothing, feature matching and TTUR",
            [
                Expect("diversity_ratio", ALL_THREE, "below", "real"),
                Expect("duplicate_rate", ALL_THREE, "above", "real"),
            ],
        )
    ],
)

if __name__ == "__main__":
    study.main()
