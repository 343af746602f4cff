"""Addresses of MLflow: which are valid, which one is meant, and how one is shown without its password."""

import contextlib
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from musiclab.errors import UserError
from musiclab.storage.files import Storage, cache_folder

_VARIABLE, _TIMEOUT = "MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT"
_PAGES = "MUSICLAB_MLFLOW_PAGES"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_HIDDEN = "***"
# What MLflow takes, or once took, and musiclab does not.
_OTHERS = {
    "file": ", a folder of plain files, which MLflow has given up",
    "databricks": ", which MLflow takes, but musiclab does not",
}


def check_tracking_uri(uri: str, name: str = "--tracking-uri") -> str:
    """Return `uri` if it is the address of a server or a database that musiclab takes.

    Args:
        uri: the address.
        name: the option or variable that it came by.

    Raises:
        UserError: it is not.
    """
    if not (_is_server(uri) or _names_database(uri)):
        kind = _OTHERS.get(_scheme(uri) or uri, "")
        way_out = " Unset it, or give another address by --tracking-uri." if name == _VARIABLE else ""
        raise UserError(
            f"{name} must be http://HOST:PORT or a database such as sqlite:////FOLDER/mlflow.db; got "
            f"{masked(uri)!r}{kind}.{way_out}"
        )
    return uri


def _scheme(uri: str) -> str:
    try:
        return urlsplit(uri).scheme
    except ValueError:
        return ""


def _is_server(uri: str) -> bool:
    try:
        split_uri = urlsplit(uri)
        return split_uri.scheme in ("http", "https") and bool(split_uri.hostname) and (split_uri.port or 1) > 0
    except ValueError:
        return False


def _names_database(uri: str) -> bool:
    try:
        split_uri = urlsplit(uri)
        scheme, has_port = split_uri.scheme, (split_uri.port or 1) > 0
    except ValueError:
        return False
    kind = scheme.split("+")[0]
    if kind == "sqlite":
        return database_file(uri) is not None
    return kind in _DATABASES and has_port and bool(uri.partition("://")[2])


def named_pages() -> str:
    """The address at which people open MLflow's pages, if MUSICLAB_MLFLOW_PAGES names one; else empty.

    A server in a container has one address for the processes beside it and another for a browser outside.

    Raises:
        UserError: it is not the address of a server.
    """
    named = os.environ.get(_PAGES) or ""
    if named and not _is_server(named):
        raise UserError(f"{_PAGES} must be http://HOST:PORT, where MLflow's pages are opened; got {masked(named)!r}.")
    return masked(named.rstrip("/"))


def request_timeout() -> int:
    """Seconds that MLflow waits for an answer of a server, by its variable; UserError if that is no whole number."""
    text = os.environ.get(_TIMEOUT) or "20"
    if not (text.isdecimal() and int(text) > 0):
        raise UserError(f"{_TIMEOUT} must be a whole number of seconds from 1; got {text!r}.")
    return int(text)


def masked(text: str) -> str:
    """`text` with the user and password of every address in it hidden, so that it may be printed or stored.

    A password may hold an @, because the host stands behind the last one.
    """
    return re.sub(r"://[^/\s]+@", f"://{_HIDDEN}@", text)


def is_masked(uri: str) -> bool:
    """Whether `masked` has hidden a part of the address."""
    return f"://{_HIDDEN}@" in uri


def is_database(uri: str) -> bool:
    """Whether the address is that of a database, not of a server in front of one."""
    return uri.startswith(_DATABASES)


def server_address(uri: str) -> tuple[str, int] | None:
    """Host and port of the server, MLflow's or a database's; None if the address names none, or is wrong."""
    split = urlsplit(uri)
    with contextlib.suppress(ValueError):  # a port that is none
        port = split.port or _PORTS.get(split.scheme.split("+")[0])
        return (split.hostname, port) if split.hostname and port else None
    return None


def database_file(uri: str) -> Path | None:
    """The file of a SQLite database; None if the address is of another kind."""
    path = uri.partition(":///")[2].partition("?")[0]
    return Path(unquote(path)).absolute() if uri.startswith("sqlite") and path else None


def named_uri(option: str | None) -> str:
    """The address that a user has named: by the option, else by MLFLOW_TRACKING_URI; empty if by neither.

    A relative path of SQLite, which another working directory would take to another file, is made absolute.
    """
    named = option or os.environ.get(_VARIABLE) or ""
    if not named:
        return ""
    check_tracking_uri(named, "--tracking-uri" if option else _VARIABLE)
    file = database_file(named)
    if file is None or re.match(r"[\w+]+:////", named):
        return named
    options = named.partition("?")
    return _sqlite(named.partition(":")[0], str(file)) + options[1] + options[2]


def default_uri(storage: Storage) -> str:
    """The address if none is named: a database beside the records. UserError if there can be none."""
    return _sqlite("sqlite", f"{_own_folder(storage)}/mlflow.db")


def is_own(uri: str, storage: Storage) -> bool:
    """Whether the address is that of the storage's own database, written in whatever way."""
    file, own = database_file(uri), database_file(default_uri(storage))
    return file is not None and own is not None and os.path.realpath(file) == os.path.realpath(own)


def uri_of_study(option: str | None, of_plan: str, storage: Storage) -> str:
    """The address of a study that has run: the named one, else that of its plan, else the storage's own database."""
    return named_uri(option) or of_plan or default_uri(storage)


def artifacts_folder(storage: Storage) -> str:
    """Where files of runs are if MLflow is a database.

    It is not in a remote storage, because MLflow would need that kind's own client library.
    """
    return f"{_own_folder(storage)}/mlflow-artifacts"


def _own_folder(storage: Storage) -> str:
    folder = str(storage.root if storage.is_local else cache_folder())
    try:
        folder.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"The folder of MLflow's database must have a name in UTF-8; got {folder!r}. Name another folder."
        ) from None
    return folder


def _sqlite(scheme: str, file: str) -> str:
    if unquote(file) == file and not re.search(r"[?\x00-\x1f]", file):
        return f"{scheme}:///{file}"
    # SQLAlchemy decodes the path, but MLflow also makes the folder above it, and takes that from the path as it stands.
    # With its slashes encoded too, the path is one name there, and the folder above it is the root.
    return f"{scheme}:////{quote(file.removeprefix('/'), safe='')}"
