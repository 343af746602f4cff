"""The sources of songs that the option --data can name."""

import os
from pathlib import Path

from musiclab.data.chorales import Chorales
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.source import Source
from musiclab.errors import UserError


def open_source(spec: str) -> Source:
    """The source that --data names: "chorales", "lpd5:PATH" or "midi:PATH".

    Raises:
        UserError: `spec` is something else, or there is no such data.
    """
    kind, _, path = spec.partition(":")
    if spec == Chorales.kind:
        return Chorales()
    for source in (Lpd5, Midi):
        if kind == source.kind and path:
            return source(Path(os.path.expanduser(path)))  # noqa: PTH111 - Path.expanduser raises for an unknown user
    raise UserError(f"--data must be chorales, lpd5:PATH or midi:PATH; got {spec!r}.")
