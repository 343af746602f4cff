"""Addresses of MLflow: which are valid, which one is meant, and how one is shown without its password."""

import os
import re
from urllib.parse import urlsplit

from musiclab.errors import UserError
from musiclab.storage.files import Storage, cache_folder

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_HIDDEN = "***"


def check_tracking_uri(uri: str) -> str:
    """Return `uri` if it is the address of a server or a database that MLflow takes; UserError if not."""
    try:
        split_uri = urlsplit(uri)
        is_server = split_uri.scheme in ("http", "https") and bool(split_uri.hostname) and (split_uri.port or 1) > 0
    except ValueError:
        is_server, split_uri = False, urlsplit("")
    scheme = split_uri.scheme
    names_database = scheme.split("+")[0] in _DATABASES and len(uri) > len(scheme) + len("://") and "://" in uri
    if not (is_server or names_database):
        raise UserError(
            f"The tracking address must be http://HOST:PORT or a database such as sqlite:////FOLDER/mlflow.db; got "
            f"{masked(uri)!r}."
        )
    return uri


def masked(text: str) -> str:
    """`text` with the user and password of every address in it hidden, so that it may be printed or stored."""
    return re.sub(r"://[^/@\s]+@", f"://{_HIDDEN}@", text)


def is_masked(uri: str) -> bool:
    """Whether `masked` has hidden a part of the address."""
    return f"://{_HIDDEN}@" in uri


def is_database(uri: str) -> bool:
    """Whether the address is that of a database, not of a server in front of one."""
    return uri.startswith(_DATABASES)


def named_uri(option: str | None) -> str:
    """The address that a user has named: by the option, else by MLFLOW_TRACKING_URI; empty if by neither."""
    named = option or os.environ.get("MLFLOW_TRACKING_URI") or ""
    return named and check_tracking_uri(named)


def default_uri(storage: Storage) -> str:
    """The address if none is named: a database beside the records. UserError if there can be none."""
    folder = str(storage.root if storage.is_local else cache_folder())
    if "?" in folder:  # it begins the options of an address, and there is no escape for it
        raise UserError(
            f"The folder of MLflow's database must have no '?' in its name; got {folder!r}. Name another folder, or a "
            "--tracking-uri."
        )
    return f"sqlite:///{folder}/mlflow.db"
