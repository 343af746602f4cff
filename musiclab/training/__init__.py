"""How systems are trained: named random streams, the fit loop with its checkpoints, batches on a device.

The names in `__all__` are public: a system of one's own may train with them.
"""

from typing import TYPE_CHECKING

from musiclab.on_demand import on_demand

if TYPE_CHECKING:
    from musiclab.training.batches import shuffled
    from musiclab.training.epoch import Epoch
    from musiclab.training.fit import Learner
    from musiclab.training.weights import load_weights, save_weights

__all__ = ["Epoch", "Learner", "load_weights", "save_weights", "shuffled"]

# Imported when asked for, because they bring torch.
__getattr__, __dir__ = on_demand(
    __name__,
    {
        "musiclab.training.batches": ["shuffled"],
        "musiclab.training.epoch": ["Epoch"],
        "musiclab.training.fit": ["Learner"],
        "musiclab.training.weights": ["load_weights", "save_weights"],
    },
)
