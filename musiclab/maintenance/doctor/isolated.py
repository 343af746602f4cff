"""Calls a function in a process of its own, so that a hang or a crash there does no harm here."""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from musiclab import ROOT
from musiclab.errors import UserError, one_line


def call_in_child(module: str, function: str, seconds: float, *arguments: Any, **environment: str) -> Any:
    """Call a function in a child process and return what it returns.

    Args:
        module: full name of the function's module.
        function: name of the function; its result must be JSON-serialisable.
        seconds: timeout.
        arguments: the function's; they must be JSON-serialisable, and everybody on the machine can read them.
        environment: environment variables of the child process, beside those of this one.

    Raises:
        UserError: the function raised, the process died, or the timeout passed; the message is the reason.
    """
    # The folder above the package: a checkout works that is not installed.
    path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
    # A file, not a pipe: a process that the child starts may outlive it, and would keep the pipe open.
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, module, function, json.dumps(arguments)],
            env=os.environ | {"PYTHONPATH": path} | environment, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.DEVNULL, start_new_session=True,
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
        out.seek(0)
        lines = out.read().splitlines()
    try:
        reply = json.loads(lines[-1])
        answer, reason = reply["answer"], reply["reason"]
    except (IndexError, KeyError, TypeError, ValueError):
        raise UserError(f"it died ({'signal' if code < 0 else 'exit status'} {abs(code)})") from None
    if reason:
        raise UserError(reason)
    return answer


def _main(module: str, function: str, arguments: str) -> None:
    answer, reason = None, ""
    try:
        answer = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    except UserError as error:
        reason = str(error)
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
    print("\n" + json.dumps({"answer": answer, "reason": reason}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
