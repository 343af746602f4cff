"""Parsers that each do one thing that none may, for tests of the guard; the seed is their input."""

import ctypes
import os
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any


@dataclass(frozen=True)
class Bad:
    parse: Any
    refusals: tuple[type[Exception], ...] = (ValueError,)

    def good(self) -> str:
        return "input"

    def make(self, rng: Random) -> str:
        return self.good()


def _refuse(message: str) -> Any:
    def parse(given: str, folder: Path) -> None:
        raise ValueError(message)

    return parse


def _take_memory(given: str, folder: Path) -> None:
    bytearray(2 << 30)


def _hang(given: str, folder: Path) -> None:
    time.sleep(60)


def _hang_in_c(given: str, folder: Path) -> None:
    ctypes.CDLL(None).pause()


def _crash(given: str, folder: Path) -> None:
    ctypes.string_at(0)


def _exit(given: str, folder: Path) -> None:
    os._exit(0)


def _write_beside(given: str, folder: Path) -> None:
    (folder.parent / "evil").write_text("here")


def _write_beside_in_c(given: str, folder: Path) -> None:
    os.close(ctypes.CDLL(None).open(str(folder.parent / "evil").encode(), os.O_CREAT | os.O_WRONLY, 0o600))


def _write_far_away(given: str, folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent.parent)
    (folder / "out" / "evil").write_text("here")


def _write_inside(given: str, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "b").write_text("here")


def _unpickle(given: str, folder: Path) -> None:
    pickle.loads(pickle.dumps(Path("harmless")))


def _run(given: str, folder: Path) -> None:
    os.system("true")


def _fail(given: str, folder: Path) -> None:
    raise KeyError("what")


PARSERS = {
    "good": Bad(lambda given, folder: None),
    "refuses": Bad(_refuse("It takes numbers, not words.")),
    "writes inside": Bad(_write_inside),
    "says nothing": Bad(_refuse("")),
    "says control codes": Bad(_refuse("\x1b[2J")),
    "says two lines": Bad(_refuse("one\ntwo")),
    "says lone surrogates": Bad(_refuse("\udc80")),
    "says too much": Bad(_refuse("much " * 10_000)),
    "fails": Bad(_fail),
    "takes memory": Bad(_take_memory),
    "hangs": Bad(_hang),
    "hangs in C": Bad(_hang_in_c),
    "crashes": Bad(_crash),
    "exits": Bad(_exit),
    "writes beside": Bad(_write_beside),
    "writes beside in C": Bad(_write_beside_in_c),
    "writes far away": Bad(_write_far_away),
    "unpickles": Bad(_unpickle),
    "runs": Bad(_run),
}
