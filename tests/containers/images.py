"""The images: the project's, and stand-ins for a registry's where this machine has none of them."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.containers.tools import ROOT, image_exists, megabytes, run

BASE, POSTGRES = "docker.io/library/debian:bookworm-slim", "docker.io/library/postgres:15-bookworm"
IMAGE = "localhost/musiclab-test:cpu"
_BASE_STAND_IN, _POSTGRES_STAND_IN = "localhost/musiclab-test-base:bookworm", "localhost/musiclab-test-postgres:15"
# What Debian's slim image leaves out.
_SLIM = [
    "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright", "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/locale/*",
]  # fmt: skip


def base() -> tuple[str, str]:
    """The image to build on, and what it is: the official one if this machine has it, else one made with mmdebstrap."""
    if image_exists(BASE):
        return BASE, "the official image, found here"
    if image_exists(_BASE_STAND_IN):
        return _BASE_STAND_IN, "a stand-in that was here"
    options = [f"--dpkgopt={option}" for option in _SLIM]
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "base.tar"
        run("mmdebstrap", "--variant=minbase", *options, "bookworm", archive, log="base.log")
        run("podman", "import", archive, _BASE_STAND_IN)
    return _BASE_STAND_IN, "a stand-in made with mmdebstrap"


def postgres(base_image: str) -> tuple[str, str]:
    """PostgreSQL's image, and what it is: the official one if this machine has it, else one of Debian's packages."""
    if image_exists(POSTGRES):
        return POSTGRES, "the official image, found here"
    folder = Path(__file__).parent / "postgres"
    command = ["buildah", "bud", "--layers", "--format=docker", "--build-arg", f"BASE={base_image}"]
    run(*command, "-t", _POSTGRES_STAND_IN, folder, log="postgres.log")
    return _POSTGRES_STAND_IN, "a stand-in of Debian's packages"


def build(base_image: str, commit: str) -> float:
    """Build the project's image with the settings that pip has on this machine; its size in MB."""
    with _pip_settings() as mounts:
        run(
            "buildah", "bud", "--layers", "--format=docker", "-f", "docker/Dockerfile", "-t", IMAGE, *mounts,
            "--build-arg", f"BASE={base_image}", "--build-arg", f"COMMIT={commit}", ".",
            log="image.log",
        )  # fmt: skip
    return megabytes(IMAGE)


@contextmanager
def _pip_settings() -> Iterator[list[str]]:
    """Mounts that give a build what pip is configured with here: its options, and the files that they name."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    options, folders = {}, set[Path]()
    with tempfile.TemporaryDirectory() as made:
        mounts = dict[str, str]()
        for name, value in re.findall(r"(?m)^(?:global|:env:)\.([\w-]+)='(.*)'$", listed):
            words = value.replace("\\n", " ").split()
            for number, word in enumerate(words):
                path = Path(word.removeprefix("file://"))
                if not path.is_absolute() or not path.exists():
                    continue
                if path.is_dir():
                    folders.add(Path(*path.parts[:3]))  # an index's pages lead to files beside them
                else:  # not at its own place, where a package of the image may want to put another
                    words[number] = f"/run/pip/{name}"
                    mounts[words[number]] = str(path)
            options[name] = " ".join(words)
        settings = Path(made) / "pip.conf"
        settings.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in options.items()))
        mounts |= {str(folder): str(folder) for folder in folders} | {"/etc/pip.conf": str(settings)}
        yield [word for target, source in mounts.items() for word in ("--volume", f"{source}:{target}:ro")]


def context_megabytes() -> float:
    """The size of what a build is sent, by `.dockerignore`, in MB."""
    names = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"))
    tops = [ROOT / name for name in names]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*"))]
    sizes = [file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts]
    return sum(sizes) / 1e6
