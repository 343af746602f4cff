"""The code of every stage that the lock holds, as it is in this checkout."""

from musiclab.code_lock import StageCode
from musiclab.data.chorales import Chorales
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.store import code_of_windows
from musiclab.systems import SYSTEMS, find_system


def stage_codes() -> list[StageCode]:
    """The code of the stages of all systems and of the readers of all sources, sorted by the stage's name."""
    systems = [find_system(name) for name in SYSTEMS]
    codes = {code.name: code for system in systems for stage in system.stages for code in system.code(stage)}
    # A source is made from a path, and only its class matters here.
    codes |= {code.name: code for kind in (Chorales, Lpd5, Midi) if (code := code_of_windows(object.__new__(kind)))}
    return [codes[name] for name in sorted(codes)]


def present_code() -> dict[str, str]:
    """The identity of every stage's code in this checkout, by the stage's name."""
    return {code.name: code.identity for code in stage_codes()}
