"""The mirror as a study sees it: a process that it starts, and at its end waits for as long as that gets on."""

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
from typing import Any

from musiclab import ROOT
from musiclab.tracking.uri import is_database, masked

_PATIENCE_S = 60.0  # without a run brought level, and the study's end waits no longer
_SAY_EVERY_S = 10.0


class Mirror:
    """The mirror of an edition's folder: `start` it, then `stop` it, or `leave` it to end by itself."""

    def __init__(self, storage: str, folder: str, uri: str) -> None:
        self._storage, self._folder, self._uri, self._shown = storage, folder, uri, masked(uri)
        self._last: dict[str, Any] = {}
        self._heard, self._over, self._stopping = threading.Event(), False, False

    def start(self, say: Callable[[str], None]) -> None:
        """Start following; `say` gets a line when MLflow falls behind, and while the study's end waits for it."""
        self._say = say
        # The folder above: an uninstalled checkout, as `ray job submit --working-dir` sends it.
        path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
        # By MLflow's own variable: an address may hold a password, which a command line would show to everybody.
        environment = os.environ | {"PYTHONPATH": path, "MLFLOW_TRACKING_URI": self._uri}
        # In a session of its own, so that a Ctrl-C meant for the study does not cut it off in the middle.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __package__, self._storage, self._folder],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def leave(self) -> None:
        """Tell it that the study is over, and go: it does its last round alone."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def stop(self) -> str:
        """Let it do its last round; says where to look, or that MLflow is behind and what brings it level.

        A mirror that gets on is waited for; one that does not is left alone, and so is any after a Ctrl-C.
        """
        self._stopping, self._said = True, time.monotonic()
        self.leave()
        try:
            while not self._over:
                if not self._heard.wait(_PATIENCE_S):
                    return self._behind(f"nothing was taken up for {_PATIENCE_S:g} s; its mirror tries on by itself")
                self._heard.clear()
        except KeyboardInterrupt:
            return self._behind("it was not waited for; its mirror goes on by itself")
        self._process.wait()
        if "links" not in self._last:
            return self._behind(self._last.get("behind", "its mirror ended early"))
        serve = [str(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", self._shown]
        served = f"{shlex.join(serve)}\n  then " if is_database(self._uri) else ""
        return "MLflow: {}the study {}\n  its runs {}\n  the variants compared {}".format(served, *self._last["links"])

    def _behind(self, reason: str) -> str:
        study = shlex.quote(f"{self._storage}/{self._folder.split('/')[1]}")
        return f"MLflow at {self._shown} is behind ({reason}); `musiclab sync {study}` brings it level."

    def _read(self) -> None:
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))
        self._over = True
        self._heard.set()

    def _take(self, said: dict[str, Any]) -> None:
        self._heard.set()
        if "level" in said:
            if self._stopping and time.monotonic() - self._said > _SAY_EVERY_S:
                self._said = time.monotonic()
                self._say(f"MLflow is being brought level: {said['level']} of {said['of']} trials")
            return
        if "behind" in said and "behind" not in self._last and not self._stopping:
            self._say(f"MLflow at {self._shown}: {said['behind']}; the study goes on and MLflow is brought level later")
        self._last = said
