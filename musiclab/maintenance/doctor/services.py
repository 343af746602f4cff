"""Checks of the services that a study uses: Ray and MLflow, each called in a child process with a timeout."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from musiclab.errors import UserError
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.maintenance.doctor.isolated import call_in_child
from musiclab.storage.files import Storage
from musiclab.storage.inventory import Inventory
from musiclab.tracking.uri import check_tracking_uri, default_uri, is_masked, masked, named_uri

_RAY_S, _MLFLOW_S = 60.0, 60.0


def cluster() -> Iterator[Finding]:
    """Whether the cluster of RAY_ADDRESS answers, or Ray starts on this machine."""
    address = os.environ.get("RAY_ADDRESS")
    try:
        resources = call_in_child("musiclab.execution.ray_tune", "cluster", _RAY_S)
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
    text += f": nodes {resources['nodes']:g}, CPUs {resources['cpus']:g}, GPUs {resources['gpus']:g}"
    yield Finding(OK, f"{text}; all machines must see the storage" if resources["nodes"] > 1 else text)


def tracking(option: str | None, storage: Storage | None, inventory: Inventory | None) -> Iterator[Finding]:
    """Whether MLflow answers at each address that a study, or `sync`, would use."""
    try:
        uris = {named_uri(option)} - {""} or _uris_of_studies(storage, inventory)
    except UserError as error:  # the variable is wrong
        yield Finding(FAIL, str(error), "change or unset MLFLOW_TRACKING_URI")
        return
    if not uris:
        yield Finding(OK, "no address is named; the first study creates a database in its storage")
    for uri in sorted(uris):
        yield _mlflow(uri)


def _uris_of_studies(storage: Storage | None, inventory: Inventory | None) -> set[str]:
    """The addresses that the studies of the storage used, or would use."""
    if storage is None:
        return set()
    plans = inventory.newest.values() if inventory else []
    return {plan.says.tracking or default_uri(storage) for plan in plans} or {default_uri(storage)}


def _mlflow(uri: str) -> Finding:
    at = f"MLflow at {masked(uri)}"
    if is_masked(uri):
        return Finding(
            WARN,
            f"{at}: studies used it with a password, which was not stored",
            "to check it, give the whole address by --tracking-uri or MLFLOW_TRACKING_URI",
        )
    try:
        check_tracking_uri(uri)
        if uri.startswith("sqlite"):
            file = Path(uri.partition(":///")[2].partition("?")[0])
            if not file.exists():
                return Finding(OK, f"{at} does not exist yet; the first study creates it, which takes ten seconds")
            _check_sqlite(file)
        versions = call_in_child("musiclab.tracking.mlflow_runs", "versions", _MLFLOW_S, MLFLOW_TRACKING_URI=uri)
    except UserError as error:
        return Finding(FAIL, f"{at}: {error}", _remedy(str(error), uri))
    installed, server = versions["installed"], versions["server"]
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
