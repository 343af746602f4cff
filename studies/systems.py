#!/usr/bin/env python
"""Which system makes the music most like real music?  Claims C6, C7, C9 and, on the mended GAN, C8.

C6: the multi-instrument RNN sounds random. C7: the next-note RNN is limited to one instrument and equal note lengths.
C8: the GAN collapses in spite of its tricks (gan_tricks asks which of them help). C9: VAE + NN is the best of the
article's own models, and the transformer is relatively good. Each claim is about the form that the article wrote down;
the mended form's verdict stands beside it. Each form is compared with the vae_nn of the same form. note_rnn plays a
piano alone, so it is compared with the others on the piano alone. All systems see the same songs and continue the same
start windows by as many windows. The GAN continues nothing, but makes as many windows.
"""

from musiclab import Claim, Expect, Grid, Study

BANDS = ["multitrack_rnn", "melody_harmony_cnn", "gan"]  # the article's own models of all instruments, except vae_nn
OTHERS = ["Drums", "Guitar", "Bass", "Strings"]


def claims(form: str, mark: str) -> list[Claim]:
    """The claims on one form of the systems; `mark` follows their ids."""
    rnn, notes, vae, transformer, bands = (
        {"system": system, "form": form} for system in ("multitrack_rnn", "note_rnn", "vae_nn", "transformer_xl", BANDS)
    )
    return [
        Claim(
            f"C6{mark}",
            "the multi-instrument RNN sounds random",
            [
                Expect("frechet", rnn, "above", "shuffled"),
                Expect("pitch_class_entropy", rnn, "above", "real"),
                Expect("harmony_gain", rnn, "below", "real"),
            ],
        ),
        Claim(
            f"C7{mark}",
            "the next-note RNN is limited to one instrument and equal note lengths",
            [
                Expect("note_length_entropy", notes, "below", "real"),
                *(Expect(f"empty_bars.{track}", notes, "above", 0.99) for track in OTHERS),
            ],
        ),
        Claim(
            f"C9{mark}",
            "VAE + NN is the best of the article's own models; the transformer is relatively good",
            [
                Expect("frechet.Piano", notes, "above", vae),
                *(Expect("frechet", {"system": system, "form": form}, "above", vae) for system in BANDS),
                Expect("frechet", transformer, "below", bands),
                Expect("frechet.Piano", transformer, "below", notes),
            ],
        ),
    ]


GAN = {"system": "gan", "form": "mended"}

study = Study(
    name="systems",
    space={
        "system": Grid("vae_nn", "note_rnn", *BANDS, "transformer_xl"),
        "form": Grid("written", "mended"),
    },
    control={"system": "vae_nn"},
    blocks=9,
    objective="frechet",
    claims=[
        *claims("written", ""),
        *claims("mended", " mended"),
        Claim(
            "C8 mended",
            "the GAN collapses in spite of label smoothing, feature matching and TTUR",
            [Expect("diversity_ratio", GAN, "below", "real"), Expect("duplicate_rate", GAN, "above", "real")],
        ),
    ],
)

if __name__ == "__main__":
    study.main()
