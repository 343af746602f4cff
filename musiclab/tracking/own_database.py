"""A storage's own MLflow database, which notes full paths of files: they follow if the storage is moved or copied."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import url2pathname

_FOLDER = "mlflow-artifacts"
# Tables and columns of MLflow that hold paths of files. A trace tag that holds anything else begins with no such path.
_PATHS = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("trace_tags", "value"), ("model_versions", "source"), ("model_versions", "storage_location"),
)  # fmt: skip
_WAIT_S = 20.0


def location_of(folder: str) -> str:
    """A folder's path as MLflow takes it: it decodes %XX, and takes '?' and '#' for parts of an address."""
    return "".join(quote(char) if char in "%?#" or not char.isprintable() else char for char in folder)


def local_path(location: str) -> Path | None:
    """The folder that a location of MLflow's names; None if it is on a server or in an object store."""
    path = location.removeprefix("file://") if location.startswith("file:///") else location
    return Path(url2pathname(path)) if path.startswith("/") else None


def is_same(location: str, folder: str) -> bool:
    """Whether a location of MLflow's is that folder, by whatever links."""
    path = local_path(location)
    return path is not None and os.path.realpath(path) == os.path.realpath(folder)


def old_folders(database: Path, folder: str) -> set[str]:
    """Where the database looks for files that should be in `folder`: in the folders of that name of other storages."""
    with _opened(database, "ro") as connection:
        experiments = connection.execute("SELECT artifact_location FROM experiments").fetchall()
        runs = connection.execute("SELECT artifact_uri, run_uuid FROM runs").fetchall()
    locations = {location or "" for (location,) in experiments}
    locations |= {(location or "").removesuffix(f"/{run}/artifacts") for location, run in runs}
    return {old for old in locations if old.endswith(f"/{_FOLDER}") and not is_same(old, folder)}


def bring_files_along(database: Path, folder: str) -> None:
    """Make the database look for files in `folder`, after its storage was moved or copied."""
    old = old_folders(database, folder)
    if not old:
        return
    with _opened(database, "rw") as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table, column in _PATHS:
            for location in old:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (location_of(folder), len(location) + 1, location, len(location) + 1, f"{location}/"),
                )
        connection.commit()


@contextlib.contextmanager
def _opened(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"{database.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as connection:
        yield connection
