"""The study's handle on the mirror process: starts it, and at the end waits for it as long as it makes progress."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from musiclab import ROOT
from musiclab.storage.files import joined
from musiclab.tracking.uri import is_database, masked, named_pages, request_timeout

_PATIENCE_S = 60.0  # timeout of the wait at the study's end; each sign of progress starts it anew
_SAY_EVERY_S = 10.0


class Mirror:
    """The mirror of an edition's folder: `start` it, then `stop` it, or `leave` it to finish on its own.

    Attributes:
        points_behind: how many points of trials the storage has and MLflow lacks; None if that is not known yet.
    """

    def __init__(self, storage: str, folder: str, uri: str) -> None:
        self._storage, self._folder, self._uri, self._shown_uri = storage, folder, uri, masked(uri)
        request_timeout()  # refuses what would end the process at its start
        self.points_behind: int | None = None
        self._last_message: dict[str, Any] = {}
        self._message_came, self._over, self._stopping = threading.Event(), False, False

    def start(self, say: Callable[[str], None], counting: bool = False) -> None:
        """Start the process.

        Args:
            say: gets a line when MLflow falls behind, and while the study's end waits for it.
            counting: whether `points_behind` is kept up to date.
        """
        self._say = say
        # The folder above the package: a checkout works that is not installed, as `ray job submit` sends it.
        path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
        # The address goes by MLflow's own variable: it may hold a password, and everybody can read a command line.
        environment = os.environ | {"PYTHONPATH": path, "MLFLOW_TRACKING_URI": self._uri}
        # In a session of its own, so that a Ctrl-C meant for the study does not end it in the middle.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __package__, self._storage, self._folder, *(["counting"] if counting else [])],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout  # it is piped
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def leave(self) -> None:
        """Tell the process that the study is over, and do not wait: it does its last round alone."""
        assert self._process.stdin  # it is piped
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def stop(self) -> str:
        """Let the process do its last round; returns links to MLflow, or why it is behind and how to update it.

        It waits as long as the mirror makes progress. After a timeout or a Ctrl-C the mirror continues alone.
        """
        self._stopping, self._said_at = True, time.monotonic()
        self.leave()
        try:
            while not self._over:
                if not self._message_came.wait(_PATIENCE_S):
                    return self._behind(f"no progress for {_PATIENCE_S:g} s; its mirror keeps trying on its own")
                self._message_came.clear()
        except KeyboardInterrupt:
            return self._behind("the wait was interrupted; its mirror continues on its own")
        self._process.wait()
        if "links" not in self._last_message:
            return self._behind(self._last_message.get("behind", "its mirror ended early"))
        command = [str(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", self._shown_uri]
        how_to_serve = f"{shlex.join(command)}\n  then " if is_database(self._uri) and not named_pages() else ""
        links = self._last_message["links"]
        return "MLflow: {}the study {}\n  its runs {}\n  the variants compared {}".format(how_to_serve, *links)

    def _behind(self, reason: str) -> str:
        study = shlex.quote(joined(self._storage, self._folder.split("/")[1]))
        return f"MLflow at {self._shown_uri} is behind ({reason}); `musiclab sync {study}` brings it up to date."

    def _read(self, messages: IO[bytes]) -> None:
        for line in messages:
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))
        self._over = True
        self._message_came.set()

    def _take(self, message: dict[str, Any]) -> None:
        if "points_behind" in message:
            self.points_behind = message["points_behind"]
            return
        self._message_came.set()
        if "links" in message:  # at the end, in sync
            self.points_behind = 0
        if "in_sync" in message:
            if self._stopping and time.monotonic() - self._said_at > _SAY_EVERY_S:
                self._said_at = time.monotonic()
                self._say(f"MLflow is being brought up to date: {message['in_sync']} of {message['total']} trials")
            return
        if "behind" in message and "behind" not in self._last_message and not self._stopping:
            self._say(
                f"MLflow at {self._shown_uri}: {message['behind']}; the study continues, and MLflow is brought up to "
                "date later"
            )
        self._last_message = message
