"""Style: the target songs that generation follows (named, read from a file or drawn), and draws of their latents.

A target is described by terms with ` + ` between them. A term may have a weight, which is 1 by default:

    artist:"J. S. Bach"*2 + song:Yesterday + my-song.mid

`song:` takes a title or an id, `artist:` the name of an artist, `midi:` a file; `midi:` may be omitted before a name
that ends in .mid. Case does not matter. A part of a name, in whole words, is enough if only one name has it. A name
must be in double quotes if it contains ` + ` or ends like a weight. A double quote inside them is doubled.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from musiclab.data.midi import Midi, file_windows
from musiclab.data.songs import DRUMS, PIANO, TRACKS, clean_text
from musiclab.data.store import SongRow, WindowStore
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows

# The values of a field `target` that are no description: no target, and some of the block's validation songs.
NONE, DRAWN = "none", "drawn"
# How many songs "drawn" draws; among how many songs, targets included, measures of style look for the target.
DRAWN_SONGS, CANDIDATES = 8, 24

_TERM = re.compile(
    r"""\s*(?:(?P<kind>song|artist|midi):)?\s*
    (?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>\S.*?))
    (?:\s*\*\s*(?P<weight>\d+(?:\.\d*)?|\.\d+))?
    (?:\s+\+\s+(?=\S)|\s*$)""",
    re.IGNORECASE | re.VERBOSE,
)
_NEAREST = 3


@dataclass(frozen=True)
class Term:
    """One term of a description: `kind` is "song", "artist" or "midi"; `weight` is above 0."""

    kind: str
    name: str
    weight: float


@dataclass(frozen=True)
class Targets:
    """Target songs, and with what probability each start window's latents are drawn from each of them.

    Attributes:
        ids: names of the songs.
        songs: windows of each song, packed `(m, track, steps, 16)` uint8, m at least 1.
        weights: `(rows, songs)`; each row adds up to 1. There is one row for all start windows, or one for each.
    """

    ids: tuple[str, ...]
    songs: tuple[np.ndarray, ...]
    weights: np.ndarray

    def weights_of(self, starts: int) -> np.ndarray:
        """The weights `(starts, songs)` of as many start windows; those that share a row are adjacent."""
        if starts % len(self.weights):
            raise ValueError(f"{starts} start windows do not divide among {len(self.weights)} rows of weights")
        return np.repeat(self.weights, starts // len(self.weights), axis=0)


def parse_target(text: str, option: str = "target", files: bool = True) -> list[Term]:
    """The terms of a description.

    Args:
        text: the description.
        option: the field or option that it is the value of, for messages.
        files: whether a term may be a MIDI file. A trial must not depend on a file that its key does not know.

    Raises:
        UserError: `text` is no description.
    """
    terms: list[Term] = []
    at = 0
    while at < len(text) or not terms:
        match = _TERM.match(text, at)
        term = match and _term(match)
        if match is None or term is None or (term.kind == "midi" and not files):
            wanted = "song:TITLE, artist:NAME" + (" or a MIDI file" if files else f", {DRAWN} or {NONE}")
            raise UserError(f"{option} must be {wanted} (join several with ' + ', weight them by *2); got {text!r}.")
        terms.append(term)
        at = match.end()
    return terms


def named_targets(
    text: str, store: WindowStore | None, spec: WindowSpec, option: str = "target", files: bool = True
) -> Targets:
    """The songs that a description names, each drawn with the weight of its term.

    If a term names several songs (an artist, or a title that several songs have), they share its weight evenly.

    Args:
        text: the description.
        store: the songs that can be named; without a store only files can be named.
        spec: how MIDI files are cut into windows.
        option: the field or option that `text` is the value of, for messages.
        files: whether a term may be a MIDI file.

    Raises:
        UserError: `text` is no description; a name fits no song, or different ones; or a file cannot be read or is
            shorter than one window.
    """
    songs: dict[str, np.ndarray] = {}
    weights: dict[str, float] = {}
    for term in parse_target(text, option, files):
        if term.kind == "midi":
            named = {str(Path(term.name)): file_windows(term.name, spec, option).windows}
        else:
            named = _from_store(term, store, option)
        songs |= named
        for song in named:
            weights[song] = weights.get(song, 0.0) + term.weight / len(named)
    row = np.array([list(weights.values())])
    return Targets(tuple(songs), tuple(songs.values()), row / row.sum())


def block_targets(target: str, windows: BlockWindows, block: Block) -> Targets:
    """The targets that a trial's field `target` (not "none") means: drawn from validation songs, or named.

    If songs are named, the block's test songs are left out, because whoever plays these would look like real music.

    Raises:
        UserError: no song is left, or a name is wrong.
    """
    if target != DRAWN:
        return _without(windows.split.test, named_targets(target, windows.store, windows.store.spec, files=False))
    songs = _validation_songs(windows, block)[:DRAWN_SONGS]
    if len(songs) < 2:
        raise UserError("target drawn needs at least 2 validation songs; use data of 15 songs or more.")
    own = [windows.store.songs[number].work for number in windows.store.song_numbers(windows.starts[:, 0])]
    weights = np.zeros((len(own), len(songs)))
    for start, work in enumerate(own):
        place = start % len(songs)
        # A continuation that is told to follow its own song would look steered without being so.
        place = (place + (songs[place].work == work)) % len(songs)
        weights[start, place] = 1
    return Targets(tuple(song.id for song in songs), tuple(_windows(windows.store, song) for song in songs), weights)


def other_songs(targets: Targets, windows: BlockWindows, block: Block) -> list[np.ndarray]:
    """Windows of validation songs that are no targets: together with the targets at most CANDIDATES songs."""
    works = windows.store.works
    taken = {works[song_id] for song_id in targets.ids}
    others = [song for song in _validation_songs(windows, block) if song.work not in taken]
    return [_windows(windows.store, song) for song in others[: max(0, CANDIDATES - len(targets.songs))]]


class TargetLatents:
    """The distinct latents of target songs for each instrument, and draws from them.

    Only windows in which the instrument plays differently are distinct, so what a song repeats counts once. Silence is
    one of them: an instrument that the target leaves out is drawn towards the latent of silence.
    """

    def __init__(
        self, targets: Targets, encoded: Callable[[np.ndarray], torch.Tensor], starts: int, rng: np.random.Generator
    ) -> None:
        """Encode the targets.

        Args:
            targets: the target songs.
            encoded: returns the latents `(m, track, K)` of packed windows.
            starts: how many start windows are continued.
            rng: draws songs and latents.
        """
        self.latents_MRK = encoded(np.concatenate(targets.songs))
        self.rng = rng
        self.cumulative_NS = targets.weights_of(starts).cumsum(axis=1)
        firsts = np.cumsum([0, *(len(song) for song in targets.songs)])
        # For each track and each song, places in `latents_MRK`.
        self.distinct = [
            [first + _distinct(song[:, track]) for first, song in zip(firsts, targets.songs, strict=False)]
            for track in range(len(TRACKS))
        ]

    def draw(self) -> torch.Tensor:
        """One latent for each start and instrument, `(n, track, K)`: of a song drawn by weight, any latent of it."""
        n = len(self.cumulative_NS)
        song_draws, place_draws = self.rng.random((2, n, len(TRACKS)))
        # The last song gets the remainder that rounding leaves of the sum.
        songs = (song_draws[:, :, None] >= self.cumulative_NS[:, None, :-1]).sum(axis=2)
        places = np.empty((n, len(TRACKS)), np.int64)
        for track, by_song in enumerate(self.distinct):
            counts = np.array([len(song_places) for song_places in by_song])
            offsets = np.cumsum(counts) - counts
            number = (place_draws[:, track] * counts[songs[:, track]]).astype(np.int64)
            places[:, track] = np.concatenate(by_song)[offsets[songs[:, track]] + number]
        device = self.latents_MRK.device
        return self.latents_MRK[torch.from_numpy(places).to(device), torch.arange(len(TRACKS), device=device)]


@dataclass(frozen=True)
class Pull:
    """One step's draw of target latents `(n, track, K)`, and how latents are mixed with it, see `alpha_mix`."""

    drawn: torch.Tensor
    alpha: float
    mix: str

    def last(self, z_NRK: torch.Tensor) -> torch.Tensor:
        """The last window's latents, as the networks should see them."""
        if self.mix == "per_instrument":
            return z_NRK
        mixed = self._mixed(z_NRK, self.drawn)
        if self.mix == "last_window":
            return mixed
        as_coded = z_NRK.clone()
        as_coded[:, PIANO] = mixed[:, DRUMS]
        return as_coded

    def next(self, track: int, z_NK: torch.Tensor) -> torch.Tensor:
        """An instrument's predicted next latent, as it should be decoded, before noise is added."""
        return self._mixed(z_NK, self.drawn[:, track]) if self.mix == "per_instrument" else z_NK

    def _mixed(self, z: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        return torch.lerp(z, drawn, self.alpha)  # exactly z at 0 and the draw at 1


def _without(ids: tuple[str, ...], targets: Targets) -> Targets:
    kept = [place for place, song in enumerate(targets.ids) if song not in set(ids)]
    if not kept:
        raise UserError(
            f"target: {', '.join(targets.ids)} is among this block's test songs, which no trial may use; name other "
            "songs as well, or an artist."
        )
    weights = targets.weights[:, kept]
    songs = tuple(targets.songs[place] for place in kept)
    return Targets(tuple(targets.ids[place] for place in kept), songs, weights / weights.sum(axis=1, keepdims=True))


def _distinct(rolls_MTB: np.ndarray) -> np.ndarray:
    """Places of the first of each group of equal rolls, ascending."""
    flat = rolls_MTB.reshape(len(rolls_MTB), -1)
    return np.sort(np.unique(flat, axis=0, return_index=True)[1])


def _term(match: re.Match[str]) -> Term | None:
    quoted, plain, kind = match["quoted"], match["plain"], (match["kind"] or "").lower()
    name = plain if quoted is None else quoted.replace('""', '"')
    if not kind and name.lower().endswith(Midi.suffixes):
        kind = "midi"
    weight = float(match["weight"] or 1)
    return Term(kind, name, weight) if kind and weight > 0 and _folded(name) else None


def _from_store(term: Term, store: WindowStore | None, option: str) -> dict[str, np.ndarray]:
    if store is None:
        raise UserError(f"{option}: {term.kind}:{term.name} is looked up in data, and none is given; name a MIDI file.")
    return {song.id: _windows(store, song) for song in _songs(term, store, option)}


def _songs(term: Term, store: WindowStore, option: str) -> list[SongRow]:
    """The songs that a term means: those of equal name, or else of the only name that contains it in whole words."""
    names = {
        song.id: (song.title, song.id) if term.kind == "song" else (song.artist,)
        for song in store.songs
        if term.kind == "song" or song.artist
    }
    wanted = _folded(term.name)
    equal = [song for song in store.songs if wanted in map(_folded, names.get(song.id, ()))]
    if equal:
        return equal
    words = f" {_words(term.name)} "
    containing = [
        song
        for song in store.songs
        if words.strip() and any(words in f" {_words(name)} " for name in names.get(song.id, ()))
    ]
    spellings = {_folded(names[song.id][0]): names[song.id][0] for song in containing}
    if len(spellings) == 1:
        return containing
    if spellings:
        examples = _listed(list(spellings.values()))
        raise UserError(
            f"{option}: {term.kind}:{term.name} could be any of {len(spellings)} in {store.source} ({examples}); "
            "give the whole name."
        )
    by_name = {_folded(name): name for song_names in names.values() for name in song_names}
    near = [by_name[name] for name in difflib.get_close_matches(wanted, by_name, n=_NEAREST, cutoff=0.4)]
    hint = f"the nearest are {_listed(near)}" if near else "no name is similar"
    raise UserError(f"{option}: there is no {term.kind} {term.name!r} in {store.source}; {hint}.")


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:_NEAREST]) + (", ..." if len(names) > _NEAREST else "")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", clean_text(name)).casefold()


def _words(name: str) -> str:
    return " ".join(re.findall(r"\w+", _folded(name)))


def _windows(store: WindowStore, song: SongRow) -> np.ndarray:
    return np.asarray(store.windows[song.first : song.first + song.count])


def _validation_songs(windows: BlockWindows, block: Block) -> list[SongRow]:
    """The validation songs, one version of each, in an order that the block draws."""
    held_out = set(windows.split.validation)
    works: dict[str, SongRow] = {}
    for song in windows.store.songs:
        if song.id in held_out:
            works.setdefault(song.work, song)
    order = block.numpy("sampling", "style", "songs").permutation(len(works))
    return [list(works.values())[place] for place in order]
