"""Runs studies in processes that are forked from this one, which has imported all there is: quick, and made to die.

A line of JSON on standard input asks for a run, one on standard output tells its end. Each step of writing to the
storage counts: opening a file to be written, being half through with it, renaming it, removing one. Before step
`die_at` of its main thread the process kills itself.
"""

import builtins
import io
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import musiclab.execution.trial
import musiclab.rendering.picture
import musiclab.report
import musiclab.search.run
import musiclab.study.study
from musiclab.storage.files import Storage


class NoMirror:
    """MLflow is brought up to date afterwards."""

    def __init__(self, *_: object) -> None: ...

    def start(self, say: object, counting: bool) -> None: ...

    def leave(self) -> None: ...

    def stop(self) -> str:
        return "MLflow: later"


class Steps:
    """Counts the steps of this process under `root`, writes down each if asked, and dies before one."""

    def __init__(self, root: str, die_at: int, log: str | None) -> None:
        self._root, self._die_at, self._count = root, die_at, 0
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if log else None

    def __call__(self, what: str, path: Any) -> None:
        """A step is about to be done."""
        if threading.current_thread() is not threading.main_thread() or not str(path).startswith(self._root):
            return
        self._count += 1
        if self._log:
            os.write(self._log, f"{what} {str(path).removeprefix(self._root)}\n".encode())
        if self._count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Count from now on."""
        opened, remove = io.open, Storage.remove

        def open_(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if not set(mode) & set("wxa+"):
                return opened(file, mode, *rest, **named)
            self("open", file)
            return _Halved(opened(file, mode, *rest, **named), lambda: self("half of", file))

        def remove_(storage: Storage, name: str) -> None:
            self("remove", storage.path(name))
            remove(storage, name)

        io.open = builtins.open = open_
        Storage.remove = remove_
        sys.addaudithook(lambda event, given: self("rename to", given[1]) if event == "os.rename" else None)


class _Halved:
    """A file whose every write stops half way for a moment."""

    def __init__(self, file: Any, half: Any) -> None:
        self._file, self._half = file, half

    def write(self, data: Any) -> int:
        middle = len(data) // 2
        self._file.write(data[:middle])
        self._file.flush()
        self._half()
        return middle + self._file.write(data[middle:])

    def __enter__(self) -> "_Halved":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _run(asked: dict[str, Any]) -> None:
    """The study of the file, as its command line."""
    out = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    musiclab.study.study.Mirror = NoMirror
    sys.argv = [asked["file"], *asked["options"], "--in-process", "--storage", asked["storage"]]
    if asked["die_at"] or asked["steps"]:
        Steps(asked["storage"], asked["die_at"], asked["steps"]).watch()
    names = {"__name__": "__main__", "__file__": asked["file"]}
    exec(compile(Path(asked["file"]).read_text(), asked["file"], "exec"), names)


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        if child := os.fork():
            print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)
            continue
        code = 70
        try:
            _run(json.loads(line))
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush()
            os._exit(code)


if __name__ == "__main__":
    main()
