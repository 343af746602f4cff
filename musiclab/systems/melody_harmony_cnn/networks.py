"""The networks of `melody_harmony_cnn`: one instrument's, as the article has it, and those of several at once."""

from collections.abc import Sequence

import torch
from torch import nn

from musiclab.systems.melody_harmony_cnn.config import MelodyHarmonyCNNConfig
from musiclab.training.patches import MemberLayer, from_patches, stacked, to_patches

# The last convolution leaves two places in pitch, because batch normalisation fails if it gets a single value, as it
# would from a batch of one window.
PLACES = 2


class NextWindowCNN(nn.Module):
    """An instrument's next window `(n, 1, steps, 128)` from its last one.

    `with_piano` also takes the piano's current window: ConditionalHarmonyCNN is with it, MelodyCNN without. This is the
    network as the article has it, which also plays. It is trained by a `NextWindowStack`.
    """

    def __init__(self, config: MelodyHarmonyCNNConfig, with_piano: bool) -> None:
        super().__init__()
        flat, last = 4 * config.width * PLACES, (config.steps // 16, 8 // PLACES)
        self.own = encoder(config.width, last)
        self.piano = encoder(config.width, last) if with_piano and config.encoder == "separate" else None
        self.with_piano = with_piano
        inputs = 2 * flat if with_piano else flat
        self.dense = dense(inputs, config.hidden, flat, config.dense_layers, config.dropout)
        self.decoder = decoder(config.width, last)
        self.skip = skip(config.steps) if config.skip else None

    def forward(self, last_N1TP: torch.Tensor, piano_N1TP: torch.Tensor | None = None) -> torch.Tensor:
        """Activations of the next window: about 0 if a cell is surely silent, about 1 if it surely sounds.

        Raises:
            ValueError: the network is with the piano, and no piano is given.
        """
        if not self.with_piano:
            code = self.own(last_N1TP)
        elif piano_N1TP is None:
            raise ValueError("a network that follows the piano needs the piano's window")
        elif self.piano is None:
            # In one batch, so that shared batch normalisation sees the same mixture in training as in generation.
            code = torch.cat(self.own(torch.cat([last_N1TP, piano_N1TP])).chunk(2), dim=1)
        else:
            code = torch.cat([self.own(last_N1TP), self.piano(piano_N1TP)], dim=1)
        activations: torch.Tensor = self.decoder(self.dense(code))
        if self.skip is not None:
            activations = activations + self.skip(last_N1TP.transpose(2, 3)).transpose(2, 3)
        return activations


class NextWindowStack(nn.Module):
    """The networks of some instruments as one, in training; their convolutions are products on patches.

    It takes over their parameters, see `training.patches`. All are with the piano, or all without.
    """

    def __init__(self, networks: Sequence[NextWindowCNN]) -> None:
        super().__init__()
        self.with_piano = networks[0].with_piano
        self.own = stacked([network.own for network in networks])
        pianos = [network.piano for network in networks if network.piano is not None]
        self.piano = stacked(pianos) if pianos else None
        self.dense = stacked([network.dense for network in networks])
        self.decoder = stacked([network.decoder for network in networks])
        skips = [network.skip for network in networks if network.skip is not None]
        self.skip = MemberLayer(skips) if skips else None

    def forward(
        self, last_MNC: torch.Tensor, piano_NC: torch.Tensor, dropped_LMNH: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Activations `(member, n, steps x 128)` of the next windows; all windows are in patch order.

        Args:
            last_MNC: the instruments' last windows.
            piano_NC: the piano's current ones; not used if the networks are without the piano.
            dropped_LMNH: the factors of dropout for the outputs of each hidden dense layer, `(member, n, hidden)` each.
        """
        piano_MNC = piano_NC.expand_as(last_MNC)
        if not self.with_piano:
            x = _flat(self.own(last_MNC), last_MNC.shape[1])
        elif self.piano is None:
            # In one batch, so that shared batch normalisation sees the same mixture in training as in generation.
            both = _flat(self.own(torch.cat([last_MNC, piano_MNC], dim=1)), 2 * last_MNC.shape[1])
            x = torch.cat(both.chunk(2, dim=1), dim=2)
        else:
            codes = self.own(last_MNC), self.piano(piano_MNC)
            x = torch.cat([_flat(code, last_MNC.shape[1]) for code in codes], dim=2)
        hidden = iter(dropped_LMNH)
        for layer in self.dense:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                x = x * next(hidden)
        places = x.unflatten(2, (-1, PLACES)).transpose(2, 3)
        activations: torch.Tensor = self.decoder(places).view_as(last_MNC)
        if self.skip is not None:
            last_MNPT = from_patches(last_MNC, self.skip.weight.shape[1], PLACES).permute(1, 0, 3, 2)
            added_MNPT = self.skip(last_MNPT).view_as(last_MNPT)
            activations = activations + to_patches(added_MNPT.permute(1, 0, 3, 2), PLACES)
        return activations


def _flat(rows: torch.Tensor, n: int) -> torch.Tensor:
    """Outputs `(member, n x places, channel)` as `(member, n, channel x places)`, the order that `nn.Flatten` gives."""
    return rows.view(len(rows), n, PLACES, -1).transpose(2, 3).flatten(2)


def encoder(width: int, last: tuple[int, int]) -> nn.Sequential:
    """Three convolutions, each with batch normalisation: from windows to `(n, 8 x width)`."""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, 4), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 4, 4), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, last, last), nn.BatchNorm2d(4 * width), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip


def decoder(width: int, last: tuple[int, int]) -> nn.Sequential:
    """The convolutions of `encoder` in reverse, transposed: back to windows. There is no activation after the last."""
    outermost = nn.ConvTranspose2d(width, 1, 4, 4)
    with torch.no_grad():
        # Nearly all cells are silent. So a network that starts at full size is first pushed down to silence as a whole,
        # and it takes long to recover; at a high learning rate it never does.
        outermost.weight.mul_(0.1)
        outermost.bias.zero_()  # type: ignore[union-attr]  # a convolution has a bias unless told otherwise
    return nn.Sequential(
        nn.Unflatten(1, (4 * width, 1, PLACES)), nn.BatchNorm2d(4 * width), nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, last, last), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 4), nn.BatchNorm2d(width), nn.ReLU(),
        outermost,
    )  # fmt: skip


def skip(steps: int) -> nn.Linear:
    """From each pitch's last window to its next one, the same for all pitches; so few songs teach it for every key.

    It starts at nothing, as if it were not there.
    """
    layer = nn.Linear(steps, steps)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def dense(inputs: int, hidden: int, outputs: int, layers: int, dropout: float) -> nn.Sequential:
    """`layers` dense layers, with ReLU and dropout after each but the last."""
    sizes = [inputs, *[hidden] * (layers - 1)]
    modules: list[nn.Module] = []
    for size in sizes[:-1]:
        modules += [nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(sizes[-1], outputs))
