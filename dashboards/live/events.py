"""Events: a stream for each open page, with the parts that have changed, so that no page must be loaded again."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable

from starlette.requests import Request
from starlette.responses import StreamingResponse

from musiclab.dashboards.live.board import Change
from musiclab.dashboards.server import in_thread

_LOOK_S = 0.5
_TELL_AGE_S = 5.0  # a sign of life, by which a page knows how old its data are
LARGEST = 64_000  # characters of a message, escapes included; what is more comes with the next one
_RETRY_MS = 2000  # after which a browser connects again

# Of this process: a page of another one has other versions and must be loaded again.
BOOT = secrets.token_hex(4)


def version_name(version: int) -> str:
    """A version as a page keeps it, `Last-Event-ID` of its stream."""
    return f"{BOOT}.{version}"


def known_version(request: Request) -> int | None:
    """The version that a page has; None if it is that of another process, or none at all."""
    name = request.headers.get("last-event-id") or request.query_params.get("since", "")
    boot, _, version = name.partition(".")
    return int(version) if boot == BOOT and version.isdigit() and len(version) < 18 else None


def stream(
    request: Request,
    now: Callable[[], int],
    changes: Callable[[int], Iterable[Change]],
    health: Callable[[], tuple[float, str]],
    is_ending: Callable[[], bool],
) -> StreamingResponse:
    """The event stream of a page.

    Args:
        request: from the page, with the version that it has.
        now: the present version.
        changes: what has changed after a version.
        health: how old the data are in seconds, and why they cannot be read.
        is_ending: whether the server is to end.
    """
    since = known_version(request)

    async def events() -> AsyncIterator[bytes]:
        yield f"retry: {_RETRY_MS}\n\n".encode()
        if since is None:
            yield _message({"reload": True}, "")
            return
        version, silent = since, _TELL_AGE_S
        while not is_ending():
            age, trouble = health()
            told = {"age": round(age, 1), "trouble": trouble}
            if (latest := now()) > version:
                changed = await in_thread(_in_order, changes, version)
                parts, version = _that_fit(changed) if changed else ([], latest)
                yield _message(told | {"parts": parts}, version_name(version))
                silent = 0.0
            elif silent >= _TELL_AGE_S:
                yield _message(told, "")
                silent = 0.0
            await asyncio.sleep(_LOOK_S)
            silent += _LOOK_S

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}  # a proxy must pass events on at once
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


def _in_order(changes: Callable[[int], Iterable[Change]], since: int) -> list[Change]:
    return sorted(changes(since), key=lambda change: change.version)


def _that_fit(changed: list[Change]) -> tuple[list[list[str]], int]:
    """The oldest changes that fit into a message, one at least, and the version that a page has with them."""
    parts: list[list[str]] = []
    room, version = LARGEST, 0
    for change in changed:
        room -= len(json.dumps(change.html, ensure_ascii=False))
        if parts and room < 0:
            break
        parts.append([change.name, change.html, change.parent])
        version = change.version
    return parts, version


def _message(data: dict[str, object], name: str) -> bytes:
    line = f"id: {name}\n" if name else ""
    return f"{line}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode(errors="replace")
