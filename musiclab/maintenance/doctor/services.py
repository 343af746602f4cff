"""Checks of what a study talks to: Ray and MLflow, each asked in a process of its own, within a time limit."""

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
    """The cluster of RAY_ADDRESS, or whether a Ray of this machine starts."""
    address = os.environ.get("RAY_ADDRESS")
    try:
        has = call_in_child("musiclab.execution.ray_tune", "cluster", _RAY_S)
    except UserError as error:
        if address:
            known = str(error) if "RAY_ADDRESS" in str(error) else f"the cluster at RAY_ADDRESS={address}: {error}"
            yield Finding(FAIL, known, "start it with this same environment, or unset RAY_ADDRESS")
        else:
            yield Finding(
                FAIL, f"a Ray of this machine does not start: {error}", "run studies with --in-process until it does"
            )
        return
    where = f"the cluster at {address} answers" if address else "a Ray of this machine starts and stops"
    several = "; all of its machines must see the storage" if has["nodes"] > 1 else ""
    yield Finding(OK, f"{where}: nodes {has['nodes']:g}, CPUs {has['cpus']:g}, GPUs {has['gpus']:g}{several}")


def tracking(option: str | None, storage: Storage | None, inventory: Inventory | None) -> Iterator[Finding]:
    """MLflow at the address that a study, or `sync`, would use."""
    try:
        uris = {named_uri(option)} - {""} or _shown_at(storage, inventory)
    except UserError as error:  # of the variable
        yield Finding(FAIL, str(error), "change or unset MLFLOW_TRACKING_URI")
        return
    if not uris:
        yield Finding(OK, "no address is named; the first study makes a database in its storage")
    for uri in sorted(uris):
        yield _mlflow(uri)


def _shown_at(storage: Storage | None, inventory: Inventory | None) -> set[str]:
    """Where the studies of the storage are shown, or would be."""
    if storage is None:
        return set()
    plans = inventory.newest.values() if inventory else []
    return {plan.says.tracking or default_uri(storage) for plan in plans} or {default_uri(storage)}


def _mlflow(uri: str) -> Finding:
    at = f"MLflow at {masked(uri)}"
    if is_masked(uri):
        return Finding(
            WARN,
            f"{at}: studies were run with a password for it, which is not kept",
            "give the whole address by --tracking-uri or MLFLOW_TRACKING_URI to have it checked",
        )
    try:
        check_tracking_uri(uri)
        if uri.startswith("sqlite"):
            file = Path(uri.partition(":///")[2].partition("?")[0])
            if not file.exists():
                return Finding(OK, f"{at}: not there yet, the first study makes it (which takes ten seconds)")
            _check_sqlite(file)
        found = call_in_child("musiclab.tracking.mlflow_runs", "versions", _MLFLOW_S, MLFLOW_TRACKING_URI=uri)
    except UserError as error:
        return Finding(FAIL, f"{at}: {error}", _remedy(str(error), uri))
    here, there = found["here"], found["there"]
    if there and there.split(".")[0] != here.split(".")[0]:
        return Finding(
            WARN,
            f"{at}: it is version {there}, and {here} is installed here",
            "run a server of the same major version",
        )
    return Finding(OK, f"{at} answers, version {there or here}")


def _check_sqlite(file: Path) -> None:
    """UserError where the file is no database, or nobody can read it: MLflow itself would try for minutes."""
    try:
        address = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=5)) as database:
            database.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise UserError(f"{file} cannot be read ({error})") from None


def _remedy(reason: str, uri: str) -> str:
    level = "studies run without it, and `musiclab sync` brings it level afterwards"
    if "out-of-date database schema" in reason:
        return f"make a copy of the database, then: mlflow db upgrade {masked(uri)}; {level}"
    if "cannot be read" in reason:
        return f"restore it, or move it away and run `musiclab sync`: MLflow is made anew from the records; {level}"
    return f"start it, or correct the address; {level}"
