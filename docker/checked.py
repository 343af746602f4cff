#!/opt/venv/bin/python
"""Runs a command in a container once what it needs is there; what is missing is one sentence in the container's log."""

import argparse
import errno
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

IMAGE = Path("/opt/musiclab/image.yaml")
_NO_RIGHTS = (errno.EACCES, errno.EPERM)
_WAIT_S = 120.0  # for a head that starts at the same time
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unfit(Exception):
    """The container lacks what its command needs; the message is one sentence."""


def check_token() -> None:
    """Raise Unfit if Ray wants a token and there is none."""
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    has_token = bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(file).is_file()
    if os.environ.get("RAY_AUTH_MODE") == "token" and not has_token:
        raise Unfit("RAY_AUTH_TOKEN must be the cluster's token, because RAY_AUTH_MODE is token; got none.")


def check_writable(folder: str) -> None:
    """Raise Unfit if this user cannot write files to the folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        user = f"{os.getuid()}:{os.getgid()}"
        remedy = f"On the machine that has it: chown {user} FOLDER" if error.errno in _NO_RIGHTS else "Mount another"
        raise Unfit(
            f"{folder} must be a volume that user {os.getuid()} can write to; got {error.strerror!r}. {remedy}."
        ) from None


def check_gpu() -> None:
    """Raise Unfit if torch does not see a GPU."""
    import torch  # takes seconds

    if torch.version.cuda is None:
        raise Unfit(f"A GPU worker must have a torch for CUDA; got {torch.__version__}. Use an image of VARIANT=cuda.")
    if not torch.cuda.is_available():
        raise Unfit(
            "A GPU worker must see a GPU; got none. The machine needs NVIDIA's driver and container toolkit; without "
            "them leave out compose.gpu.yaml."
        )


def check_same_image(head: str, image: Path = IMAGE, wait_s: float = _WAIT_S) -> None:
    """Raise Unfit if the head at an address runs another image, or none answers."""
    own = {name: value.strip('"') for name, value in _lines(image)}
    labels = _head_labels(head, wait_s)
    theirs = {name: labels.get(name, "unknown") for name in own}
    if theirs != own:
        raise Unfit(
            f"This container's image must be the head's, {_described(theirs)}; got {_described(own)}. Start both anew "
            "from one image."
        )


def _lines(image: Path) -> Iterator[tuple[str, str]]:
    for line in image.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(": ")
        yield name, value


def _described(labels: dict[str, str]) -> str:
    return f"musiclab {labels['musiclab-version']} of commit {labels['musiclab-commit'][:12]}"


def _head_labels(head: str, wait_s: float) -> dict[str, str]:
    """The labels of the head's node, by Ray's own API; the head may need a while."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{head.rstrip('/')}/api/v0/nodes", headers=headers)
    end = time.monotonic() + wait_s
    while True:
        try:
            with _OPENER.open(request, timeout=10) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
            return next(node["labels"] for node in nodes if node["is_head_node"] and node["state"] == "ALIVE")
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise Unfit(f"RAY_AUTH_TOKEN must be the head's; {head} refuses it ({error.code}).") from None
            reason: object = error
        except StopIteration:
            reason = "its node has not started"
        except (OSError, ValueError, LookupError, TypeError) as error:
            reason = getattr(error, "reason", None) or error
        if time.monotonic() > end:
            raise Unfit(f"The head must answer at {head}; got {reason} for {wait_s:g} s.")
        time.sleep(1)


def main(argv: list[str]) -> NoReturn:
    """Check what is asked for and become the command, or exit with 2 and a sentence."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--writable", action="append", default=[], metavar="FOLDER", help="a volume to write to")
    parser.add_argument("--gpu", action="store_true", help="torch must see a GPU")
    parser.add_argument("--same-image-as", metavar="URL", help="the dashboard of a head whose image must be the same")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    if not options.command:
        parser.error("a command is needed")
    try:
        check_token()
        for folder in options.writable:
            check_writable(folder)
        if options.gpu:
            check_gpu()
        if options.same_image_as:
            check_same_image(options.same_image_as)
    except Unfit as sentence:
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(2)
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main(sys.argv[1:])
