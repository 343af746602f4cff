#!/usr/bin/env python
"""Does the output depend on its start window, and do the instruments fit together?  Claims C4 and C5.

C4: from one start window and noise, vae_nn makes different continuations that still fit together (the drums differ, the
harmony follows the piano). C5: the CNN pair plays coherent instruments, but almost the same for every start. Each start
is continued four times: set/noise_sensitivity is how much these differ, set/start_sensitivity how much more those of
different starts do, music/harmony_gain how much nearer the instruments are than if put together by chance.
"""

from musiclab.study import Grid, Study

study = Study(
    name="start_sensitivity",
    space={"system": Grid("vae_nn", "melody_harmony_cnn")},
    control={"system": "vae_nn"},
    fixed={"variations": 4, "continuation": 2},
    blocks=9,
    objective="start_sensitivity",
)

if __name__ == "__main__":
    study.main()
