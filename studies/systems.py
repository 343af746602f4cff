#!/usr/bin/env python
"""Which system makes the music most like real music?  Claims C6, C7 and C9.

C6: the multi-instrument RNN sounds random. C7: the next-note RNN is limited to one instrument and equal note lengths.
C9: VAE + NN is the best of the article's own models, and the transformer is relatively good. All systems see the same
songs and continue the same start windows by as many windows; the GAN, which continues nothing, makes as many.
"""

from musiclab.study import Grid, Study

study = Study(
    name="systems",
    space={"system": Grid("vae_nn", "note_rnn", "multitrack_rnn", "melody_harmony_cnn", "gan", "transformer_xl")},
    control={"system": "vae_nn"},
    blocks=8,
    objective="frechet",
)

if __name__ == "__main__":
    study.main()
