"""Checks of the services that a study uses: Ray and MLflow, each called in a child process with a timeout."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from musiclab.errors import UserError
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.maintenance.doctor.machines import machines
from musiclab.process.child import call_in_child
from musiclab.storage.files import Storage
from musiclab.storage.inventory import Inventory
from musiclab.tracking.uri import (
    artifacts_folder,
    check_tracking_uri,
    database_file,
    default_uri,
    is_masked,
    is_own,
    masked,
    named_uri,
    server_address,
    uri_of_study,
)

_RAY_S, _MLFLOW_S = 90.0, 60.0


def cluster(
    option: str | None = None, storage: Storage | None = None, inventory: Inventory | None = None
) -> Iterator[Finding]:
    """Whether the cluster of RAY_ADDRESS answers, or Ray starts on this machine; what is amiss on its machines."""
    address, place = os.environ.get("RAY_ADDRESS"), storage.root if storage else ""
    servers = _servers(option, storage, inventory)
    try:
        found = call_in_child("musiclab.execution.ray_survey", "survey", _RAY_S, place, servers)
    except UserError as error:
        # What Ray says comes as a whole sentence; what happens to the process that asks it does not.
        if "RAY_" in str(error) or "--in-process" in str(error):
            yield Finding(FAIL, str(error))
        elif address:
            yield Finding(FAIL, f"the cluster at RAY_ADDRESS={address}: {error}", "start it, or unset RAY_ADDRESS")
        else:
            yield Finding(
                FAIL, f"Ray does not start on this machine: {error}", "run studies with --in-process until it does"
            )
        return
    text = f"the cluster at {address} answers" if address else "Ray starts and stops on this machine"
    yield Finding(OK, f"{text}: nodes {found['nodes']:g}, CPUs {found['cpus']:g}, GPUs {found['gpus']:g}")
    yield from machines(found["here"], found["machines"], place, [f"{host}:{port}" for host, port in servers])


def tracking(option: str | None, storage: Storage | None, inventory: Inventory | None) -> Iterator[Finding]:
    """Whether MLflow answers at each address that a study, or `sync`, would use."""
    try:
        uris = _uris(option, storage, inventory)
    except UserError as error:
        yield Finding(FAIL, str(error))
        return
    if not uris:
        yield Finding(OK, "no address is named; the first study creates a database in its storage")
    for uri, studies in sorted(uris.items()):
        yield _mlflow(uri, studies, storage)


def _servers(option: str | None, storage: Storage | None, inventory: Inventory | None) -> list[tuple[str, int]]:
    """Host and port of each tracking server or database server that studies would use."""
    with contextlib.suppress(UserError):  # an address that is none is said by `tracking`
        return sorted({address for uri in _uris(option, storage, inventory) if (address := server_address(uri))})
    return []


def _uris(option: str | None, storage: Storage | None, inventory: Inventory | None) -> dict[str, list[str]]:
    """The addresses that the studies of the storage would use, each with their names; else that of a first study."""
    uris: dict[str, list[str]] = {}
    if storage:
        for study, plan in (inventory.newest if inventory else {}).items():
            uris.setdefault(uri_of_study(option, plan.says.tracking, storage), []).append(study)
    first = named_uri(option) or (default_uri(storage) if storage else "")
    return uris or ({first: []} if first else {})


def _mlflow(uri: str, studies: list[str], storage: Storage | None) -> Finding:
    at = f"MLflow at {masked(uri)}"
    if is_masked(uri):
        return Finding(
            WARN,
            f"{at}: studies used it with a password, which was not stored",
            "to check it, give the whole address by --tracking-uri or MLFLOW_TRACKING_URI",
        )
    artifacts, own = (artifacts_folder(storage), is_own(uri, storage)) if storage else ("", False)
    try:
        check_tracking_uri(uri)
        if file := database_file(uri):
            if not file.exists():
                return Finding(OK, f"{at} does not exist yet; the first study creates it, which takes ten seconds")
            _check_sqlite(file)
        found = call_in_child(
            "musiclab.tracking.mlflow_runs", "examine", _MLFLOW_S, studies, artifacts, own, MLFLOW_TRACKING_URI=uri
        )
    except UserError as error:
        return Finding(FAIL, f"{at}: {error}", _remedy(str(error), uri))
    if found["deleted"]:
        return Finding(FAIL, f"{at}: {found['deleted']}", "one of the two, then `musiclab sync`")
    if found["misplaced"]:
        return Finding(FAIL, f"{at}: {found['misplaced']}")
    if found["moved"]:
        return Finding(WARN, f"{at}: {found['moved']}", "`musiclab sync`, or the next run, which make it look here")
    if found["encoding"]:
        return Finding(
            FAIL, f"{at}: {found['encoding']}, which studies write",
            "make it anew in UTF-8 (PostgreSQL: CREATE DATABASE mlflow ENCODING 'UTF8' TEMPLATE template0), then "
            "`musiclab sync`",
        )  # fmt: skip
    installed, server = found["installed"], found["server"]
    if server and server.split(".")[0] != installed.split(".")[0]:
        return Finding(
            WARN,
            f"{at}: it is version {server}, and {installed} is installed here",
            "run a server of the same major version",
        )
    return Finding(OK, f"{at} answers, version {server or installed}")


def _check_sqlite(file: Path) -> None:
    """UserError if the file is no database or cannot be read; MLflow itself would retry for minutes."""
    try:
        address = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=5)) as database:
            database.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise UserError(f"{file} cannot be read ({error})") from None


def _remedy(reason: str, uri: str) -> str:
    later = "studies run without it, and `musiclab sync` brings it up to date afterwards"
    if "out-of-date database schema" in reason:
        return f"make a copy of the database, then: mlflow db upgrade {masked(uri)}; {later}"
    if "cannot be read" in reason:
        return f"restore it, or move it away and run `musiclab sync`, which fills a new one from the records; {later}"
    return f"start it, or correct the address; {later}"
