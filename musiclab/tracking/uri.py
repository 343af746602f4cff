"""Where MLflow is: the addresses it takes, which one is meant, and how one is shown without its password."""

import os
import re
from urllib.parse import urlsplit

from musiclab.errors import UserError
from musiclab.storage.files import Storage, cache_folder

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_HIDDEN = "***"


def check_tracking_uri(uri: str) -> str:
    """`uri` if MLflow can take it: a server or a database; else UserError."""
    try:
        parts = urlsplit(uri)
        server = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        server, parts = False, urlsplit("")
    database = parts.scheme.split("+")[0] in _DATABASES and len(uri) > len(parts.scheme) + len("://")
    if not (server or (database and "://" in uri)):
        raise UserError(
            f"The tracking address {masked(uri)!r} is none that MLflow takes; give http://HOST:PORT or sqlite:////FOLDER/mlflow.db."
        )
    return uri


def masked(text: str) -> str:
    """`text` with the user and password of any address in it hidden, to be printed or kept."""
    return re.sub(r"://[^/@\s]+@", f"://{_HIDDEN}@", text)


def is_masked(uri: str) -> bool:
    """Whether `masked` has hidden something of the address."""
    return f"://{_HIDDEN}@" in uri


def is_database(uri: str) -> bool:
    """Whether it names a database itself, and no server in front of one."""
    return uri.startswith(_DATABASES)


def named_uri(option: str | None) -> str:
    """The address that a user has named: by the option, else by MLFLOW_TRACKING_URI; empty where neither is there."""
    named = option or os.environ.get("MLFLOW_TRACKING_URI") or ""
    return named and check_tracking_uri(named)


def default_uri(storage: Storage) -> str:
    """Where no address is named: a database beside the records."""
    folder = str(storage.root if storage.is_local else cache_folder())
    if "?" in folder:  # which begins the options of an address, and cannot be written otherwise
        raise UserError(f"MLflow can have no database in {folder!r}: name a folder without '?', or a --tracking-uri.")
    return f"sqlite:///{folder}/mlflow.db"
