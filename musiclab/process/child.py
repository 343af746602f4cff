"""Calls a function in a process of its own, so that a hang or a crash there does no harm here."""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from musiclab import ROOT
from musiclab.errors import UserError
from musiclab.user_errors import why_failed


def call_in_child(
    module: str, function: str, seconds: float, *arguments: Any, folder: str | None = None, **environment: str
) -> Any:
    """Call a function in a child process and return what it returns.

    Args:
        module: full name of the function's module.
        function: name of the function; its result must be JSON-serialisable.
        seconds: timeout.
        arguments: the function's; they must be JSON-serialisable.
        folder: the working directory of the child process; by default that of this one.
        environment: environment variables of the child process, beside those of this one.

    Raises:
        UserError: the function raised, the process died, or the timeout passed; the message is the reason.
    """
    # The folder above the package: a checkout works that is not installed.
    path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
    # Files, not pipes: a process that the child starts may outlive it, and would keep a pipe open.
    with tempfile.TemporaryDirectory(prefix="musiclab-") as exchange:
        question, reply = Path(exchange, "question.json"), Path(exchange, "reply.json")
        question.write_text(json.dumps(arguments), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, module, function, exchange],
            env=os.environ | {"PYTHONPATH": path} | environment, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UserError(f"no answer within {seconds:g} s") from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        try:
            answer, reason = json.loads(reply.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(f"it died ({'signal' if code < 0 else 'exit status'} {abs(code)})") from None
    if reason:
        raise UserError(reason)
    return answer


def _main(module: str, function: str, exchange: str) -> None:
    answer, reason = None, ""
    try:
        arguments = json.loads(Path(exchange, "question.json").read_text(encoding="utf-8"))
        answer = getattr(importlib.import_module(module), function)(*arguments)
    except UserError as error:
        reason = str(error)
    except Exception as error:  # of any code, so of any kind
        reason = why_failed(error)
    Path(exchange, "reply.json").write_text(json.dumps([answer, reason]), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
