"""Documents: the JSON files of a storage, each with a digest of what it says.

One whose digest does not match is as good as none, so what it stood for is done again.
"""

import json
from typing import Any

from musiclab.hashing import content_hash
from musiclab.storage.files import Storage

NO_DIGEST = "it has no digest, so another version of musiclab wrote it, or something else did"
OTHER_FORM = "another version of musiclab wrote it"
_SEAL = "sha256"


def with_checksum(value: dict[str, Any], sort_keys: bool = True) -> bytes:
    """A JSON file of a storage: `value` with the digest of what it says; equal values are equal bytes if sorted."""
    whole = value | {_SEAL: content_hash(value)}
    return json.dumps(whole, indent=1, sort_keys=sort_keys, allow_nan=False).encode() + b"\n"


def verified(data: bytes) -> dict[str, Any]:
    """The value that `with_checksum` took; ValueError where it is not what was written."""
    try:
        value = json.loads(data)
        if _SEAL not in value:
            raise ValueError(NO_DIGEST)
        if value.pop(_SEAL) != content_hash(value):
            raise ValueError("it is not what was written")
        return value
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is no file of a musiclab storage") from error


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in values.items()}


def with_nan(values: dict[str, float | None]) -> dict[str, float]:
    """What `without_nan` took."""
    return {name: float("nan") if value is None else value for name, value in values.items()}


class Documents:
    """The documents of one storage. `damage` has the files that were found damaged, with what is wrong with them."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.damage: dict[str, str] = {}

    def read(self, name: str) -> dict[str, Any] | None:
        """What the document says; None if there is none, or if it is damaged, which is noted."""
        try:
            return verified(self.storage.read(name))
        except FileNotFoundError:
            return None
        except ValueError as error:
            self.note_damage(name, error)
            return None

    def write(self, name: str, value: dict[str, Any], sort_keys: bool = True) -> None:
        """Write a document; fields keep their order unless they are sorted."""
        self.storage.write(name, with_checksum(value, sort_keys))

    def note_damage(self, name: str, error: Exception) -> None:
        """Remember what is wrong with a file."""
        self.damage[name] = str(error)
