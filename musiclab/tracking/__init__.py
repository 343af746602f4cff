"""The MLflow mirror: a process of its own that brings MLflow level with the records.

It follows what trials write to the storage, so no trial and no scheduler ever waits for a tracking server, and it can
start over at any time: runs are found by their tags, and each is told only what it lacks. `Mirror` starts and stops it
from a study, `python -m musiclab.tracking` is that process, and `musiclab sync` does one round of it by hand.
"""

from musiclab.tracking.process import Mirror
from musiclab.tracking.uri import check_tracking_uri, default_uri, masked, named_uri

__all__ = ["Mirror", "check_tracking_uri", "default_uri", "masked", "named_uri"]
