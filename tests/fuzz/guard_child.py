"""The process behind `Guard`: runs parsers one input after another under limits, and says what they did."""

import importlib
import json
import os
import random
import resource
import shutil
import sys
import time
import traceback
import unicodedata
from pathlib import Path

from musiclab.errors import UserError, printable

_PACKAGE = Path(__file__).parents[2] / "musiclab"
_STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"}
# Events that change the path that is their argument of that number.
_CHANGES = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0, "os.chmod": 0, "os.chown": 0,
            "os.rename": 1, "os.link": 1, "os.symlink": 1}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Python's own reports of what is done while it is on: files written elsewhere, pickles loaded, programs run."""

    def __init__(self, inside: Path) -> None:
        self._inside = str(inside.resolve())
        self.on, self.seen = False, ""
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple) -> None:
        if not self.on or self.seen:
            return
        if event == "pickle.find_class":
            self.seen = f"unpickled {arguments[1]}"
        elif event in _STARTS:
            self.seen = f"called {event}"
        elif event in _CHANGES:
            self._changed(arguments[_CHANGES[event]])
        elif event == "open" and (arguments[2] or 0) & _WRITES:
            self._changed(arguments[0])

    def _changed(self, path: object) -> None:
        if isinstance(path, int) or path == os.devnull:
            return
        place = os.path.realpath(os.path.join(os.getcwd(), os.fsdecode(path)))  # noqa: PTH109, PTH118 - bytes too
        if place != self._inside and not place.startswith(self._inside + os.sep):
            self.seen = f"changed {os.path.basename(place)!r} outside of its folder"  # noqa: PTH119


def main(box: Path, memory: int, modules: list[str]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a parser prints is no answer
    parsers = {name: parser for module in modules for name, parser in importlib.import_module(module).PARSERS.items()}
    for parser in parsers.values():
        parser.good()  # so that what all its inputs are made from is there before anything is watched
    watch = Watch(box / "inside")
    print(json.dumps(list(parsers)), file=answers, flush=True)
    for line in sys.stdin:
        name, _, seed = line.rpartition(" ")
        print(json.dumps(_answer(parsers[name], int(seed), box, memory, watch)), file=answers, flush=True)


def _answer(parser: object, seed: int, box: Path, memory: int, watch: Watch) -> dict:
    given = parser.make(random.Random(seed)) if seed else parser.good()
    began = time.perf_counter()
    watch.seen, watch.on = "", True
    _limit(_size() + memory)
    try:
        outcome = _outcome(parser, given, box / "inside")
    finally:
        _limit(None)
        watch.on = False
    seconds = time.perf_counter() - began
    beside = [path.name for path in box.iterdir() if path.name != "inside"]
    if watch.seen or beside:
        outcome = watch.seen or f"wrote {beside[0]!r} outside of its folder"
    for path in [*(box / "inside").iterdir(), *(box / name for name in beside)]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return {"outcome": outcome, "seconds": seconds}


def _outcome(parser: object, given: object, folder: Path) -> str:
    try:
        parser.parse(given, folder)
    except parser.refusals as refusal:
        # A user error is shown as every command shows it.
        words = printable(str(refusal)) if isinstance(refusal, UserError) else str(refusal)
        return _fault(words, len(repr(given))) or "refused"
    except MemoryError:
        return "ran out of the memory that an input may take"
    except BaseException as error:  # whatever else: no input may end a program
        frames = traceback.extract_tb(error.__traceback__)
        place = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)] or frames
        where = f"{Path(place[-1].filename).name}:{place[-1].lineno}"
        return f"raised {type(error).__name__} at {where}: {ascii(str(error))[:200]}"
    return "accepted"


def _fault(message: str, size: int) -> str:
    """What is wrong with the sentence of a refusal; it may quote an input of that size."""
    if not message.strip():
        return "refused without a reason"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in message):
        return "refused in words that a terminal would obey"
    return f"refused in {len(message)} characters" if len(message) > 1000 + 2 * size else ""


def _limit(size: int | None) -> None:
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if size is None else size, most))


def _size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
