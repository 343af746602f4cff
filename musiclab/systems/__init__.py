"""The article's systems, one file or one folder each, found by name, and what a user's own system is made of.

The names in `__all__` are public: with them a system of one's own is written.
"""

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from musiclab.errors import UserError
from musiclab.on_demand import on_demand

if TYPE_CHECKING:
    from musiclab.systems.base import Progress, StageRun, System
    from musiclab.systems.config import Config, field
    from musiclab.systems.function import FunctionData, system

__all__ = ["Config", "FunctionData", "Progress", "StageRun", "System", "field", "system"]

# Imported when asked for, because they bring torch.
__getattr__, __dir__ = on_demand(
    __name__,
    {
        "musiclab.systems.base": ["Progress", "StageRun", "System"],
        "musiclab.systems.config": ["Config", "field"],
        "musiclab.systems.function": ["FunctionData", "system"],
    },
)

# Paths instead of classes, so that a driver that only plans imports the systems it asks for and no others.
SYSTEMS = {
    "note_rnn": "note_rnn.system.NoteRNN",
    "multitrack_rnn": "multitrack_rnn.MultitrackRNN",
    "melody_harmony_cnn": "melody_harmony_cnn.system.MelodyHarmonyCNN",
    "vae_nn": "vae_nn.system.VaeNN",
    "gan": "gan.system.GAN",
    "transformer_xl": "transformer_xl.system.TransformerXL",
}


def find_system(name: str) -> "System[Any]":
    """An instance of the article's system called `name`. Nothing else is ever imported for a name.

    Raises:
        UserError: there is no such system; the message says which there are.
    """
    if name not in SYSTEMS:
        near = difflib.get_close_matches(str(name), SYSTEMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(SYSTEMS)}."
        raise UserError(f"There is no system {name!r}; {hint}")
    module, _, class_name = SYSTEMS[name].rpartition(".")
    system: System[Any] = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)()
    return system
