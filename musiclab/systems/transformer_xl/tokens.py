"""Multitrack rolls as the tokens of a published tokeniser, miditok's REMI, and back without loss.

A song in REMI (Huang and Yang 2020; with a program before each note it is the REMI+ of von Ruette et al. 2023) has
`Bar` at each bar line of 4/4, `Position` where notes begin, and for each note `Program`, `Pitch`, `Duration`. A drum
hit is `Program`, `PitchDrum`, because hits last one step. Notes that begin together are sorted by track and then by
pitch. There are no velocities and tempos, because rolls have none. A note has 3 tokens, a window of the chorales 206 at
the article's resolution, a window of LPD-5 382. (If a program were written only when it changes, LPD-5 would need a
sixth less and the chorales would need as many, but a note would depend on a program far before it.)

What REMI alone would lose is kept: a note longer than the longest `Duration` is a chain of notes, and silence after the
last note is written as bars. So every roll is restored exactly. This includes drums: windows are cut so that drums are
hits of one step, and a held drum note would be written as a hit in each of its steps.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from symusic import Note, Score, Track

from musiclab.data.notes import notes
from musiclab.data.songs import DRUMS, PROGRAMS, TRACKS

# The types of REMI's tokens as they are used here, and which may follow which.
KINDS = ("PAD", "Bar", "Position", "Program", "Pitch", "PitchDrum", "Duration")
_FOLLOWS: dict[str, tuple[str, ...]] = {
    "PAD": (),
    "Bar": ("Bar", "Position"),
    "Position": ("Program",),
    "Program": ("Pitch", "PitchDrum"),
    "Pitch": ("Duration",),
    "PitchDrum": ("Program", "Position", "Bar"),
    "Duration": ("Program", "Position", "Bar"),
}
_BEATS_A_BAR = 4
_DRUM_PROGRAM = -1  # miditok's program for drums, which MIDI tells by their channel
_VELOCITY = 100  # any will do, because it is not written into tokens


class RollTokens:
    """REMI for rolls of `resolution` steps a beat; its longest `Duration` is that of a window of `steps`."""

    def __init__(self, resolution: int, steps: int) -> None:
        # Imported here, because it takes seconds and planning does without it. It does not use the network.
        from miditok import REMI, TokenizerConfig

        self.bar = _BEATS_A_BAR * resolution
        self.longest = -(-steps // resolution) * resolution
        self.resolution = resolution
        self._remi = REMI(
            TokenizerConfig(
                pitch_range=(0, 127),
                drums_pitch_range=(0, 127),
                beat_res={(0, self.longest // resolution): resolution},
                special_tokens=["PAD"],
                use_velocities=False,
                use_note_duration_programs=[PROGRAMS[name] for name in TRACKS if name != "Drums"],
                default_note_duration=1 / resolution,
                use_time_signatures=False,
                use_programs=True,
                programs=_programs(),
                one_token_stream_for_programs=True,
                use_pitchdrum_tokens=True,
            )
        )

    def __len__(self) -> int:
        return len(self._remi)

    @cached_property
    def bar_line(self) -> int:
        """The number of the `Bar` token."""
        number: int = self._remi["Bar_None"]
        return number

    @cached_property
    def words(self) -> list[tuple[str, int]]:
        """Type and value of each token, by its number. The value of a Program is a track, of a Duration its steps."""
        by_number = sorted(self._remi.vocab.items(), key=lambda item: item[1])
        return [self._word(*text.split("_")) for text, _ in by_number]

    def encode(self, roll: np.ndarray) -> np.ndarray:
        """The tokens `(n,)` int64 of a whole roll `(track, time, 128)` bool that begins at a bar line."""
        score = Score(self.resolution)
        for name, cells in zip(TRACKS, roll, strict=True):
            track = Track(name, PROGRAMS[name], name == "Drums")
            track.notes.extend(Note(*row, _VELOCITY) for row in self._written(cells, name == "Drums"))
            if len(track.notes):
                score.tracks.append(track)
        ids = self._remi.encode(score).ids if len(score.tracks) else []
        silent = -(-roll.shape[1] // self.bar) - ids.count(self.bar_line)
        return np.array(ids + [self.bar_line] * silent, np.int64)

    def decode(self, ids: np.ndarray, steps: int) -> np.ndarray:
        """The roll `(track, steps, 128)` bool of tokens; what lies after `steps` is cut off."""
        roll = np.zeros((len(TRACKS), steps, 128), bool)
        score = self._remi.decode([int(number) for number in ids])
        for track in score.tracks:
            program = _DRUM_PROGRAM if track.is_drum else track.program
            cells = roll[_programs().index(program)]
            for note in track.notes:
                cells[note.start : note.end, note.pitch] = True
        return roll

    def _written(self, cells: np.ndarray, drums: bool) -> list[tuple[int, int, int]]:
        """Start, length and pitch of the notes to write, sorted by start and then pitch: hits, or chains of notes."""
        if drums:
            return [(step, 1, pitch) for step, pitch in np.argwhere(cells).tolist()]
        rows = []
        for start, length, pitch in notes(cells).tolist():
            pieces = range(0, length, self.longest)
            rows += [(start + done, min(self.longest, length - done), pitch) for done in pieces]
        return sorted(rows, key=lambda row: (row[0], row[2]))

    def _word(self, kind: str, value: str) -> tuple[str, int]:
        if kind == "Duration":
            beats, steps, resolution = (int(number) for number in value.split("."))
            return kind, beats * resolution + steps
        if kind == "Program":
            return kind, _programs().index(int(value))
        return kind, 0 if value == "None" else int(value)


def _programs() -> list[int]:
    """miditok's program of each of TRACKS."""
    return [_DRUM_PROGRAM if name == "Drums" else PROGRAMS[name] for name in TRACKS]


@dataclass(frozen=True)
class Written:
    """Where each of n sequences is, all `(n,)` int64; the next token depends on this alone."""

    kind: torch.Tensor  # of the last token, an index into KINDS
    bar: torch.Tensor  # bar lines passed, from 0 in the first bar
    position: torch.Tensor  # the last one in this bar; the next one is later
    track: torch.Tensor  # of the last note at this position, -1 before the first
    pitch: torch.Tensor  # of that track's last note at this position, -1 before the first
    in_bar: torch.Tensor  # tokens since the bar line

    def rows(self, index: torch.Tensor) -> "Written":
        """The sequences at `index`."""
        return Written(*(getattr(self, spec.name)[index] for spec in fields(self)))


class Grammar:
    """Which tokens may come next, so that samples have the form that `RollTokens.encode` writes.

    Types follow each other as in REMI; positions ascend in a bar, tracks at a position, pitches in a track. Only the
    tracks of `sounding` are written. A bar with `longest` tokens ends after the note that is being written. So time
    always advances, and b bars have at most b (longest + 4) tokens.
    """

    def __init__(self, tokens: RollTokens, sounding: list[int], longest: int, device: torch.device) -> None:
        kinds = [KINDS.index(kind) for kind, _ in tokens.words]
        self.longest, self.bar_steps = longest, tokens.bar
        self.kind_V = torch.tensor(kinds, device=device)
        self.value_V = torch.tensor([value for _, value in tokens.words], device=device)
        writable_V = torch.tensor(
            [
                kind not in ("PAD", "Program", "Position")
                or (kind == "Program" and value in sounding)
                or (kind == "Position" and bool(sounding))
                for kind, value in tokens.words
            ],
            device=device,
        )
        self.follows_KV = writable_V & torch.tensor(
            [[KINDS[kind] in _FOLLOWS[before] for kind in kinds] for before in KINDS], device=device
        )
        self.is_V = {kind: self.kind_V == number for number, kind in enumerate(KINDS)}
        self.complete_K = torch.tensor([kind in ("Duration", "PitchDrum") for kind in KINDS], device=device)

    def after(self, prompts: list[np.ndarray], steps: int) -> Written:
        """Where prompts are that end at `steps`: the last bar line and all notes lie before it."""
        device, n, bar = self.kind_V.device, len(prompts), KINDS.index("Bar")
        kind = [self.kind_V[int(prompt[-1])] for prompt in prompts]
        in_bar = [(self.kind_V.cpu().numpy()[prompt][::-1] == bar).argmax() for prompt in prompts]
        full = torch.ones(n, dtype=torch.int64, device=device)
        # No track is left at the prompt's last position, so the continuation begins at a position of its own.
        return Written(
            torch.stack(kind), full * (steps // self.bar_steps), full * (steps % self.bar_steps - 1),
            full * len(TRACKS), full * -1, torch.tensor(np.array(in_bar), dtype=torch.int64, device=device),
        )  # fmt: skip

    def allowed(self, at: Written) -> torch.Tensor:
        """Which tokens may come next, `(n, vocabulary)` bool; at least one in each row."""
        value, drums = self.value_V, (at.track == DRUMS)[:, None]
        track, pitch = at.track[:, None], at.pitch[:, None]
        allowed = self.follows_KV[at.kind]
        allowed &= ~self.is_V["Position"] | (value > at.position[:, None])
        allowed &= ~self.is_V["Program"] | (value > track) | ((value == track) & (pitch < 127))
        allowed &= ~self.is_V["Pitch"] | (~drums & (value > pitch))
        allowed &= ~self.is_V["PitchDrum"] | (drums & (value > pitch))
        full = self.complete_K[at.kind] & (at.in_bar >= self.longest)
        return allowed & (self.is_V["Bar"] | ~full[:, None])

    def written(self, at: Written, token: torch.Tensor) -> Written:
        """Where the sequences are after one more `token` each, `(n,)`."""
        kind, value = self.kind_V[token], self.value_V[token]
        is_bar, is_position, is_program = (kind == KINDS.index(name) for name in ("Bar", "Position", "Program"))
        is_pitch = (kind == KINDS.index("Pitch")) | (kind == KINDS.index("PitchDrum"))
        opens = is_bar | is_position
        pitch = torch.where(opens | (is_program & (value != at.track)), -1, torch.where(is_pitch, value, at.pitch))
        return Written(
            kind,
            at.bar + is_bar,
            torch.where(is_bar, -1, torch.where(is_position, value, at.position)),
            torch.where(opens, -1, torch.where(is_program, value, at.track)),
            pitch,
            torch.where(is_bar, 0, at.in_bar + 1),
        )

    def time(self, at: Written) -> torch.Tensor:
        """The step that each sequence has reached, `(n,)`; everything before it is written."""
        return at.bar * self.bar_steps + at.position.clamp(min=0)
