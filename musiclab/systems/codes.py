"""The code of every stage that the lock holds, as it is in this checkout."""

from musiclab.code_lock import StageCode
from musiclab.data.sources import HOUSE
from musiclab.data.store import code_of_windows
from musiclab.interfaces import INTERFACES
from musiclab.systems import SYSTEMS, find_system


def stage_codes() -> list[StageCode]:
    """The code of all systems' stages, of the readers of all sources, and of the interfaces, sorted by name."""
    systems = [find_system(name) for name in SYSTEMS]
    codes = {code.name: code for system in systems for stage in system.stages for code in system.code(stage)}
    # A source is made from a path, and only its class matters here.
    codes |= {code.name: code for kind in HOUSE.values() if (code := code_of_windows(object.__new__(kind)))}
    codes |= {each.name: each.code for each in INTERFACES}
    return [codes[name] for name in sorted(codes)]


def present_code() -> dict[str, str]:
    """The identity of every stage's code in this checkout, by the stage's name."""
    return {code.name: code.identity for code in stage_codes()}
