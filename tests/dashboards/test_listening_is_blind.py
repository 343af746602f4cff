"""Blindness: from all that a browser gets before an answer, but the sound itself, no program can tell variants apart.

A program that tries notes everything else: names, sizes, headers, the headers inside of the sounds, the order, the
place in the session, what the server says beside it, and how long it takes. A permutation test says whether any of that
goes with the variants. The same program finds each of seven leaks that are planted.
"""

import hashlib
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.requests import Request
from starlette.responses import Response

from musiclab.dashboards.listening_test.app import Pages
from musiclab.dashboards.listening_test.fixed import FixedTest, Heard
from musiclab.dashboards.listening_test.sessions import Progress
from musiclab.dashboards.listening_test.sounds import Sounds
from musiclab.design.listening import WARM_UP, Presentation
from tests.support.listeners import Visitor, hosted

pytestmark = pytest.mark.slow
PERMUTATIONS = 5000
# A leak shows beyond doubt, and each time. Without one, times and random names do so once in some 800 runs.
DOUBT = 5e-4
# Bytes of an MP3 at 22,050 samples and 40 kbit a second: of the tag before the first frame, and of a frame.
TAG, FRAME = 208, 130
# The condition that comes late if that leak is planted.
LATE = 2
# What a server says that is a session's own.
OF_THE_SESSION = ("session", "form_token", "answered", "rolls")


@pytest.fixture
def test(listening_test: Callable[..., FixedTest]) -> FixedTest:
    return listening_test(presentations=15, repeats=0)


class Notes:
    """What a program notes of sounds that it cannot hear, with the condition of each, which it does not know."""

    def __init__(self) -> None:
        self.conditions: list[int] = []
        self.kinds: dict[str, list[str]] = {}  # what may be equal or not
        self.numbers: dict[str, list[float]] = {}  # what may be more or less

    def add(self, condition: int, kinds: dict[str, str], numbers: dict[str, float]) -> None:
        self.conditions.append(condition)
        for name, kind in kinds.items():
            self.kinds.setdefault(name, []).append(kind)
        for name, number in numbers.items():
            self.numbers.setdefault(name, []).append(number)

    def doubts(self) -> dict[str, float]:
        """For each thing noted, the p-value of its having nothing to do with the condition."""
        rng = np.random.default_rng(0)
        labels = np.array(self.conditions)
        orders = np.argsort(rng.random((PERMUTATIONS, len(labels))), axis=1)
        shuffled = np.concatenate([labels[None], labels[orders]])
        return {name: _doubt(_agreement(_codes(kinds), shuffled)) for name, kinds in self.kinds.items()} | {
            name: _doubt(_spread(np.array(numbers), shuffled)) for name, numbers in self.numbers.items()
        }

    def suspected(self) -> set[str]:
        """What tells conditions apart beyond doubt."""
        return {name for name, doubt in self.doubts().items() if doubt <= DOUBT}


def _doubt(statistics: np.ndarray) -> float:
    """The share of permutations, with what was seen as one of them, that look at least as telling."""
    return float(np.mean(statistics >= statistics[0] - 1e-9))


def _codes(kinds: list[str]) -> np.ndarray:
    return np.unique(kinds, return_inverse=True)[1]


def _agreement(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many pairs of sounds agree both in kind and in condition, for each row of labels."""
    is_kind = (codes[:, None] == np.arange(codes.max() + 1)).astype(float)
    return sum((((labels == label) @ is_kind) ** 2).sum(axis=1) for label in np.unique(labels[0]))


def _spread(numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far apart the mean ranks of the conditions are (Kruskal and Wallis), for each row of labels."""
    ranks = np.argsort(np.argsort(numbers, kind="stable"), kind="stable").astype(float)
    for value in np.unique(numbers):
        ranks[numbers == value] = ranks[numbers == value].mean()
    ranks -= ranks.mean()
    total = np.zeros(len(labels))
    for label in np.unique(labels[0]):
        chosen = labels == label
        total += (chosen @ ranks) ** 2 / chosen.sum(axis=1)
    return total


def decoded(mp3: bytes) -> np.ndarray:
    with soundfile.SoundFile(io.BytesIO(mp3)) as file:
        return file.read(dtype="float32")


def headers_inside(mp3: bytes) -> str:
    """The tag that begins an MP3, and the header of each frame: all of its bytes that are not sound."""
    frames, at = [mp3[:TAG]], TAG
    while at < len(mp3):
        frames.append(mp3[at : at + 4])
        at += FRAME + (mp3[at + 2] >> 1 & 1)  # of the padding bit
    assert at == len(mp3), "not all frames have the same bit rate"
    return b"".join(frames).hex()


def notes_of(test: FixedTest, sounds: Sounds, pages: type[Pages] = Pages, sessions: int = 2) -> Notes:
    """What the program notes while so many listeners go through the test."""
    notes = Notes()
    with hosted(test, sounds, pages) as url:
        for _ in range(sessions):
            visitor = Visitor(url)
            state = visitor.begin()
            numbers = {each.session.id: each.session.number for each in test.ballots.sessions()}
            for number, presentation in enumerate(test.plan.session_plan(numbers[visitor.session])):
                if presentation.kind != WARM_UP:
                    note(notes, visitor, state, test.of(presentation), number)
                state = visitor.answer(number).json
    return notes


def note(notes: Notes, visitor: Visitor, state: dict[str, Any], heard: dict[str, Heard], number: int) -> None:
    names = state["names"]
    said = json.dumps({key: value for key, value in state.items() if key not in OF_THE_SESSION})
    for role in ("a", "b"):
        reply = visitor.sound(names[role])
        assert reply.status == 200
        kinds = {
            "name": names[role],
            "role": role,
            "order of names": f"{list(names).index(role)} {sorted(names.values()).index(names[role])}",
            "headers": str([(name, value) for name, value in reply.headers if name != "date"]),
            "headers inside": headers_inside(reply.body),
            "samples": str(len(decoded(reply.body))),
            "words": role + re.sub("[0-9a-f]{32}", "*", said),
        }
        numbers = {
            "size": len(reply.body),
            "number of name": int(names[role][:8], 16),
            "place": number,
            "seconds": reply.seconds,
        }
        notes.add(heard[role].condition, kinds, numbers)
        if heard[role].condition != LATE:
            LeakyTime.slowest = max(LeakyTime.slowest, reply.seconds)


def test_no_program_can_tell_variants_apart(test: FixedTest, sounds: Sounds) -> None:
    notes = notes_of(test, sounds, sessions=4)
    assert len(notes.conditions) == 120 and set(notes.conditions) == set(range(6))
    if suspected := notes.suspected():
        suspected &= notes_of(test, sounds, sessions=4).suspected()
    assert suspected == set()
    # What is the same for all tells nothing, whatever the test says.
    for name in ("headers", "headers inside", "samples"):
        assert len(set(notes.kinds[name])) == 1, name
    assert len(set(notes.numbers["size"])) == 1
    assert len(set(notes.kinds["name"])) == 120


class LeakyNames(Pages):
    """The name of a sound is a hash of what plays it."""

    def __init__(self, test: FixedTest, *more: Any) -> None:
        super().__init__(test, *more)
        sessions = self._sessions

        def name(progress: Progress, role: str) -> str:
            heard = test.of(progress.presentation)[role]
            return hashlib.sha256(str(heard.condition).encode()).hexdigest()[:32]

        sessions._name = name


class LeakyBytes(Pages):
    """Some bytes after the sound, as many as the number of what plays it."""

    def _played(self, heard: Heard) -> Response:
        played = super()._played(heard)
        return Response(played.body + FRAME * bytes(heard.condition or 0), media_type=played.media_type)


class LeakyHeader(Pages):
    """A validator for caches."""

    def _played(self, heard: Heard) -> Response:
        played = super()._played(heard)
        played.headers["etag"] = f'"{heard.condition}"'
        return played


class LeakyTime(Pages):
    """One variant takes twice as long as the slowest reply so far, however fast the machine is."""

    slowest = 0.02  # seconds

    def _played(self, heard: Heard) -> Response:
        if heard.condition == LATE:
            time.sleep(2 * self.slowest)
        return super()._played(heard)


class LeakyTag(Pages):
    """An encoder that writes into a file how it came about."""

    def _played(self, heard: Heard) -> Response:
        played = super()._played(heard)
        tag = bytearray(played.body)
        tag[TAG - 1] = 1 + (heard.condition or 0)
        return Response(bytes(tag), media_type=played.media_type)


class LeakyWords(Pages):
    """The kind of a pair beside its names."""

    def _state_of(self, request: Request, progress: Progress, **more: Any) -> Response:
        presentation = progress.presentation
        return super()._state_of(request, progress, kind=str(presentation and presentation.first), **more)


class InOrder(FixedTest):
    """What comes first in the list of variants is A."""

    def of(self, presentation: Presentation) -> dict[str, Heard]:
        first, second = sorted((presentation.first, presentation.second))
        return super().of(replace(presentation, first=first, second=second))


LEAKS = {
    LeakyNames: {"name"},
    LeakyBytes: {"size"},
    LeakyHeader: {"headers"},
    LeakyTime: {"seconds"},
    LeakyTag: {"headers inside"},
    LeakyWords: {"words"},
}


@pytest.mark.parametrize("pages", LEAKS, ids=lambda pages: pages.__name__)
def test_a_planted_leak_is_found(pages: type[Pages], test: FixedTest, sounds: Sounds) -> None:
    assert LEAKS[pages] <= notes_of(test, sounds, pages).suspected()


def test_a_planted_order_is_found(test: FixedTest, sounds: Sounds) -> None:
    ordered = InOrder(test.plan, test.ballots, test.excerpts)
    assert {"role"} <= notes_of(ordered, sounds).suspected()
