"""Content hashes: the names of trials, stages and window stores."""

import hashlib
import json
from typing import Any


def content_hash(value: Any, length: int = 20) -> str:
    """Hash of a JSON-serialisable value as `length` hex digits; equal values give equal hashes on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
