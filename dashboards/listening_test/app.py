"""The pages of a listening test, and what their script asks of the server.

Before an answer a browser gets, of what is to be judged, two sounds of one length and one size under random names, in
the order that the plan drew; the notes and nothing else come with the answer.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from musiclab.dashboards.address import Address
from musiclab.dashboards.listening_test.fixed import FixedTest, Heard
from musiclab.dashboards.listening_test.sessions import NoSession, Progress, Sessions
from musiclab.dashboards.listening_test.sounds import Sounds, SoundsFailed
from musiclab.dashboards.server import Assets, Server, in_thread
from musiclab.data.songs import TRACKS
from musiclab.design.listening import GRADES, PAIRS, SCALES, TRAINING, Presentation
from musiclab.errors import UserError, one_line
from musiclab.fields import Fields
from musiclab.rendering.roll_svg import to_svg
from musiclab.report.html.listening import LISTENING_CSS
from musiclab.report.html.templates import templates_in
from musiclab.storage.ballots import BallotRefused

FOLDER = Path(__file__).parent
SCRIPTS = ("kept.js", "player.js", "ask.js", "listening_test.js")
STYLES = ("rolls.css", "listening_test.css")
template = templates_in(FOLDER)
GRADE_WORDS = {
    "a_much": "A is much better",
    "a_slightly": "A is slightly better",
    "equal": "Both are equally good",
    "b_slightly": "B is slightly better",
    "b_much": "B is much better",
}
SCALE_WORDS = {
    "coherence": "It fits the start.",
    "structure": "It has a form: phrases, repetition, development.",
    "creativity": "It has ideas of its own.",
    "musicality": "It sounds like good music.",
}
TRAINING_WORDS = {
    "none": "None: I listen to music.",
    "amateur": "I play or sing for myself, or did so for some years.",
    "trained": "I had lessons for five years or more, or studied music.",
    "professional": "Music is my profession.",
}
# A pair takes 40 seconds to hear and some to think about.
_MINUTES_A_PRESENTATION = {PAIRS: 0.9}
_MINUTES_A_PIECE = 0.75


def listen(test: FixedTest, address: Address, tell: Callable[[str], None]) -> None:
    """Serve a listening test until the process is interrupted.

    Raises:
        UserError: if nothing can listen at the address.
    """
    sounds = Sounds(test)
    assets = Assets({name: text_of(name) for name in (*SCRIPTS, *STYLES)})
    server = Server(address, Pages(test, sounds, assets, tell).routes, "Listening test", assets)
    sounds.start()
    server.run(tell)


def text_of(name: str) -> str:
    """A script or a style sheet by its name; what draws rolls is the report's."""
    return str(LISTENING_CSS) if name == "rolls.css" else (FOLDER / name).read_text(encoding="utf-8")


def facts(test: FixedTest) -> dict[str, Any]:
    """What a page must know of a test, the same for every listener."""
    asked = test.plan.test
    presentations = asked.presentations + asked.repeats
    minutes = _MINUTES_A_PRESENTATION.get(asked.protocol, _MINUTES_A_PIECE) * (presentations + asked.warm_ups)
    return {
        "protocol": asked.protocol,
        "question": asked.question,
        "scales": [(scale, SCALE_WORDS[scale]) for scale in SCALES],
        "grades": [(grade, GRADE_WORDS[grade]) for grade in GRADES],
        "training": [(word, TRAINING_WORDS[word]) for word in TRAINING],
        "warm_ups": asked.warm_ups,
        "presentations": presentations,
        "start": asked.start_bars > 0,
        "tracks": [track.lower() for track in TRACKS],
        "minutes": max(5, 5 * round(minutes / 5)),
    }


class Pages:
    """The routes of a listening test."""

    def __init__(
        self, test: FixedTest, sounds: Sounds, assets: Assets, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        """`tell` gets, each once, the sentences that are meant for whoever runs the test and not for listeners."""
        self._test, self._sounds, self._assets = test, sounds, assets
        self._sessions = Sessions(test)
        self._tell, self._told = tell, set[str]()

    @property
    def routes(self) -> list[BaseRoute]:
        """All of them."""
        api = {
            ("POST", "/api/begin"): self._begin,
            ("GET", "/api/reference"): self._reference,
            ("GET", "/api/session/{id}"): self._state,
            ("GET", "/api/session/{id}/sound/{name}"): self._sound,
            ("POST", "/api/session/{id}/answer"): self._answer,
            ("POST", "/api/session/{id}/withdraw"): self._withdraw,
        }
        pages = [Route(path, self._page) for path in ("/", "/session/{id}")]
        return [*pages, *(Route(path, self._answering(work), methods=[method]) for (method, path), work in api.items())]

    def _answering(self, work: Callable[[Request, Fields], Response]) -> Callable[[Request], Any]:
        """A route's function: it runs `work` in a thread, with a POST's JSON, and refuses in one sentence.

        No sentence for a listener names a variant or a path of this machine.
        """

        async def answer(request: Request) -> Response:
            body = await request.body()

            def run() -> Response:
                try:
                    return work(request, _fields(body) if request.method == "POST" else Fields({}))
                except NoSession as error:
                    return _sentence(404, str(error))
                except BallotRefused as error:
                    return _sentence(409, str(error))
                except SoundsFailed as error:
                    self._tell_once(error)
                    return _sentence(500, "A sound of this test cannot be made; please tell whoever gave you the link.")
                except ValueError as error:
                    return _sentence(400, f"The request cannot be understood: {one_line(str(error))}.")
                except (UserError, OSError) as error:
                    self._tell_once(error)
                    reason = getattr(error.__cause__ or error, "strerror", None) or "its storage fails"
                    return _sentence(503, f"The server can keep no answer at the moment: {reason}.")

            response: Response = await in_thread(run)
            return response

        return answer

    def _tell_once(self, error: Exception) -> None:
        if (sentence := one_line(str(error))) not in self._told:
            self._told.add(sentence)
            self._tell(sentence)

    async def _page(self, request: Request) -> Response:
        known = facts(self._test) | {"form_token": request.state.form_token}
        page = template("page.html.j2").render(assets=self._assets, scripts=SCRIPTS, styles=STYLES, facts=known)
        return HTMLResponse(page)

    def _begin(self, request: Request, fields: Fields) -> Response:
        session = self._sessions.begin(fields.take("training", str))
        return self._state_of(request, self._sessions.progress(session.id))

    def _state(self, request: Request, fields: Fields) -> Response:
        return self._state_of(request, self._sessions.progress(request.path_params["id"]))

    def _state_of(self, request: Request, progress: Progress, **more: Any) -> Response:
        pieces = list(self._test.of_session(progress.session.number))
        self._sounds.prepare(pieces)
        lacking = self._sounds.lacking(pieces) if progress.presentation else 0
        return JSONResponse(
            {
                "session": progress.session.id,
                "form_token": request.state.form_token,
                "answered": progress.number,
                "withdrawn": progress.withdrawn,
                "sounds": len(pieces),
                "lacking": lacking,
                "names": {} if lacking else self._sessions.names(progress),
            }
            | more
        )

    def _sound(self, request: Request, fields: Fields) -> Response:
        progress = self._sessions.progress(request.path_params["id"])
        heard = self._sessions.heard(progress, request.path_params["name"])
        if heard is None:
            return _sentence(404, "There is no such sound, or its turn has not come.")
        return self._played(heard)

    def _reference(self, request: Request, fields: Fields) -> Response:
        return self._played(self._test.reference)

    def _played(self, heard: Heard) -> Response:
        sound = self._sounds.get(heard)
        if sound is None:
            self._sounds.prepare([heard])
            self._sounds.lacking([heard])
            return _sentence(503, "This sound is still being made; ask again in a moment.")
        return Response(sound.mp3, media_type="audio/mpeg")

    def _answer(self, request: Request, fields: Fields) -> Response:
        id = request.path_params["id"]
        shown = self._sessions.answer(id, fields)
        return self._state_of(request, self._sessions.progress(id), rolls=self._rolls(shown))

    def _rolls(self, shown: Presentation) -> dict[str, str]:
        """The notes of what was heard, as SVG under the names that the listener knows."""
        pieces = self._test.of(shown)
        sounds = {role: self._sounds.get(heard) for role, heard in pieces.items()}
        start, rolls = sounds.pop("start", None), {}
        for role, sound in sounds.items():
            if sound:
                parts = [start.roll, sound.roll] if start else [sound.roll]
                steps = start.roll.shape[1] if start else 0
                title = f"The notes of {role.upper()}"
                rolls[role] = to_svg(np.concatenate(parts, axis=1), self._test.excerpts.resolution, title, steps)
        return rolls

    def _withdraw(self, request: Request, fields: Fields) -> Response:
        id = request.path_params["id"]
        self._sessions.withdraw(id)
        return self._state_of(request, self._sessions.progress(id))


def _fields(body: bytes) -> Fields:
    """The JSON object of a request; ValueError if it is none."""
    try:
        return Fields(json.loads(body))
    except (RecursionError, UnicodeDecodeError):
        raise ValueError("it is no JSON object") from None


def _sentence(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)
