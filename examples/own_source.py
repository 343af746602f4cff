"""How large must a network be to learn the twelve-bar blues? Its songs are made by rule, in this file."""

import random

from musiclab import Grid, Study
from musiclab.data import Song, song_source

CHORDS = (0, 0, 0, 0, 5, 5, 0, 0, 7, 5, 0, 7)  # the root of each bar, in semitones above the key
WALK = (0, 4, 7, 9)  # what the bass plays on the four beats, above the root
SCALE = (0, 3, 5, 6, 7, 10, 12)  # what the melody is drawn from, above the key


@song_source
def blues():
    """Blues in all keys. It yields the same songs whenever it is called, because what is random is seeded."""
    for number in range(48):
        notes = list(chorus(random.Random(number), 48 + number % 12))
        yield Song.of(f"blues {number}", notes, title=f"Blues no. {number}", artist="A rule", tempo=120)


def chorus(draw, key):
    """The notes of two choruses, as (track, pitch, start, length) in beats."""
    for bar in range(24):
        root = key + CHORDS[bar % 12]
        for beat in range(4 * bar, 4 * bar + 4):
            yield "Drums", 38 if beat % 2 else 36, beat, 0.5
            yield "Drums", 42, beat, 0.5
            yield "Drums", 42, beat + 0.5, 0.5
            yield "Bass", root - 12 + WALK[beat % 4], beat, 1
            if draw.random() < 0.7:
                yield "Piano", key + 12 + draw.choice(SCALE), beat + draw.choice((0, 0.5)), 0.5
        for interval in (4, 10):
            yield "Guitar", root + interval, 4 * bar + 1, 1
            yield "Guitar", root + interval, 4 * bar + 3, 1
        yield "Strings", key + 12, 4 * bar, 4


if __name__ == "__main__":
    Study(
        name="own_source",
        system="multitrack_rnn",
        data=blues(),
        space={"hidden": Grid(32, 128)},
        control={"hidden": 32},
        fixed={"epochs": 30},
        blocks=2,
        objective="frechet",
    ).main()
