#!/usr/bin/env python
"""Does it matter that the article's code does otherwise than its text?  Each difference by itself, against the text.

Starred variants are as written, at the demo's sizes. Each of the others changes one thing to what the authors' public
code does (alpha_mix=last_window lies between: the code's place of the mix, without its bug). All are one family of
comparisons, which needs ten blocks. To keep these short, training sees 384 windows. vae_nn always follows drawn target
songs, because otherwise there would be nothing to mix. Of the GAN's 5 x 64 x 72 only the 72 pitches are tested, because
at four steps a beat nothing would be measured by the same rule.
"""

from typing import Any

from musiclab import Study

CODED: dict[str, list[dict[str, Any]]] = {
    "note_rnn": [{"layers": 2}],
    "multitrack_rnn": [
        {"sequence": 100}, {"sequence": 200}, {"counts": "three"}, {"counts": "predicted"}, {"late_target": True},
    ],
    "melody_harmony_cnn": [{"dense_layers": 2}, {"encoder": "shared"}],
    "vae_nn": [{"noise_place": "after"}, {"alpha_mix": "last_window"}, {"alpha_mix": "coded"}],
    "gan": [{"pitches": 72}, {"norm": "reused"}, {"label_smoothing": False}, {"feature_matching": False}],
}  # fmt: skip

study = Study(
    name="written_or_coded",
    space=[{"system": system} | change for system, changes in CODED.items() for change in [{}, *changes]],
    control={},
    fixed={"max_train": 384, "noise_place": "before", "target": "drawn"},
    blocks=10,
    objective="frechet",
)

if __name__ == "__main__":
    study.main()
