#!/usr/bin/env python
"""Does the output depend on its start window, and do the instruments fit together?  Claims C4 and C5.

C4: from one start window and noise, vae_nn makes different continuations that still fit together (the drums differ, the
harmony follows the piano). C5: the CNN pair plays coherent instruments, but almost the same for every start. Each start
is continued four times. set/noise_sensitivity is how much these continuations differ. set/start_sensitivity is how much
more the continuations of different starts differ. music/harmony_gain is how much nearer the instruments are to each
other than instruments put together by chance.
"""

from musiclab import Claim, Expect, Grid, Study

study = Study(
    name="start_sensitivity",
    space={"system": Grid("vae_nn", "melody_harmony_cnn")},
    control={"system": "vae_nn"},
    fixed={"variations": 4, "continuation": 2},
    blocks=7,
    objective="start_sensitivity",
    claims=[
        Claim(
            "C4",
            "one start window with noise gives different continuations that still fit together",
            [
                Expect("noise_sensitivity", {"system": "vae_nn"}, "above", 0.0),
                Expect("noise_sensitivity.Drums", {"system": "vae_nn"}, "above", 0.0),
                Expect("harmony_gain", {"system": "vae_nn"}, "above", "shuffled"),
            ],
        ),
        Claim(
            "C5",
            "the CNN pair gives coherent instruments but almost the same output for every start",
            [
                Expect("harmony_gain", {"system": "melody_harmony_cnn"}, "above", "shuffled"),
                Expect("start_sensitivity", {"system": "melody_harmony_cnn"}, "below", "real"),
                Expect("diversity_ratio", {"system": "melody_harmony_cnn"}, "below", "real"),
            ],
        ),
    ],
)

if __name__ == "__main__":
    study.main()
