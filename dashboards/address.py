"""Where a server listens: a port of this machine by default, one that others reach only behind a token."""

import contextlib
import errno
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from musiclab.errors import UserError, one_line

LOOPBACK = "127.0.0.1"
LEAST_TOKEN = 16  # characters
_NAMES_OF_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Address:
    """Where a server listens, and who may ask it.

    Attributes:
        host: a name or an address of this machine.
        port: 0 for any free one.
        token: what a visitor must know; empty on loopback, where no token is needed.
        allowed_hosts: further names by which browsers may call the server, such as that of a proxy before it.
    """

    host: str
    port: int
    token: str = ""
    allowed_hosts: tuple[str, ...] = ()

    @classmethod
    def of_options(cls, host: str, port: int, token_file: str | None, allowed_hosts: list[str]) -> "Address":
        """The address that a command line names.

        Raises:
            UserError: if other machines could reach it without a token, or if the token cannot be read or is short.
        """
        token = _token(token_file) if token_file else ""
        if not token and not is_loopback(host):
            raise UserError(
                f"--host {host} lets other machines in, so --token-file must name a file with a token that they have "
                f"to give, of {LEAST_TOKEN} characters or more."
            )
        return cls(host, port, token, tuple(allowed_hosts))

    def listen(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            UserError: if the port is in use or not allowed, or if the host is none of this machine's.
        """
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except (OSError, UnicodeError) as error:
            raise UserError(
                f"--host must be a name or an address of this machine; got {self.host!r} ({_reason(error)})."
            ) from None
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
        except OSError as error:
            listening.close()
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"--port {self.port} is in use by another program; name another, or 0 for any free one.",
                    exit_code=1,
                ) from None
            if error.errno == errno.EADDRNOTAVAIL:
                raise UserError(f"--host must be an address of this machine; got {self.host!r}.") from None
            raise UserError(f"--port {self.port} of {self.host} cannot be opened: {_reason(error)}.") from None
        return listening

    def hosts(self, port: int) -> frozenset[str]:
        """The values of the header `Host` that a browser may send, in lower case; `port` is the one in use."""
        names = {*_NAMES_OF_LOOPBACK, self.host, *self.allowed_hosts}
        if not is_loopback(self.host):
            names |= {socket.gethostname(), socket.getfqdn()}
        shown = {_in_url(name.lower()) for name in names}
        return frozenset({f"{name}:{port}" for name in shown} | (shown if port == 80 else set()) | self._named)

    @property
    def _named(self) -> set[str]:
        """The allowed hosts as they are: a proxy's name may have another port, or none."""
        return {name.lower() for name in self.allowed_hosts}

    def url(self, port: int) -> str:
        """The page's address for a person.

        A server that listens everywhere is reached by the first allowed host with a port, such as a container's port on
        the machine around it, else by this machine's name.
        """
        host = self.host
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host).is_unspecified:
                if outside := next((name for name in self.allowed_hosts if re.search(r":\d+$", name)), ""):
                    return f"http://{outside}/"
                host = socket.gethostname()
        return f"http://{_in_url(host)}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server that listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether a host, without its port, is a number: a hostile page cannot make a name of its own lead to one."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _token(file: str) -> str:
    try:
        token = Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise UserError(f"--token-file {file!r} cannot be read: {_reason(error)}.") from None
    if len(token) < LEAST_TOKEN or not token.isprintable() or not token.isascii():
        raise UserError(
            f"--token-file {file!r} must hold a token of {LEAST_TOKEN} printable ASCII characters or more, such as "
            "`python -c 'import secrets; print(secrets.token_urlsafe())'` prints."
        )
    return token


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", "") or str(error)).rstrip(".")
