#!/opt/venv/bin/python
"""Exits with 0 if a server answers at every address that it is given, for the health checks of containers."""

import sys
import urllib.error
import urllib.request

# What is asked is this container itself, whatever proxy the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main(addresses: list[str]) -> int:
    """Ask each address; the exit code."""
    for address in addresses:
        try:
            _OPENER.open(address, timeout=8).close()
        except (OSError, ValueError) as error:
            # A server that wants a token is well; one with a status from 500 is not.
            if not (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                print(f"{address}: {error}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
