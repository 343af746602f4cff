"""The MLflow mirror: a process of its own that keeps MLflow in sync with the records.

It reads what trials write to the storage, so no trial and no scheduler ever waits for a tracking server. It can start
over at any time, because runs are found by their tags and each is sent only what it lacks. `Mirror` starts and stops
the process from a study, `python -m musiclab.tracking` is that process, and `musiclab sync` does one round by hand.
"""

from musiclab.tracking.process import Mirror
from musiclab.tracking.uri import check_tracking_uri, default_uri, is_own, masked, named_pages, named_uri

__all__ = ["Mirror", "check_tracking_uri", "default_uri", "is_own", "masked", "named_pages", "named_uri"]
