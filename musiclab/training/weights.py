"""The weights of one network as a file of a stage."""

from typing import TypeVar

from torch import nn

from musiclab.training import tensors
from musiclab.training.files import Files

WEIGHTS = "weights.safetensors"

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def save_weights(network: nn.Module, files: Files) -> None:
    """Keep a network's parameters and buffers among the files of the stage that trained it."""
    files.write(WEIGHTS, tensors.to_bytes(network.state_dict()))


def load_weights(network: ModuleT, files: Files) -> ModuleT:
    """The network with the weights that `save_weights` kept, in evaluation mode.

    Args:
        network: as it was made for training.
        files: of the stage that kept them, `run.files.product(stage)`.

    Raises:
        FileNotFoundError: the stage has kept none.
        RuntimeError: the network has other parameters.
    """
    state, _ = tensors.from_bytes(files.read(WEIGHTS))
    network.load_state_dict(state)
    return network.eval()
