#!/usr/bin/env python
"""MuseGAN's table for its training data, compared with real songs, with MuseGAN's wrong chroma and with the right one.

    python benchmarks/musegan_table.py --data lpd5:PATH

Bars are 4/4 at 24 steps a beat; songs with another metre are left out. The second pair of columns takes only songs in
which all five tracks play, as MuseGAN did.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from musiclab.data.songs import BEAT_TICKS, TRACKS, BadSong, Song
from musiclab.data.sources import open_source
from musiclab.data.windows import WindowSpec, cut, unpack
from musiclab.errors import UserError
from musiclab.measures.musegan import RESOLUTION, STEPS, bands, classes, musegan_compat
from musiclab.measures.music import PITCHED_PAIRS, pair_name

# Row "Training data" of the tables for intra-track and inter-track measures.
PUBLISHED = {
    "EB": {"Bass": 0.0806, "Drums": 0.0806, "Guitar": 0.194, "Piano": 0.248, "Strings": 0.101},
    "UPC": {"Bass": 1.71, "Guitar": 3.08, "Piano": 3.28, "Strings": 3.38},
    "QN": {"Bass": 0.900, "Guitar": 0.819, "Piano": 0.884, "Strings": 0.896},
    "DP": {"Drums": 0.886},
    "TD": {
        "Piano-Guitar": 1.02,
        "Piano-Strings": 1.04,
        "Guitar-Strings": 1.10,
        "Piano-Bass": 1.51,
        "Guitar-Bass": 1.57,
        "Bass-Strings": 1.58,
    },
}
PARTS = {"EB": TRACKS, "UPC": TRACKS, "QN": TRACKS, "DP": ("Drums",), "TD": tuple(map(pair_name, PITCHED_PAIRS))}
CHROMAS = {"wrong": bands, "right": classes}

NOTES = """
EB share of silent bars, UPC chroma bins in use in a bar, QN share of notes of a 32nd at least, DP share of drum hits in
pattern, TD tonal distance of two tracks. The chroma makes no difference to EB, QN and DP.

Why the numbers differ from the published ones:
- Other songs. MuseGAN's were rock in C with all five tracks, and of those only phrases that a segmentation found, over
  100,000 bars. Here are songs of any style and key, from the first bar to the last, with intros, breaks and ends in
  which tracks are silent, so EB is higher. If songs that lack a track are left out, as MuseGAN did, it comes down.
- Other tracks. Their "strings" took in all that is neither bass, drums, guitar nor piano; LPD-5 drops some of it.
- Other origins. QN and DP depend on whether a file was played in or drawn on a grid; drawn files score higher. In
  MuseGAN's text a note of 3 steps is qualified, which is used here; in its code a note of 2 steps is.
- The chroma. "wrong" adds up seven neighbouring semitones to a bin, as MuseGAN's code does; "right" adds up octaves.
  Only "wrong" is comparable with the published numbers. Its bins hardly separate the notes of one hand position and
  count an octave as two classes. With the right chroma bars use more classes, and tracks lie closer together."""


def is_four_four(song: Song) -> bool:
    """Whether every bar of the song has four beats."""
    return bool((np.diff(song.bars) == 4 * BEAT_TICKS).all()) and song.bar_ticks == 4 * BEAT_TICKS


def songs_of(spec: str) -> Iterator[Song]:
    """All readable songs of a source."""
    source = open_source(spec)
    for name, data in source.items():
        try:
            yield source.parse(name, data)
        except BadSong:
            continue


class Means:
    """Means over the bars of all songs, by measure and chroma."""

    def __init__(self) -> None:
        self.songs = self.bars = 0
        self._sums = {(chroma, name): np.zeros((2, len(PARTS[name]))) for chroma in CHROMAS for name in PARTS}

    def add(self, values: dict[str, dict[str, np.ndarray]], bars: int) -> None:
        """Add the bars of one song: values by chroma and measure, a row a bar."""
        self.songs, self.bars = self.songs + 1, self.bars + bars
        for chroma, by_measure in values.items():
            for name, rows in by_measure.items():
                table = rows.reshape(bars, len(PARTS[name]))
                present = ~np.isnan(table)
                self._sums[chroma, name] += np.where(present, table, 0).sum(axis=0), present.sum(axis=0)

    def mean(self, chroma: str, name: str, part: str) -> float:
        """One mean; NaN if no bar has a value."""
        total, count = self._sums[chroma, name][:, PARTS[name].index(part)]
        return total / count if count else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="lpd5:PATH")
    try:
        _print_table(parser.parse_args().data)
    except UserError as error:
        parser.error(str(error))


def _print_table(spec: str) -> None:
    everything, five_tracks = Means(), Means()
    for song in songs_of(spec):
        if not is_four_four(song):
            continue
        bars = unpack(cut(song, WindowSpec(RESOLUTION, STEPS, STEPS)))
        values = {name: musegan_compat(bars, chroma) for name, chroma in CHROMAS.items()}
        everything.add(values, len(bars))
        if bars.any(axis=(0, 2, 3)).all():
            five_tracks.add(values, len(bars))
    columns = (("all songs in 4/4", everything), ("those with all tracks", five_tracks))
    print(f"{'':24}{'MuseGAN':>10}" + "".join(f"{title:>26}" for title, _ in columns))
    print(f"{'':24}{'published':>10}" + "".join(f"{f'{m.songs:,} songs, {m.bars:,} bars':>26}" for _, m in columns))
    print(f"{'':24}{'wrong':>10}" + f"{'wrong':>17}{'right':>9}" * len(columns))
    for name, published in PUBLISHED.items():
        for part, value in published.items():
            ours = "".join(f"{m.mean('wrong', name, part):17.3f}{m.mean('right', name, part):9.3f}" for _, m in columns)
            print(f"{name:4}{part:20}{value:10.3f}{ours}")
    print(NOTES)


if __name__ == "__main__":
    main()
