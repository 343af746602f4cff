"""Why a call to MLflow failed, as a person reads it."""

import os
import re
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from musiclab.errors import UserError, one_line
from musiclab.tracking.uri import is_database, masked, request_timeout

# Patterns in MLflow's error messages, and the reason.
_REASONS = (
    (r"Tunnel connection failed: ([^'\")]+)", "the proxy refuses ({0})"),
    (r"error code 407", "the proxy wants a user and a password (407)"),
    (r"Missing dependencies for SOCKS", "a SOCKS proxy needs the package PySocks"),
    (r"ProxyError|Unable to connect to proxy", "the proxy cannot be reached"),
    (r"Invalid Host header", "the server does not answer to the name {host}; name it in the server's --allowed-hosts"),
    (r"error code (401|403)", "access is refused ({0}); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
     "MLFLOW_TRACKING_TOKEN, of an account that may write there"),
    (r"not in a valid JSON format|ENDPOINT_NOT_FOUND|failed with error code (?:30\d|404)", "what answers there is not "
     "an MLflow server; check the address"),
    (r"too many (\d+) error responses", "it answers with errors ({0})"),
    (r"ReadTimeout|ConnectTimeout|timed out", "no answer within {timeout} s"),
    (r"[Cc]onnection refused", "nothing listens there (connection refused)"),
    (r"NameResolutionError", "no such host"),
    (r"RemoteDisconnected|Connection aborted|ConnectionReset", "the connection was lost in the middle of an answer"),
)  # fmt: skip


def why(error: Exception, uri: str) -> str:
    """Why a call to MLflow at `uri` failed, in a line for a person."""
    if isinstance(error, UserError):
        return str(error).removesuffix(".")
    text = masked(f"{error}" or type(error).__name__)
    for pattern, reason in _REASONS:
        if match := re.search(pattern, text):
            host = urlsplit(uri).netloc.rpartition("@")[2]
            return reason.format(*match.groups(), timeout=request_timeout(), host=host) + _through_proxy(uri)
    return one_line("".join(character if character.isprintable() else " " for character in text))[:300]


def _through_proxy(uri: str) -> str:
    """Which proxy was asked for a server, and how to do without; empty if none was."""
    address = urlsplit(uri)
    proxy = None if is_database(uri) else select_proxy(uri, get_environ_proxies(uri))
    if not proxy:
        return ""
    names = [form for name in (f"{address.scheme}_proxy", "all_proxy") for form in (name, name.upper())]
    name = next((name for name in names if os.environ.get(name) == proxy), names[0])
    others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    without = ",".join(filter(None, [others, address.hostname]))
    return f"; the proxy {masked(proxy)} was asked, which {name} names: to do without it, set no_proxy={without}"
