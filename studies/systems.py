#!/usr/bin/env python
"""Which system makes the music most like real music?  Claims C6, C7 and C9.

C6: the multi-instrument RNN sounds random. C7: the next-note RNN is limited to one instrument and equal note lengths.
C9: VAE + NN is the best of the article's own models, and the transformer is relatively good. All systems see the same
songs and continue the same start windows by as many windows. The GAN continues nothing, but makes as many windows.
`note_rnn` plays the piano alone, so it is compared with others on the piano alone.
"""

from musiclab import Claim, Expect, Grid, Study

OWN = ["note_rnn", "multitrack_rnn", "melody_harmony_cnn", "gan"]  # the article's own models except vae_nn
BANDS = [system for system in OWN if system != "note_rnn"]
OTHERS = ["Drums", "Guitar", "Bass", "Strings"]

study = Study(
    name="systems",
    space={"system": Grid("vae_nn", *OWN, "transformer_xl")},
    control={"system": "vae_nn"},
    blocks=8,
    objective="frechet",
    claims=[
        Claim(
            "C6",
            "the multi-instrument RNN sounds random",
            [
                Expect("frechet", {"system": "multitrack_rnn"}, "above", "shuffled"),
                Expect("pitch_class_entropy", {"system": "multitrack_rnn"}, "above", "real"),
                Expect("harmony_gain", {"system": "multitrack_rnn"}, "below", "real"),
            ],
        ),
        Claim(
            "C7",
            "the next-note RNN is limited to one instrument and equal note lengths",
            [
                Expect("note_length_entropy", {"system": "note_rnn"}, "below", "real"),
                *(Expect(f"empty_bars.{track}", {"system": "note_rnn"}, "above", 0.99) for track in OTHERS),
            ],
        ),
        Claim(
            "C9",
            "VAE + NN is the best of the article's own models; the transformer is relatively good",
            [
                *(Expect("frechet", {"system": system}, "above", {"system": "vae_nn"}) for system in BANDS),
                Expect("frechet.Piano", {"system": "note_rnn"}, "above", {"system": "vae_nn"}),
                Expect("frechet", {"system": "transformer_xl"}, "below", {"system": BANDS}),
                Expect("frechet.Piano", {"system": "transformer_xl"}, "below", {"system": "note_rnn"}),
            ],
        ),
    ],
)

if __name__ == "__main__":
    study.main()
