"""Target songs: what a description means, whose latents are drawn and how often."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import WindowSpec, pack
from musiclab.errors import UserError
from musiclab.rendering.midi import to_midi
from musiclab.systems.targets import (
    CANDIDATES,
    DRAWN_SONGS,
    Pull,
    TargetLatents,
    Targets,
    Term,
    block_targets,
    named_targets,
    other_songs,
    parse_target,
)
from musiclab.training.streams import Block
from musiclab.training.windows import block_windows
from tests.support.made_trials import made_store

SPEC, BLOCK = WindowSpec(), Block(0, 0)
DRUMS, PIANO, BASS = (TRACKS.index(name) for name in ("Drums", "Piano", "Bass"))


def _rolls(*pitches: int) -> np.ndarray:
    """Packed windows: in window i the piano holds pitch i; the other instruments are silent."""
    rolls = np.zeros((len(pitches), len(TRACKS), 32, 128), bool)
    for window, pitch in zip(rolls, pitches, strict=True):
        window[PIANO, :, pitch] = True
    return pack(rolls)


def _library(named: list[tuple[str, str, str]], windows: int = 2) -> WindowStore:
    """A store of songs `(id, artist, title)`, no two of which have equal windows."""
    numbers = np.repeat(np.arange(len(named)), windows)
    rolls = _rolls(*(numbers % 128))
    rolls[:, BASS, 0, 0] = numbers // 128
    store = made_store(rolls, [windows] * len(named))
    store.songs = [
        dataclasses.replace(row, id=song_id, artist=artist, title=title, work=song_id.partition(" #")[0])
        for row, (song_id, artist, title) in zip(store.songs, named, strict=True)
    ]
    store._rows = {song.id: song for song in store.songs}
    return store


LIBRARY = [
    ("bwv1", "J. S. Bach", "Wie schön leuchtet"),
    ("bwv66.6", "J. S. Bach", "bwv66.6"),
    ("t1", "Queen", "Killer Queen"),
    ("t2", "Queen", "Help!"),
    ("t3", "The Beatles", "HELP!"),
    ("t4", "Queens of the Stone Age", "No One Knows"),
    ("t5", "", "1 + 1 *2"),
    ("t6", "", 'The "Wall" *3'),
    ("t7", "W. F. Bach", "Sonata in C"),
    ("t8", "", "Sonata in D"),
]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("song:Yesterday", [Term("song", "Yesterday", 1)]),
        ("Artist: Bach *2 + SONG:bwv66.6", [Term("artist", "Bach", 2), Term("song", "bwv66.6", 1)]),
        ("artist:AC+DC*.5+song:x", [Term("artist", "AC+DC*.5+song:x", 1)]),
        ("artist:AC+DC*.5 + song:x", [Term("artist", "AC+DC", 0.5), Term("song", "x", 1)]),
        ('song:"1 + 1 *2" * 3', [Term("song", "1 + 1 *2", 3)]),
        ('song:"a ""b"" c"+ song:d', [Term("song", '"a ""b"" c"+ song:d', 1)]),
        ('song:"a ""b"" c" + song:d', [Term("song", 'a "b" c', 1), Term("song", "d", 1)]),
        ('song:7" mix', [Term("song", '7" mix', 1)]),
        ("song:what a + ", [Term("song", "what a +", 1)]),
        ("a/b.MID*2 + midi:c", [Term("midi", "a/b.MID", 2), Term("midi", "c", 1)]),
    ],
)
def test_descriptions_are_terms_with_weights(text: str, terms: list[Term]) -> None:
    assert parse_target(text) == terms


@pytest.mark.parametrize("text", ["", " ", "Yesterday", "song:", "song:x*0", "song:x + y", "song:a\nb", "+ song:x"])
def test_what_is_no_description_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(UserError, match=r"^--style must be song:TITLE, artist:NAME or a MIDI file .*; got "):
        parse_target(text, "--style")


def test_files_are_refused_where_no_key_would_know_them() -> None:
    for text in ("midi:x", "x.mid", "song:a + x.midi"):
        with pytest.raises(UserError, match="target must be song:TITLE, artist:NAME, drawn or none"):
            parse_target(text, files=False)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("song:bwv66.6", {"bwv66.6": 1}),
        ("song:killer QUEEN", {"t1": 1}),
        ("song:T1", {"t1": 1}),
        ("song:help!", {"t2": 0.5, "t3": 0.5}),  # one title, two songs
        ("song:WIE SCHO\u0308N LEUCHTET", {"bwv1": 1}),  # an accent of its own, as file names of some systems have
        ("song:leuchtet", {"bwv1": 1}),  # a part of one name only
        ("artist:queen", {"t1": 0.5, "t2": 0.5}),  # equal to one name, a part of no other's words
        ("artist:stone age", {"t4": 1}),
        ("artist:J. S. Bach*3 + song:bwv1", {"bwv1": 0.625, "bwv66.6": 0.375}),
        ('song:"1 + 1 *2" + song:"the ""wall"" *3"*3', {"t5": 0.25, "t6": 0.75}),
    ],
)
def test_names_are_found_and_share_their_term_s_weight(text: str, shares: dict[str, float]) -> None:
    store = _library(LIBRARY)
    targets = named_targets(text, store, SPEC)
    assert dict(zip(targets.ids, targets.weights[0].tolist(), strict=True)) == pytest.approx(shares)
    for song_id, windows in zip(targets.ids, targets.songs, strict=True):
        row = store._rows[song_id]
        np.testing.assert_array_equal(windows, store.windows[row.first : row.first + row.count])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("song:Killer Qeen", r"no song 'Killer Qeen' in made; the nearest are 'Killer Queen'"),
        ("artist:Beetles", r"no artist 'Beetles' in made; the nearest are 'The Beatles'"),
        ("artist:zzzzzz", r"no artist 'zzzzzz' in made; no name is similar"),
        ("artist:bach", r"artist:bach could be any of 2 in made \('J. S. Bach', 'W. F. Bach'\); give the whole name"),
        ("song:sonata", r"song:sonata could be any of 2"),
        ("song:onata in C", r"no song"),  # in whole words
        ("artist:Killer Queen", r"no artist"),
        ("song:Queens of the Stone Age", r"no song"),
        ("song:!", r"no song"),
    ],
)
def test_an_unknown_name_is_one_sentence_with_the_nearest(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^--style: .*{sentence}") as raised:
        named_targets(text, _library(LIBRARY), SPEC, "--style")
    assert "\n" not in str(raised.value)


def test_a_file_of_one_s_own_is_cut_into_windows(tmp_path: Path) -> None:
    roll = np.zeros((5, 70, 128), bool)
    roll[PIANO, :, 60] = roll[BASS, 32:, 40] = True
    path = tmp_path / "my song + mine.mid"
    path.write_bytes(to_midi(roll, 2))
    targets = named_targets(f'"{path}"*3 + song:t1', _library(LIBRARY), SPEC)
    assert targets.ids == (str(path), "t1")
    np.testing.assert_array_equal(targets.weights, [[0.75, 0.25]])
    np.testing.assert_array_equal(targets.songs[0], pack(np.stack([roll[:, :32], roll[:, 32:64]])))
    np.testing.assert_array_equal(named_targets(f'"{path}"', None, SPEC).songs[0], targets.songs[0])


def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    short = np.zeros((5, 20, 128), bool)
    short[PIANO, :, 60] = True
    (tmp_path / "short.mid").write_bytes(to_midi(short, 2))
    (tmp_path / "broken.mid").write_bytes(b"MThd of no use")
    (tmp_path / "empty.mid").write_bytes(b"")
    (tmp_path / "folder.mid").mkdir()
    reasons = {"short": "shorter than one window of 16 beats", "broken": "cannot be used", "empty": "cannot be used"}
    for name, reason in (reasons | {"missing": "there is no file", "folder": "there is no file"}).items():
        with pytest.raises(UserError, match=rf"^--style: .*{reason}"):
            named_targets(f'"{tmp_path / name}.mid"', None, SPEC, "--style")
    with pytest.raises(UserError, match="song:x is looked up in data, and none is given"):
        named_targets("song:x", None, SPEC)


def _drawn(store: WindowStore, block: Block = BLOCK, starts: int = 12) -> tuple[Targets, list[str], set[str]]:
    """Targets of a block, the ids of its start windows' songs, and the ids of its validation songs."""
    windows = block_windows(store, block, 0, 0, starts)
    own = [store.songs[number].id for number in store.song_numbers(windows.starts[:, 0])]
    return block_targets("drawn", windows, block), own, set(windows.split.validation)


@pytest.mark.parametrize("songs", [15, 40, 200])
def test_drawn_targets_are_validation_songs_in_turn_and_never_the_start_s_own(songs: int) -> None:
    store = _library([(f"s{n}", "", "") for n in range(songs)], windows=3)
    for index in range(4):
        targets, own, validation = _drawn(store, Block(0, index))
        assert len(targets.songs) == min(DRAWN_SONGS, len(validation))
        assert set(targets.ids) <= validation
        assert targets.weights.shape == (len(own), len(targets.songs))
        assert (targets.weights.sum(axis=1) == 1).all()
        assert set(targets.weights.flat) == {0, 1}
        meant = targets.weights.argmax(axis=1)
        for start, (place, song) in enumerate(zip(meant, own, strict=True)):
            expected = start % len(targets.songs)
            assert targets.ids[place] != song
            assert place == expected or (targets.ids[expected] == song and place == (expected + 1) % len(targets.songs))
    one, other = (_drawn(store, Block(0, index))[0] for index in (0, 1))
    assert one.ids == _drawn(store)[0].ids != other.ids


def test_another_version_of_a_start_s_song_is_no_target_of_it() -> None:
    names = [(f"s{n}{version}", "", "") for n in range(15) for version in ("", " #2")]
    for index in range(5):
        targets, own, _ = _drawn(_library(names, windows=3), Block(0, index))
        works = [song_id.partition(" #")[0] for song_id in targets.ids]
        assert len(set(works)) == len(works) == 2
        for place, song in zip(targets.weights.argmax(axis=1), own, strict=True):
            assert works[place] != song.partition(" #")[0]


def test_a_copy_of_a_song_is_no_other_song() -> None:
    store = _library([(f"s{n}", "", "") for n in range(60)], windows=3)
    store.songs = [dataclasses.replace(song, work=f"w{number % 30}") for number, song in enumerate(store.songs)]
    for index in range(5):
        windows = block_windows(store, Block(0, index), 0, 0, 12)
        targets, own, validation = _drawn(store, Block(0, index))
        works = [store.works[song_id] for song_id in targets.ids]
        assert len(set(works)) == len(works)
        for place, song in zip(targets.weights.argmax(axis=1), own, strict=True):
            assert works[place] != store.works[song]
        others = other_songs(targets, windows, Block(0, index))
        assert len(targets.ids) + len(others) <= len(validation) / 2


def test_too_few_songs_to_draw_targets_from_is_one_sentence() -> None:
    with pytest.raises(UserError, match="target drawn needs at least 2 validation songs"):
        _drawn(_library([(f"s{n}", "", "") for n in range(10)], windows=3))


def test_candidates_are_other_validation_songs() -> None:
    store = _library([(f"s{n}", "", "") for n in range(120)] + [("s0 #2", "", "")])
    for songs, count in ((store, 12), (_library([(f"s{n}", "", "") for n in range(400)]), CANDIDATES)):
        windows = block_windows(songs, BLOCK, 0, 0, 4)
        targets = block_targets("drawn", windows, BLOCK)
        others = other_songs(targets, windows, BLOCK)
        assert len(targets.songs) + len(others) == count
        known = {song.tobytes() for song in targets.songs}
        held_out = {songs.windows[songs._rows[i].first :][:2].tobytes() for i in windows.split.validation}
        for other in others:
            assert other.tobytes() in held_out - known


def _sums(packed: np.ndarray) -> torch.Tensor:
    """Stands for an encoder: a latent that tells each pitch of each instrument, `(m, track, 1)`."""
    return torch.from_numpy((np.unpackbits(packed, axis=-1) * np.arange(128)).sum(axis=(2, 3)) / 32)[..., None]


def _drawn_latents(targets: Targets, starts: int, seed: int = 0, encoded: Callable = _sums) -> np.ndarray:
    return TargetLatents(targets, encoded, starts, np.random.default_rng(seed)).draw()[..., 0].numpy()


def test_each_distinct_latent_is_drawn_as_often_however_often_the_song_repeats_it() -> None:
    targets = Targets(("a",), (_rolls(10, 10, 10, 20, 10, 30),), np.ones((1, 1)))
    drawn = _drawn_latents(targets, 6000)
    values, counts = np.unique(drawn[:, PIANO], return_counts=True)
    assert values.tolist() == [10, 20, 30]
    assert (abs(counts - 2000) < 200).all()
    # What the target leaves out is drawn as its silence.
    assert (drawn[:, BASS] == 0).all()


def test_songs_are_drawn_by_weight_whatever_their_lengths() -> None:
    targets = Targets(("a", "b", "c"), (_rolls(1, 2, 3, 4), _rolls(50), _rolls(90)), np.array([[0.3, 0.7, 0.0]]))
    drawn = _drawn_latents(targets, 6000)[:, PIANO]
    assert (drawn == 50).mean() == pytest.approx(0.7, abs=0.03)
    assert set(drawn) == {1, 2, 3, 4, 50}


def test_each_instrument_s_latent_is_drawn_on_its_own() -> None:
    rolls = np.unpackbits(_rolls(*range(8)), axis=-1).view(bool)
    rolls[:, BASS] = rolls[:, PIANO]
    drawn = _drawn_latents(Targets(("a",), (pack(rolls),), np.ones((1, 1))), 800)
    assert 0.05 < (drawn[:, PIANO] == drawn[:, BASS]).mean() < 0.25


def test_rows_of_weights_belong_to_their_starts() -> None:
    targets = Targets(("a", "b"), (_rolls(1), _rolls(2)), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert _drawn_latents(targets, 6)[:, PIANO].tolist() == [1, 1, 1, 2, 2, 2]
    with pytest.raises(ValueError, match="5 start windows do not divide among 2"):
        targets.weights_of(5)


def test_steps_draw_anew_and_equal_streams_draw_the_same() -> None:
    targets = Targets(("a",), (_rolls(*range(100)),), np.ones((1, 1)))
    latents, again = (TargetLatents(targets, _sums, 9, np.random.default_rng(seed)) for seed in (5, 5))
    steps = [latents.draw() for _ in range(2)]
    assert not torch.equal(*steps)
    assert all(torch.equal(step, again.draw()) for step in steps)
    assert not torch.equal(steps[0], TargetLatents(targets, _sums, 9, np.random.default_rng(6)).draw())


def test_what_is_mixed() -> None:
    z, drawn = torch.randn(3, 5, 2), torch.randn(3, 5, 2)
    mixed = 0.3 * drawn + 0.7 * z
    own, last, coded = (Pull(drawn, 0.3, mix) for mix in ("per_instrument", "last_window", "coded"))
    for track in range(5):
        torch.testing.assert_close(own.next(track, z[:, track]), mixed[:, track])
        assert torch.equal(last.next(track, z[:, track]), z[:, track])
        assert torch.equal(coded.next(track, z[:, track]), z[:, track])
    assert torch.equal(own.last(z), z)
    torch.testing.assert_close(last.last(z), mixed)
    others = [track for track in range(5) if track != PIANO]
    assert torch.equal(coded.last(z)[:, others], z[:, others])
    torch.testing.assert_close(coded.last(z)[:, PIANO], mixed[:, DRUMS])  # of five mixes the one written last
    assert torch.equal(Pull(drawn, 0.0, "last_window").last(z), z)
    assert torch.equal(Pull(drawn, 1.0, "last_window").last(z), drawn)


def test_test_songs_are_no_targets(store: WindowStore) -> None:
    windows = block_windows(store, Block(0, 0), 0, 0, 4)
    test, other = windows.split.test[0], windows.split.train[0]
    targets = block_targets(f"song:{test}*3 + song:{other}", windows, Block(0, 0))
    assert targets.ids == (other,)
    np.testing.assert_array_equal(targets.weights, [[1.0]])
    with pytest.raises(UserError, match=f"target: {test} is among this block's test songs"):
        block_targets(f"song:{test}", windows, Block(0, 0))
