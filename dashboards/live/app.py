"""The pages of `musiclab watch`: an index of the studies of a storage, and a page for each."""

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from musiclab.dashboards.address import Address
from musiclab.dashboards.server import Assets, Server
from musiclab.errors import UserError
from musiclab.report.html.templates import templates_in
from musiclab.storage.files import Storage, storage_at
from musiclab.storage.inventory import FOLDERS

_template = templates_in(Path(__file__).parent)


def watch(place: str, address: Address, tell: Callable[[str], None]) -> None:
    """Serve the pages of the storage at `place` until the process is interrupted.

    Raises:
        UserError: if there is no storage, or if nothing can listen at the address.
    """
    storage = opened(place)
    assets = Assets({})

    async def index(request: Request) -> Response:
        page = _template("index.html.j2").render(
            storage=storage.root, studies=storage.names("studies"), style=assets["style.css"]
        )
        return HTMLResponse(page)

    Server(address, [Route("/", index)], f"Studies in {storage.root}", assets).run(tell)


def opened(place: str) -> Storage:
    """The storage at a place, to be looked at only.

    Raises:
        UserError: if it is none. An empty folder will do, because a study may be started later.
    """
    storage = storage_at(place, looks_only=True)
    if storage is None:
        raise UserError(f"STORAGE must be a folder or URI in which studies keep their records; there is no {place!r}.")
    names = storage.names("")
    if names and not {*names} & {*FOLDERS}:
        raise UserError(
            f"STORAGE must be a folder or URI in which studies keep their records; {place!r} holds other things."
        )
    return storage
