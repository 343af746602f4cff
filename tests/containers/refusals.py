"""What a wrong set-up comes to: one sentence each, from the container's log too."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tests.containers.stack import PROJECT, Stack
from tests.containers.tools import OUT, Failed, tried


@dataclass(frozen=True)
class Refusal:
    """A mistake, the command that makes it, and words of the sentence that it must come to."""

    mistake: str
    command: list[str]
    words: str
    changed: dict[str, str]


def refusals(stack: Stack, image: str) -> Iterator[Refusal]:
    """All mistakes; the stack of this image is up."""
    other = OUT / "other-image.yaml"  # what an image of another commit says of itself
    other.write_text('musiclab-version: "0.1.0"\nmusiclab-commit: "another"\n')
    token = ["-e", "RAY_AUTH_MODE=token", "-e", f"RAY_AUTH_TOKEN={stack.environment['RAY_AUTH_TOKEN']}"]
    in_container = ["podman", "run", "--rm", "--network", f"{PROJECT}_default"]
    as_other = ["--volume", f"{other}:/opt/musiclab/image.yaml:ro"]
    worker = ["checked", "--same-image-as=http://head:8265", "ray", "start", "--block", "--address=head:6379"]

    def refusal(mistake: str, words: str, *command: str, **changed: str) -> Refusal:
        return Refusal(mistake, list(command), words, changed)

    for name in ("RAY_AUTH_TOKEN", "PAGES_TOKEN", "POSTGRES_PASSWORD"):
        yield refusal(f"no {name}", "docker/.env must set it", *stack.command("config"), **{name: ""})
    yield refusal(
        "no token in a container", "RAY_AUTH_TOKEN must be the cluster's token",
        *in_container, "-e", "RAY_AUTH_MODE=token", image, *worker,
    )  # fmt: skip
    yield refusal(
        "a wrong token", "RAY_AUTH_TOKEN must be the head's",
        *in_container, "-e", "RAY_AUTH_MODE=token", "-e", "RAY_AUTH_TOKEN=wrong", image, *worker,
    )  # fmt: skip
    yield refusal("another image", "image must be the head's", *in_container, *token, *as_other, image, *worker)
    yield refusal("no GPU", "A GPU worker must", *in_container, *token, image, "checked", "--gpu", "true")
    read_only = [*in_container, "--volume", f"{PROJECT}_storage:/data:ro"]
    yield refusal(
        "a read-only volume", "/data must be a volume", *read_only, image, "checked", "--writable=/data", "ls"
    )
    plan = ["python", "studies/latent_dim.py", "--plan"]
    yield refusal("a storage that is read-only", "cannot be written to", *read_only, image, *plan)
    sync = ["podman", "exec", stack.container("head"), "musiclab", "sync", "/data", "--tracking-uri"]
    yield refusal("a tracking host that is not there", "no such host", *sync, "http://mlfow:5000")
    address = stack.inspect("mlflow")["NetworkSettings"]["Networks"][f"{PROJECT}_default"]["IPAddress"]
    yield refusal("a tracking host by another name", "--allowed-hosts", *sync, f"http://{address}:5000")


def check(refusal: Refusal, stack: Stack) -> str:
    """The sentence; Failed if it is not one, or if the command succeeded."""
    done = tried(*refusal.command, env=os.environ | stack.environment | refusal.changed)
    text = (done.stderr + done.stdout).strip()
    sentences = [line for line in text.splitlines() if refusal.words in line]
    # podman-compose shows a traceback before compose's own sentence; Docker's compose does not.
    has_traceback = "Traceback" in text and not refusal.changed
    if not done.returncode or len(sentences) != 1 or has_traceback:
        raise Failed(f"{refusal.mistake}: exit status {done.returncode}: {text[-800:]}")
    return sentences[0]
