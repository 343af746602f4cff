"""The listening test as one HTML file with all its sounds, for listeners who cannot reach the server.

Each listener who opens it draws one of the sessions in it. It asks nothing of any network, which its content policy
forbids.
"""

import base64
import hashlib
from typing import Any

from musiclab.dashboards.listening_test.app import STYLES, facts, template, text_of
from musiclab.dashboards.listening_test.fixed import FixedTest, Heard
from musiclab.dashboards.listening_test.imported import FILE_FORMAT, FIRST_NUMBER, NUMBERS
from musiclab.dashboards.listening_test.sounds import Sounds
from musiclab.dashboards.server import STYLE
from musiclab.hashing import content_hash

_SCRIPTS = ("kept.js", "player.js", "file.js", "listening_test.js")
# So many different sounds at most, so that the file can be mailed; further sessions are left out, the first never is.
_MOST_SOUNDS = 130


def offline_page(test: FixedTest, sounds: Sounds) -> str:
    """The file's text; it waits for the sounds that it needs, which are being made.

    Raises:
        UserError: if a sound cannot be made.
    """
    numbers, pieces = _numbers(test)
    made = sounds.wait(pieces)
    at = {piece: index for index, piece in enumerate(pieces)}
    sessions = {number: _session(test, number, at) for number in numbers}
    content: dict[str, Any] = {
        "format": FILE_FORMAT,
        "plan": test.plan.key,
        "sessions": sessions,
        "reference": at[test.reference],
        "sounds": [base64.b64encode(sound.mp3).decode() for sound in made],
    }
    styles = [STYLE, *(text_of(name) for name in STYLES)]
    scripts = [text_of(name) for name in _SCRIPTS]
    return template("offline.html.j2").render(
        facts=facts(test),
        content=content,
        styles=styles,
        scripts=scripts,
        style_hashes=[_hash(style) for style in styles],
        script_hashes=[_hash(script) for script in scripts],
    )


def _numbers(test: FixedTest) -> tuple[list[int], list[Heard]]:
    """The sessions that go into the file, and all their pieces in an order that tells nothing."""
    numbers: list[int] = []
    pieces = {test.reference}
    for number in range(FIRST_NUMBER, FIRST_NUMBER + NUMBERS):
        more = pieces | set(test.of_session(number))
        if numbers and len(more) > _MOST_SOUNDS:
            break
        numbers.append(number)
        pieces = more
    order = sorted(pieces, key=lambda piece: content_hash([test.plan.key, *piece.place, str(piece.condition)]))
    return numbers, order


def _session(test: FixedTest, number: int, at: dict[Heard, int]) -> list[dict[str, int]]:
    """For each presentation of a session, the places of its sounds in the file, by what a listener calls them."""
    return [
        {role: at[heard] for role, heard in test.of(presentation).items()}
        for presentation in test.plan.session_plan(number)
    ]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
