import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musiclab.data.songs import Song
from musiclab.data.windows import WindowSpec, cut, pack, unpack
from tests.support.made_songs import song

BAR = 96


def cells(windows: np.ndarray) -> set[tuple[int, ...]]:
    """(window, track, step, pitch) of every cell that is on."""
    return set(map(tuple, np.argwhere(unpack(windows)).tolist()))


def test_pack_keeps_every_bit_and_its_place() -> None:
    rolls = np.random.default_rng(0).random((3, 5, 4, 128)) < 0.3
    assert np.array_equal(unpack(pack(rolls)), rolls)
    one = np.zeros(128, bool)
    one[9] = True
    assert pack(one).tolist() == [0, 64, *[0] * 14]


def test_exact_bits_of_a_song_in_four_four() -> None:
    notes = [
        (0, 36, 5, 6),  # before half of a step of 12 ticks: step 0
        (0, 36, 6, 60),  # at half: step 1, and one step long whatever its end
        (1, 60, 0, 24),  # two steps
        (1, 61, 0, 1),  # at least one step
        (2, 0, 13, 30),  # step 1 to 2.5, which goes up to 3
        (4, 127, 180, 204),  # across the border of two windows
    ]
    spec = WindowSpec(resolution=2, steps=16, hop=16)
    windows = cut(song(notes, [0, BAR, 2 * BAR, 3 * BAR], 4 * BAR), spec)
    assert windows.shape == (2, 5, 16, 16)
    assert windows.dtype == np.uint8
    assert cells(windows) == {
        (0, 0, 0, 36),
        (0, 0, 1, 36),
        (0, 1, 0, 60),
        (0, 1, 1, 60),
        (0, 1, 0, 61),
        (0, 2, 1, 0),
        (0, 2, 2, 0),
        (0, 4, 15, 127),
        (1, 4, 0, 127),
    }


def test_windows_of_three_four_skip_to_the_next_bar_line() -> None:
    bars = [72 * bar for bar in range(8)]
    marks = [(1, bar, at, at + 12) for bar, at in enumerate(bars)]
    windows = cut(song(marks, bars, 576), WindowSpec(resolution=2, steps=16, hop=16))
    # Bars begin at steps 0, 6, ... 42: windows at 0 and 18 (the first bar line at or after 16); 36 leaves 12 steps.
    assert cells(windows) == {
        *((0, 1, step, bar) for bar, step in enumerate((0, 6, 12))),
        *((1, 1, step, bar) for bar, step in zip((3, 4, 5), (0, 6, 12), strict=True)),
    }


def test_a_pickup_is_left_out_and_a_note_held_over_it_begins_with_the_window() -> None:
    notes = [(1, 50, 0, 12), (1, 60, 12, 36), (1, 62, 24, 36)]
    windows = cut(song(notes, [24, 120], 216), WindowSpec(resolution=2, steps=8, hop=8))
    assert len(windows) == 2
    assert cells(windows) == {(0, 1, 0, 60), (0, 1, 0, 62)}


def test_a_tail_and_a_short_song_give_no_window() -> None:
    spec = WindowSpec(resolution=2, steps=16, hop=16)
    assert len(cut(song([], [0, 96, 192], 288), spec)) == 1
    assert cut(song([], [0], 96), spec).shape == (0, 5, 16, 16)
    assert cut(song([(1, 1, 0, 5)], [], 960), spec).shape == (0, 5, 16, 16)


def test_a_bar_line_between_two_steps_is_rounded() -> None:
    # Bars of 7/8 have 84 ticks, 3.5 steps at one step a beat: 0, 4 (up), 7, 11 (up), and the song ends at 14.
    bars = [0, 84, 168, 252]
    windows = cut(song([(1, 1, 96, 120)], bars, 336), WindowSpec(resolution=1, steps=4, hop=4))
    assert len(windows) == 2
    assert cells(windows) == {(1, 1, 0, 1)}


@pytest.mark.parametrize("resolution", [0, -1, 5, 48])
def test_resolution_must_divide_a_beat(resolution: int) -> None:
    with pytest.raises(ValueError, match="must be a divisor of 24"):
        WindowSpec(resolution=resolution)


def test_transpose_is_one_of_its_choices() -> None:
    for wrong in ("to_d", "", None, ["none"]):
        with pytest.raises(ValueError, match="transpose must be one of none, to_c; got"):
            WindowSpec(transpose=wrong)


def test_steps_and_hop_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        WindowSpec(steps=0)
    with pytest.raises(ValueError, match="at least 1"):
        WindowSpec(hop=0)


def slow_cut(made: Song, spec: WindowSpec) -> np.ndarray:
    """The same by loops over notes and cells."""
    step = lambda tick: (2 * int(tick) * spec.resolution + 24) // 48  # noqa: E731
    total = step(made.length)
    roll = np.zeros((5, total + 10_000, 128), bool)
    for track, pitch, start, end in made.notes:
        last = step(start) + 1 if track == 0 else max(step(start) + 1, step(end))
        roll[track, step(start) : last, pitch] = True
    windows, earliest = [], -1
    for bar in map(step, made.bars):
        if bar >= earliest and bar + spec.steps <= total:
            windows.append(roll[:, bar : bar + spec.steps])
            earliest = bar + spec.hop
    return np.array(windows).reshape(-1, 5, spec.steps, 128)


@settings(max_examples=60)
@given(
    notes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 900), st.integers(1, 300))),
    bar=st.sampled_from([36, 72, 84, 96]),
    resolution=st.sampled_from([1, 2, 3, 4, 24]),
    steps=st.integers(1, 40),
    hop=st.integers(1, 40),
)
def test_cut_equals_the_obvious_loops(
    notes: list[tuple[int, int, int, int]], bar: int, resolution: int, steps: int, hop: int
) -> None:
    made = song([(t, p, start, start + size) for t, p, start, size in notes], list(range(12, 1000, bar)), 1000)
    spec = WindowSpec(resolution, steps, hop)
    assert np.array_equal(unpack(cut(made, spec)), slow_cut(made, spec))


def test_a_hostile_number_of_long_notes_needs_little_memory() -> None:
    import tracemalloc

    notes = [(1, 60, start, 1_000_000) for start in range(50_000)]
    made = song(notes, list(range(0, 1_000_000, 96)), 1_000_000)
    tracemalloc.start()
    windows = cut(made, WindowSpec())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert unpack(windows).sum() == windows.shape[0] * 32
    assert peak < 50 << 20
