import io
import zipfile

import pytest

from musiclab.data.chorales import Chorales
from musiclab.data.songs import TRACKS, BadSong, Song
from musiclab.data.windows import WindowSpec, cut
from tests.support.made_songs import mxl_bytes


def voices(song: Song) -> dict[str, list[tuple[int, ...]]]:
    """(pitch, start, end) in beats of each track's notes."""
    return {
        name: sorted((p, a / 24, b / 24) for t, p, a, b in song.notes.tolist() if t == track)
        for track, name in enumerate(TRACKS)
    }


def test_voices_go_to_their_tracks_and_ties_are_joined() -> None:
    song = Chorales.parse("bach/bwv1.mxl", mxl_bytes(pickup=1, bars=3))
    starts = [(0, 1), (1, 3), (3, 7), (7, 9), (9, 11), (11, 13)]  # the third note is tied over a bar line
    assert voices(song) == {
        "Drums": [],
        "Piano": [(72, *start) for start in starts],
        "Guitar": [(67, *start) for start in starts],
        "Bass": [(57, *start) for start in starts],
        "Strings": [(62, *start) for start in starts],
    }
    assert (song.id, song.artist, song.title) == ("bwv1", "J. S. Bach", "Made")


@pytest.mark.parametrize("pickup", [0, 1, 3])
def test_windows_begin_after_the_pickup(pickup: int) -> None:
    song = Chorales.parse("x.mxl", mxl_bytes(pickup=pickup, bars=8))
    assert (song.bars / 24).tolist() == [pickup + 4 * bar for bar in range(8)]
    assert song.bar_ticks == 96
    assert len(cut(song, WindowSpec())) == 2


def test_repeats_are_played_and_a_bar_that_a_repeat_splits_is_one() -> None:
    # A pickup of 1 beat, 4 bars, and all again: the second pickup is no bar.
    song = Chorales.parse("x.mxl", mxl_bytes(pickup=1, bars=4, repeat=True))
    assert song.length == 2 * 17 * 24
    assert (song.bars / 24).tolist() == [1, 5, 9, 13, 18, 22, 26, 30]


@pytest.mark.parametrize("count", [1, 3, 5, 7])
def test_other_numbers_of_parts_are_skipped(count: int) -> None:
    with pytest.raises(BadSong, match=f"{count} parts, not 4"):
        Chorales.parse("x.mxl", mxl_bytes(voices=count))


@pytest.mark.parametrize("title", ["", "bwv2.mxl"])
def test_a_title_that_is_none_is_the_file_s_name(title: str) -> None:
    assert Chorales.parse("bwv2.mxl", mxl_bytes(title=title)).title == "bwv2"


def test_a_score_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>',
        )
        archive.writestr("score.xml", bytes(33 << 20))
    with pytest.raises(BadSong, match="unpacks to"):
        Chorales.parse("x.mxl", file.getvalue())


def test_the_corpus_is_found_and_read() -> None:
    source = Chorales()
    names = [name for name, _ in source.items()]
    assert source.count() == len(names) > 400
    assert source.spec == "chorales"
    data = dict(source.items())["bwv269.mxl"]  # three quarters to the bar after a pickup of one, and a repeat
    song = Chorales.parse("bwv269.mxl", data)
    assert song.bar_ticks == 72
    assert song.bars[0] == 24
    assert {len(notes) > 0 for name, notes in voices(song).items() if name != "Drums"} == {True}
