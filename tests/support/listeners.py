"""Listening tests over a small real study, servers of their pages, and visitors who need no browser."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from musiclab.analysis.results import Results
from musiclab.dashboards.address import Address
from musiclab.dashboards.listening_test.app import SCRIPTS, STYLES, Pages, text_of
from musiclab.dashboards.listening_test.fixed import FixedTest, fixed, planned
from musiclab.dashboards.listening_test.sounds import Sounds
from musiclab.dashboards.server import Assets, Server
from musiclab.design.listening import PAIRS, SCALES
from musiclab.storage.ballot_documents import ListeningPlan
from musiclab.storage.ballots import Ballots, listening_folder
from musiclab.storage.files import Storage
from tests.support.served import serving
from tests.support.study_processes import Run, copied

STUDY = "latent_dim"
GRADE, RATING = "a_slightly", dict.fromkeys(SCALES, 4)


def storage_of(finished: Run, folder: Path) -> Path:
    """A copy of a finished study's storage, without MLflow."""
    return copied(finished.storage, folder, "mlflow*")


def fixed_test(storage: Path, protocol: str = PAIRS, **fields: Any) -> FixedTest:
    """The listening test of the study in a storage, fixed with these fields instead of those that it would get."""
    opened = Storage(str(storage))
    results = Results.read(opened, STUDY)
    test = replace(planned(results, protocol), **fields)
    plan = ListeningPlan(study=STUDY, edition=results.plan.edition, test=test, began=time.time())
    Ballots(opened, listening_folder(results.folder, protocol)).put_plan(plan)
    return fixed(opened, STUDY, protocol)


def made_sounds(test: FixedTest) -> Sounds:
    """All sounds of a test."""
    sounds = Sounds(test)
    sounds.start()
    sounds.wait(test.pieces)
    return sounds


@contextmanager
def hosted(test: FixedTest, sounds: Sounds, pages: type[Pages] = Pages) -> Iterator[str]:
    """The address of a test's pages, served by a thread of this process."""
    assets = Assets({name: text_of(name) for name in (*SCRIPTS, *STYLES)})
    server = Server(Address("127.0.0.1", 0), pages(test, sounds, assets).routes, "Listening test", assets)
    with serving(server) as url:
        yield url


@dataclass(frozen=True)
class Reply:
    """What came back: the status, the headers in their order, the body, and after how many seconds."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def sentence(self) -> str:
        """The refusal."""
        text = self.body.decode()
        return json.loads(text)["error"] if text.startswith("{") else text.strip()


class Visitor:
    """A browser's requests without a browser, over one connection."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._answered = time.monotonic()
        self._connection = http.client.HTTPConnection(self._url.hostname, self._url.port, timeout=600)
        page = self.get("/").body.decode()
        self.token = re.search(r'"form_token": ?"(\w+)"', page)[1]
        self.session = ""

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Any request; names of headers with `_` for `-`."""
        if time.monotonic() - self._answered > 1:
            self._connection.close()  # the server closes what is idle for five seconds; the next request connects anew
        began = time.perf_counter()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, path, body, named)
            response = self._connection.getresponse()
            data = response.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise
        finally:
            self._answered = time.monotonic()
        return Reply(response.status, response.getheaders(), data, time.perf_counter() - began)

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def post(self, path: str, value: Any) -> Reply:
        return self.request("POST", path, json.dumps(value).encode(), X_Form_Token=self.token)

    def begin(self, training: str = "amateur") -> Any:
        """Begin a session, and wait for its sounds; the state that the server tells."""
        self.session = self.post("/api/begin", {"training": training}).json["session"]
        while (state := self.state())["lacking"]:
            time.sleep(0.1)
        return state

    def state(self) -> Any:
        return self.get(f"/api/session/{self.session}").json

    def sound(self, name: str) -> Reply:
        return self.get(f"/api/session/{self.session}/sound/{name}")

    def answer(self, number: int, answer: Any = GRADE, seconds: float = 2.5) -> Reply:
        return self.post(
            f"/api/session/{self.session}/answer", {"number": number, "answer": answer, "seconds": seconds}
        )
