"""Adam without the compiler: the same bits, and no import of it."""

import subprocess
import sys

import torch

from musiclab.training.adam import Adam

_TRAINS = """
import sys
import torch
from musiclab.training.adam import Adam

network = torch.nn.Linear(2, 1)
adam = Adam(network.parameters())
for _ in range(2):
    adam.zero_grad()
    network(torch.ones(1, 2)).sum().backward()
    adam.step()
adam.load_state_dict(adam.state_dict())
print(sorted(name for name in sys.modules if name in ("torch._dynamo", "torch._inductor", "sympy")))
"""


def _trained(optimizer: type[torch.optim.Adam], **settings: bool) -> list[torch.Tensor]:
    """Parameters after steps at changing rates, and after a resume."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, generator=generator)
    weight = torch.nn.Parameter(torch.randn(3, 4, generator=generator))
    adam = optimizer([weight], lr=0.1, betas=(0.5, 0.9), weight_decay=1e-2, **settings)
    for step in range(6):
        adam.param_groups[0]["lr"] = 0.1 / (step + 1)
        adam.zero_grad()
        (x @ weight).square().sum().backward()
        adam.step()
        if step == 3:
            adam.load_state_dict(adam.state_dict())
    return [weight.detach(), *adam.state[weight].values()]


def test_it_trains_to_the_bit_as_that_of_pytorch() -> None:
    for own, other in zip(_trained(Adam), _trained(torch.optim.Adam, fused=True), strict=True):
        assert torch.equal(own, other)


def test_it_keeps_no_graph_of_its_steps() -> None:
    weight, _, *moments = _trained(Adam)
    assert not any(tensor.requires_grad for tensor in (weight, *moments))


def test_it_does_not_import_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", _TRAINS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
