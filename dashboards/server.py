"""A server of pages on this machine: Starlette's routes behind the guard, run by uvicorn until it is interrupted."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from musiclab.dashboards.address import Address
from musiclab.dashboards.guard import LARGEST_BODY, SIGN_IN, STATIC, Guard, form_fields
from musiclab.errors import one_line
from musiclab.hashing import content_hash
from musiclab.report.html.templates import STYLE_CSS, templates_in

_WRONG_TOKEN_S = 1.0  # how long a wrong token waits for its answer, so that nobody tries many
_GRACE_S = 2  # how long open answers may take once the server is to end
_FOLDER = Path(__file__).parent
_template = templates_in(_FOLDER)
# The report's style with what a page adds that stands alone.
STYLE = STYLE_CSS + (_FOLDER / "style.css").read_text(encoding="utf-8")
_ICON = "icon.svg"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Assets:
    """Style sheets and scripts, each at an address that changes with its content, so that browsers may keep it."""

    def __init__(self, texts: dict[str, str]) -> None:
        """`texts` by file name, such as `watch.css`; every page's `style.css` and icon are added."""
        self._texts = texts = texts | {"style.css": STYLE, _ICON: (_FOLDER / _ICON).read_text(encoding="utf-8")}
        self._addresses = {name: f"{STATIC}{content_hash(text)[:12]}/{name}" for name, text in texts.items()}

    def __getitem__(self, name: str) -> str:
        """The address of an asset."""
        return self._addresses[name]

    @property
    def routes(self) -> list[BaseRoute]:
        """What serves them, and the icon where browsers look for one if an answer is no page that names it."""
        return [Route(f"{STATIC}{{version}}/{{name}}", self._answer), Route("/favicon.ico", self._icon)]

    def _answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        if request.url.path != self._addresses.get(name):
            raise HTTPException(404)
        return self._asset(name, "max-age=31536000, immutable")

    def _icon(self, request: Request) -> Response:
        return self._asset(_ICON, "max-age=3600")

    def _asset(self, name: str, caching: str) -> Response:
        kind = _KINDS[Path(name).suffix]
        return Response(self._texts[name], media_type=kind, headers={"cache-control": caching})


class Server:
    """Pages at an address; `run` serves them until the process is interrupted.

    Args:
        address: where it listens. The socket is opened at once, so that a port in use is one sentence.
        routes: the pages.
        title: what the pages are, for the sign-in page.
        assets: what the pages load.
        largest_body: bytes that a request may have.

    Attributes:
        url: where a person finds the pages.

    Raises:
        UserError: if nothing can listen there.
    """

    def __init__(
        self,
        address: Address,
        routes: Sequence[BaseRoute],
        title: str,
        assets: Assets,
        largest_body: int = LARGEST_BODY,
    ) -> None:
        self._socket = address.listen()
        port = self._socket.getsockname()[1]
        self.url, self._title, self._assets = address.url(port), title, assets
        sign_in = Route(SIGN_IN, self._sign_in, methods=["GET", "POST"])
        app = Starlette(
            routes=[*routes, *assets.routes, sign_in],
            exception_handlers={HTTPException: _refused, Exception: _failed},
        )
        app.state.assets = assets
        self._guard = Guard(app, address, port, self._sign_in_page, largest_body)
        config = uvicorn.Config(
            self._guard, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            timeout_graceful_shutdown=_GRACE_S, ws="none",
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)

    @property
    def is_ending(self) -> bool:
        """Whether it is to end, so that answers without an end, such as event streams, must come to one."""
        return self._uvicorn.should_exit

    def run(self, tell: Callable[[str], None]) -> None:
        """Serve until Ctrl-C or SIGTERM; `tell` gets the sentence that says where."""
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # a visitor's mistakes are the visitor's to read
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        tell(f"{self._title}: {self.url} (Ctrl-C ends it)")
        try:
            with contextlib.suppress(KeyboardInterrupt):  # which is how it is meant to end
                self._uvicorn.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Make `run` return, from another thread."""
        self._uvicorn.should_exit = True

    async def _sign_in(self, request: Request) -> Response:
        if request.method != "POST":
            return self._sign_in_page(request.state.form_token)
        cookie = self._guard.signed_in(form_fields(await request.body()).get("token", ""))
        if cookie is None:
            await asyncio.sleep(_WRONG_TOKEN_S)
            return self._sign_in_page(request.state.form_token, "That is not the token.", 403)
        return RedirectResponse("/", 303, headers={"set-cookie": cookie})

    def _sign_in_page(self, form_token: str, error: str = "", status: int = 401) -> Response:
        page = _template("sign_in.html.j2").render(
            title=self._title, form_token=form_token, error=error, assets=self._assets
        )
        return HTMLResponse(page, status)


async def form(request: Request) -> dict[str, str]:
    """The fields of the form that a request sends; the guard has checked its token."""
    return form_fields(await request.body())


def ranged(request: Request, data: bytes, media_type: str) -> Response:
    """The bytes, or the part of them that the header `Range` asks for, which browsers do to move within a sound."""
    headers = {"accept-ranges": "bytes", "cache-control": "private, max-age=3600"}
    asked = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", request.headers.get("range", ""))
    if not asked or asked[1] == asked[2] == "":
        return Response(data, media_type=media_type, headers=headers)
    if asked[1]:
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
    else:
        first, last = max(0, len(data) - int(asked[2])), len(data) - 1
    if first > last:
        return Response(status_code=416, headers={"content-range": f"bytes */{len(data)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, media_type=media_type, headers=headers)


async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns that reads the storage or computes, called in a thread so that others are served."""
    return await run_in_threadpool(work, *arguments)


def _refused(request: Request, error: Exception) -> Response:
    """An expected refusal, in one sentence: a page for a person, text for a program."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    sentence = "There is no such page." if status == 404 and detail in ("", "Not Found") else detail
    return sentence_page(request, status, sentence)


def _failed(request: Request, error: Exception) -> Response:
    """A mistake of this program's; the sentence says what, without a traceback."""
    return sentence_page(request, 500, f"This page failed: {one_line(f'{type(error).__name__}: {error}')}.")


def sentence_page(request: Request, status: int, sentence: str) -> Response:
    """One sentence with a status, as a page with a way home if the visitor reads HTML."""
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(f"{sentence}\n", status)
    page = _template("sentence.html.j2").render(sentence=sentence, assets=request.app.state.assets)
    return HTMLResponse(page, status)
