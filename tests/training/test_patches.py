"""Products on patches against the convolutions that they stand for, in float64."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.data.store import WindowStore
from musiclab.data.windows import pack
from musiclab.training import patch_order
from musiclab.training.batches import float_rolls
from musiclab.training.patch_order import PatchWindows, from_patches, packed_patches, to_patches, unpacked
from musiclab.training.patches import squared_distance, stacked
from musiclab.training.streams import Block
from musiclab.training.windows import block_windows

CPU = torch.device("cpu")
STEPS = 32


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _coder() -> nn.Sequential:
    """Convolutions and transposed ones, as in the VAE."""
    last = (STEPS // 16, 8)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 4, 4), nn.ReLU(), nn.Conv2d(6, 5, 4, 4), nn.ReLU(), nn.Conv2d(5, 7, last, last), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(7, 7), nn.ReLU(), nn.Unflatten(1, (7, 1, 1))),
        *(nn.ConvTranspose2d(7, 5, last, last), nn.ReLU(), nn.ConvTranspose2d(5, 6, 4, 4), nn.ReLU()),
        nn.ConvTranspose2d(6, 1, 4, 4),
    )  # fmt: skip


def _windows(n: int, members: int) -> torch.Tensor:
    return (torch.rand(n, members, STEPS, 128) < 0.1).to(torch.get_default_dtype())


@pytest.mark.parametrize("places", [1, 2])
def test_patch_order_can_be_undone(places: int) -> None:
    x = torch.rand(3, 2, STEPS, 128)
    assert torch.equal(from_patches(to_patches(x, places), STEPS, places), x)
    assert to_patches(x, places).shape == (2, 3, STEPS * 128)


def test_two_places_halve_the_pitches() -> None:
    x = torch.arange(STEPS * 128).view(1, 1, STEPS, 128)
    low, high = to_patches(x, 2)[0, 0].chunk(2)
    assert set(low.tolist()) == set(x[..., :64].flatten().tolist())
    assert set(high.tolist()) == set(x[..., 64:].flatten().tolist())


def test_a_patch_is_four_steps_by_four_pitches() -> None:
    x = torch.arange(STEPS * 128).view(1, 1, STEPS, 128)
    first = to_patches(x)[0, 0, :16].view(4, 4)
    assert torch.equal(first, x[0, 0, :4, :4])
    # Sixteen patches are one of the next layer.
    second = to_patches(x)[0, 0, :256]
    assert set(second.tolist()) == set(x[0, 0, :16, :16].flatten().tolist())


@pytest.mark.parametrize("steps", [16, 32, 64])
@pytest.mark.parametrize("places", [1, 2])
def test_packed_windows_come_in_the_same_order(steps: int, places: int) -> None:
    rolls = np.random.default_rng(0).random((3, 5, steps, 128)) < 0.2
    expected = to_patches(torch.from_numpy(rolls).float(), places)
    packed = packed_patches(torch.from_numpy(pack(rolls)), places)
    assert packed.shape == (5, 3, steps * 16)
    assert torch.equal(unpacked(packed), expected)


@pytest.mark.parametrize("kept", [True, False])
def test_batches_of_windows_in_patch_order(kept: bool, store: WindowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_order, "_KEPT", 2**20 if kept else 0)
    windows = block_windows(store, Block(0, 0), 0, 0, 10)
    indices, batch = windows.train[::-1].copy(), torch.tensor([3, 0, 3])
    patches = PatchWindows(windows, indices, [4, 1], CPU, places=2)
    rolls = float_rolls(windows.packed(indices[batch.numpy()])[:, [4, 1]], CPU)
    assert rolls.any()
    assert torch.equal(patches.batch(batch), to_patches(rolls, 2))


def test_products_are_the_convolutions() -> None:
    networks, x = [_coder() for _ in range(3)], _windows(4, 3)
    expected = torch.cat([network(x[:, m : m + 1]) for m, network in enumerate(networks)], dim=1)
    found = from_patches(stacked(networks)(to_patches(x)).view(3, 4, -1), STEPS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_training_gives_the_same_weights() -> None:
    def train(parameters: list[nn.Parameter], loss: Callable[[torch.Tensor], torch.Tensor]) -> list[float]:
        optimizer = torch.optim.Adam(parameters, lr=1e-2, weight_decay=1e-3)
        losses = []
        for number in range(20):
            torch.manual_seed(number)
            total = loss(_windows(4, 2))
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            losses.append(total.item())
        return losses

    plain, taken_over = ([_coder() for _ in range(2)] for _ in range(2))
    for network, copy in zip(plain, taken_over, strict=True):
        copy.load_state_dict(network.state_dict())
    stack = stacked(taken_over)

    def of_convolutions(x: torch.Tensor) -> torch.Tensor:
        return sum(F.mse_loss(net(x[:, [m]]), x[:, [m]], reduction="sum") for m, net in enumerate(plain))

    def of_products(x: torch.Tensor) -> torch.Tensor:
        patches = to_patches(x)
        return squared_distance(stack(patches).view_as(patches), patches).sum()

    expected = train([parameter for network in plain for parameter in network.parameters()], of_convolutions)
    found = train(list(stack.parameters()), of_products)
    assert expected[-1] < 0.8 * expected[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    # The convolutions have what was learnt, because their parameters are views.
    for network, copy in zip(plain, taken_over, strict=True):
        for name, weights in network.state_dict().items():
            torch.testing.assert_close(copy.state_dict()[name], weights, rtol=0, atol=1e-10, msg=name)


def test_members_load_what_members_saved() -> None:
    saved, others = [_coder()], [_coder()]
    stack = stacked(others)
    others[0].load_state_dict(saved[0].state_dict())
    x = _windows(2, 1)
    torch.testing.assert_close(from_patches(stack(to_patches(x)).view(1, 2, -1), STEPS), saved[0](x))


def test_a_member_does_not_know_the_others() -> None:
    networks, x = [_coder() for _ in range(3)], to_patches(_windows(4, 3))
    alone = stacked(networks[1:2])(x[1:2])
    torch.testing.assert_close(stacked(networks)(x)[1:2], alone, rtol=0, atol=1e-12)


def test_the_squared_distance_and_its_gradient() -> None:
    x, raw = torch.rand(2, 3, 40), torch.rand(2, 3, 40, requires_grad=True)
    scale = torch.tensor([0.5, 3.0])
    (((raw - x) ** 2).sum(dim=(1, 2)) * scale).sum().backward()
    again = raw.detach().clone().requires_grad_()
    found = squared_distance(again * 1, x)
    torch.testing.assert_close(found, ((raw - x) ** 2).sum(dim=(1, 2)).detach())
    (found * scale).sum().backward()
    torch.testing.assert_close(again.grad, raw.grad)


@pytest.mark.parametrize(("inputs", "outputs", "rows"), [(16, 40, 50), (16, 40, 10), (40, 8, 50)])
def test_a_normalised_layer_is_the_layer_and_its_normalisation(inputs: int, outputs: int, rows: int) -> None:
    """By one product where it widens, by two steps where it does not: outputs, gradients, running means."""
    networks, copies = (
        [nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()) for _ in range(2)]
        for _ in range(2)
    )
    for network, copy in zip(networks, copies, strict=True):
        nn.init.uniform_(network[1].weight)
        nn.init.normal_(network[1].bias)
        copy.load_state_dict(network.state_dict())
    stack = stacked(copies)
    assert len(stack) == (2 if inputs <= outputs else 3)
    x, target = torch.rand(2, rows, inputs) ** 3, torch.rand(2, rows, outputs)
    given, again = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = stack(given)
    ((found - target) ** 2).sum().backward()
    for member, network in enumerate(networks):
        linear, norm, _ = network
        expected = norm(linear(again[member])[..., None, None])[..., 0, 0].relu()
        torch.testing.assert_close(found[member], expected, rtol=0, atol=1e-10)
        ((expected - target[member]) ** 2).sum().backward()
        copied = copies[member][1]
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(getattr(copied, name), getattr(norm, name), rtol=0, atol=1e-10)
        torch.testing.assert_close(copied.weight.grad, norm.weight.grad, rtol=0, atol=1e-10)
        torch.testing.assert_close(copied.bias.grad, norm.bias.grad, rtol=0, atol=1e-10)
    torch.testing.assert_close(given.grad, again.grad, rtol=0, atol=1e-10)
