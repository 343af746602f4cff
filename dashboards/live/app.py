"""The pages of `musiclab watch`: an index of the studies of a storage, and a page for each."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from musiclab.dashboards.address import Address
from musiclab.dashboards.live.events import stream, version_name
from musiclab.dashboards.live.real_music import NO_SOUND
from musiclab.dashboards.live.view import StudyView
from musiclab.dashboards.live.watcher import Watcher
from musiclab.dashboards.server import Assets, Server, form, in_thread, ranged, sentence_page
from musiclab.design.listening import Place
from musiclab.errors import UserError, one_line
from musiclab.report.html.listening import LISTENING_CSS, LISTENING_JS
from musiclab.report.html.templates import templates_in
from musiclab.storage.files import Storage, storage_at
from musiclab.storage.inventory import FOLDERS
from musiclab.storage.leases import ask_to_stop

_FOLDER = Path(__file__).parent
_template = templates_in(_FOLDER)
# A report has its scripts and styles in it. In a sandbox they can reach nothing of this server.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; media-src data:; frame-ancestors 'none'"
)


def watch(place: str, address: Address, tell: Callable[[str], None]) -> None:
    """Serve the pages of the storage at `place` until the process is interrupted.

    Raises:
        UserError: if there is no storage, or if nothing can listen at the address.
    """
    storage = opened(place)
    with Watcher(storage) as watcher:
        Pages(watcher, address).server.run(tell)


def opened(place: str) -> Storage:
    """The storage at a place, to be looked at only.

    Raises:
        UserError: if it is none. An empty folder will do, because a study may be started later.
    """
    storage = storage_at(place, probe="look")
    if storage is None:
        raise UserError(f"STORAGE must be a folder or URI in which studies keep their records; there is no {place!r}.")
    try:
        names = storage.names("")
    except OSError as error:
        raise UserError(f"STORAGE {place!r} cannot be read: {one_line(str(error)).rstrip('.')}.", exit_code=1) from None
    if names and not {*names} & {*FOLDERS}:
        raise UserError(
            f"STORAGE must be a folder or URI in which studies keep their records; {place!r} holds other things."
        )
    return storage


class Pages:
    """The pages of what a watcher watches.

    Attributes:
        server: serves them.
    """

    def __init__(self, watcher: Watcher, address: Address) -> None:
        self._watcher, self._storage = watcher, watcher.storage
        texts = {name: (_FOLDER / name).read_text(encoding="utf-8") for name in ("watch.css", "watch.js")}
        self._assets = Assets(texts | {"listening.js": str(LISTENING_JS)} | _with_listening(texts["watch.css"]))
        routes = [
            Route("/", self._index),
            Route("/events", self._index_events),
            Route("/studies/{study}", self._study),
            Route("/studies/{study}/events", self._study_events),
            Route("/studies/{study}/stop", self._stop, methods=["POST"]),
            Route("/studies/{study}/report", self._report),
            Route("/studies/{study}/sound/{key}/{name}", self._sound),
            Route("/studies/{study}/real/{place}.mp3", self._real_sound),
        ]
        # An address may have a secret in it, which is no visitor's to see.
        self._place = re.sub(r"//[^/]*@", "//", self._storage.root)
        self.server = Server(address, routes, f"Studies in {self._place}", self._assets)

    def _page(self, request: Request, name: str, events: str, values: dict[str, Any]) -> Response:
        page = _template(name).render(
            assets=self._assets,
            events=events,
            age=self._watcher.age,
            trouble=self._watcher.trouble,
            storage=self._place,
            form_token=request.state.form_token,
            **values,
        )
        return HTMLResponse(page.encode(errors="replace"))

    def _health(self) -> tuple[float, str]:
        return self._watcher.age, self._watcher.trouble

    async def _index(self, request: Request) -> Response:
        index = self._watcher.index
        events = f"/events?since={version_name(index.clock.now)}"
        return self._page(request, "index.html.j2", events, {"studies": Markup(index.html("studies"))})

    async def _index_events(self, request: Request) -> Response:
        index = self._watcher.index
        return stream(request, lambda: index.clock.now, index.since, self._health, lambda: self.server.is_ending)

    async def _study(self, request: Request) -> Response:
        view, place = self._view(request), _asked_place(request)
        values = await in_thread(view.page, place)
        place = values["place"]
        chosen = f"&place={place.block}-{place.start}" if place else ""
        events = f"{view.address}/events?since={version_name(values['version'])}{chosen}"
        values["report"] = await in_thread(self._storage.exists, f"{view.folder}/report.html")
        return self._page(request, "study.html.j2", events, values)

    async def _study_events(self, request: Request) -> Response:
        view, place = self._view(request), _asked_place(request)
        return stream(
            request,
            lambda: view.clock.now,
            lambda since: view.changes(since, place),
            self._health,
            lambda: self.server.is_ending,
        )

    async def _stop(self, request: Request) -> Response:
        """Ask the process that runs the study to stop, if it is still the one that the visitor saw."""
        view, fields = self._view(request), await form(request)
        lease = view.lease()
        if lease is None or fields.get("lease") != lease:
            return sentence_page(request, 409, "This run of the study has ended, so there is nothing to stop.")
        try:
            await in_thread(ask_to_stop, self._storage, lease)
        except (OSError, UserError) as error:
            reason = one_line(str(error)).rstrip(".")
            return sentence_page(request, 503, f"The request to stop cannot be written: {reason}.")
        return RedirectResponse(view.address, 303)

    async def _report(self, request: Request) -> Response:
        view = self._view(request)
        try:
            page = await in_thread(self._storage.read, f"{view.folder}/report.html")
        except OSError:
            raise HTTPException(404, f"{view.study} has no report yet.") from None
        return HTMLResponse(page, headers={"content-security-policy": _REPORT_POLICY})

    async def _sound(self, request: Request) -> Response:
        view, start = self._view(request), re.fullmatch(r"(\d{1,9})\.mp3", request.path_params["name"])
        record = await in_thread(view.record, request.path_params["key"])
        if record is None or start is None:
            raise HTTPException(404, "There is no such trial, or it has not finished.")
        try:
            sound = await in_thread(view.music.sound, record, int(start[1]))
        except UserError as error:
            raise HTTPException(404, str(error)) from None
        return ranged(request, sound, "audio/mpeg")

    async def _real_sound(self, request: Request) -> Response:
        view, place = self._view(request), _place(request.path_params["place"])
        try:
            if place is None:
                raise UserError(NO_SOUND)
            sound = await in_thread(view.real_music.sound, place)
        except UserError as error:
            raise HTTPException(404, str(error)) from None
        return ranged(request, sound, "audio/mpeg")

    def _view(self, request: Request) -> StudyView:
        study = request.path_params["study"]
        view = self._watcher.views.get(study)
        if view is None:
            raise HTTPException(404, f"{self._place} has no study {study!r}.")
        return view


def _asked_place(request: Request) -> Place | None:
    """The start window that the visitor has chosen."""
    return _place(request.query_params.get("place", ""))


def _place(text: str) -> Place | None:
    """A start window by its text: `2-1` is start 1 of block 2; None if it is no such text."""
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text)
    return Place(int(match[1]), int(match[2])) if match else None


def _with_listening(style: str) -> dict[str, str]:
    return {"watch.css": f"{LISTENING_CSS}{style}"}
