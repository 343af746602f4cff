"""The article's systems, one file or one folder each, found by name."""

import difflib
import importlib
from typing import TYPE_CHECKING

from musiclab.errors import UserError

if TYPE_CHECKING:
    from musiclab.systems.base import System

# Where each is, not the classes: a driver that only plans asks for one system and does not pay for the others.
SYSTEMS = {
    "note_rnn": "note_rnn.NoteRNN",
    "multitrack_rnn": "multitrack_rnn.MultitrackRNN",
    "melody_harmony_cnn": "melody_harmony_cnn.MelodyHarmonyCNN",
    "vae_nn": "vae_nn.system.VaeNN",
    "gan": "gan.system.GAN",
    "transformer_xl": "transformer_xl.system.TransformerXL",
}


def find_system(name: str) -> "System":
    """The system called `name`, as an instance; UserError with the names there are."""
    if name not in SYSTEMS:
        near = difflib.get_close_matches(str(name), SYSTEMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(SYSTEMS)}."
        raise UserError(f"There is no system {name!r}; {hint}")
    module, _, kind = SYSTEMS[name].rpartition(".")
    system: System = getattr(importlib.import_module(f"{__name__}.{module}"), kind)()
    return system
