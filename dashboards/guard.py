"""The guard before a server's pages: who may ask, from which page, with how large a body, and what a page may load."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musiclab.dashboards.address import Address, is_address, is_loopback

FORM_TOKEN = "form_token"  # the field of a form, and the name of the value in a request's state
FORM_HEADER = "x-form-token"  # where a script that sends no form puts it
SIGN_IN = "/sign-in"
STATIC = "/static/"
LARGEST_BODY = 1 << 16  # bytes; a form or a ballot has hundreds
# Nothing but files of this server; no inline script or style, no frame around a page, no form to elsewhere.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" browsers would send forms with the origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_MOST_FIELDS = 1000


class Guard:
    """An ASGI application around another that refuses what that must not see.

    - `Host` must be a name of this server: otherwise a hostile page could make a name of its own lead here.
    - `Origin`, if a browser sends one, must be this server.
    - A body has a largest size, and a POST must have the form's token, which only this server's pages know.
    - If the address has a token, a visitor must have signed in with it, or send it as a bearer token.

    `request.state.form_token` is the token for forms.
    """

    def __init__(
        self, app: ASGIApp, address: Address, port: int, sign_in_page: Callable[[str], Response], largest: int
    ) -> None:
        self._app, self._address, self._port, self._largest = app, address, port, largest
        self._hosts, self._sign_in_page = address.hosts(port), sign_in_page
        self._secret = secrets.token_bytes(32)
        self._cookie = f"musiclab-{port}"  # browsers share cookies between the ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with one sentence."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal, body = self._refusal(scope, headers), b""
        session = self._session(headers)
        form_token = self._signed(f"form {session}")
        if refusal is None and scope["method"] == "POST":
            body, refusal = await self._body(headers, receive)
            if refusal is None and not hmac.compare_digest(_form_token(headers, body).encode(), form_token.encode()):
                refusal = _sentence(403, "This form is older than the server; load the page again and send it anew.")
        if refusal is None and not self._may_enter(scope["path"], headers, session):
            refusal = self._unknown_visitor(headers, form_token)
        scope.setdefault("state", {})[FORM_TOKEN] = form_token
        respond = _with_headers(send)
        if refusal is not None:
            await refusal(scope, receive, respond)
        elif scope["method"] == "POST":
            await self._app(scope, _replay(body, receive), respond)
        else:
            await self._app(scope, receive, respond)

    def signed_in(self, token: str) -> str | None:
        """The value of the header that signs a visitor in who gave this token; None if it is wrong."""
        if not self._address.token or not _equal(token, self._address.token):
            return None
        session = secrets.token_urlsafe(24)
        value = f"{session}.{self._signed(f'session {session}')}"
        return f"{self._cookie}={value}; Path=/; HttpOnly; SameSite=Lax"

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request is refused whatever its visitor knows; None if it is not."""
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return _sentence(405, "This server takes GET and POST only.")
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if not self._is_our_name(host):
            return _sentence(
                403, "This server has another name than the address in the browser; --allowed-host adds names."
            )
        origins = headers.getlist("origin")
        if any(origin.lower() not in (f"http://{host}", f"https://{host}") for origin in origins):
            return _sentence(403, "This request comes from a page of another server.")
        return None

    def _is_our_name(self, host: str) -> bool:
        if host in self._hosts:
            return True
        name, _, port = host.rpartition(":")
        return not is_loopback(self._address.host) and port == str(self._port) and is_address(name)

    async def _body(self, headers: Headers, receive: Receive) -> tuple[bytes, Response | None]:
        """The body of a request, or why it is refused."""
        too_large = _sentence(413, f"A request may have at most {self._largest:,} bytes.")
        stated = headers.get("content-length", "")
        if stated.isdigit() and len(stated) < 20 and int(stated) > self._largest:
            return b"", too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"", _sentence(400, "The request ended before its body.")
            body += message.get("body", b"")
            if len(body) > self._largest:
                return b"", too_large
            if not message.get("more_body", False):
                return bytes(body), None

    def _session(self, headers: Headers) -> str:
        """The visitor's session; "" if there is none, or if this server did not make it."""
        for cookie in ";".join(headers.getlist("cookie")).split(";"):
            name, _, value = cookie.strip().partition("=")
            session, _, signature = value.partition(".")
            if name == self._cookie and _equal(signature, self._signed(f"session {session}")):
                return session
        return ""

    def _may_enter(self, path: str, headers: Headers, session: str) -> bool:
        if not self._address.token or session or path == SIGN_IN or path.startswith(STATIC):
            return True
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and _equal(token.strip(), self._address.token)

    def _unknown_visitor(self, headers: Headers, form_token: str) -> Response:
        if "text/html" in headers.get("accept", ""):
            return self._sign_in_page(form_token)
        return _sentence(401, "This server wants a token: sign in, or send it in the header Authorization: Bearer.")

    def _signed(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def form_fields(body: bytes) -> dict[str, str]:
    """The fields of a form in a request's body; of a field given twice the last; none if it is no form."""
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _form_token(headers: Headers, body: bytes) -> str:
    header = headers.get(FORM_HEADER)
    return header if header is not None else form_fields(body).get(FORM_TOKEN, "")


def _equal(given: str, right: str) -> bool:
    """Compare without telling by the time it takes how much is right."""
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())


def _sentence(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _with_headers(send: Send) -> Send:
    """`send`, which adds the headers that an answer does not have itself."""

    async def respond(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return respond


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, and then what comes after it."""
    messages: Iterable[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(iter(messages), None) or await receive()

    return again
