"""Weights as bytes: the same bits back, and nothing but an error from any other bytes."""

import functools
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musiclab.training import tensors

MODULE = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 2), torch.nn.BatchNorm2d(2))
DATA = tensors.to_bytes(MODULE.state_dict(), {"epochs": 3, "points": [{"value": 0.1, "name": "é"}]})


def test_tensors_come_back_bit_for_bit() -> None:
    given = {
        "float": torch.tensor([0.1, -0.0, float("inf"), float("nan"), 1e-45]),
        "strided": torch.arange(6.0).reshape(2, 3).T,
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "number": torch.tensor(5),
        "none": torch.zeros(0, 3),
        "bool": torch.tensor([True, False]),
        "half": torch.randn(3).to(torch.bfloat16),
    }
    back, meta = tensors.from_bytes(tensors.to_bytes(given, {"a": [1, None, float("inf")]}))
    assert meta == {"a": [1, None, float("inf")]}
    assert back.keys() == given.keys()
    for name, tensor in given.items():
        assert back[name].dtype == tensor.dtype
        assert back[name].shape == tensor.shape
        assert back[name].numpy(force=True).tobytes() == tensor.numpy(force=True).tobytes() if name != "half" else True
    assert torch.equal(back["half"], given["half"])
    assert tensors.from_bytes(tensors.to_bytes({})) == ({}, {})


def test_equal_tensors_give_equal_bytes() -> None:
    assert tensors.to_bytes(MODULE.state_dict(), {"epochs": 3, "points": [{"value": 0.1, "name": "é"}]}) == DATA


FUSED = functools.partial(torch.optim.Adam, fused=True)


@pytest.mark.parametrize("kind", [FUSED, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_an_optimizer_goes_on_as_if_nothing_had_happened(kind: Callable[..., torch.optim.Optimizer]) -> None:
    def steps(module: torch.nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            x = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(number))
            optimizer.zero_grad()
            module(x).square().sum().backward()
            optimizer.step()

    def fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 2), torch.nn.ReLU(), torch.nn.Conv2d(3, 2, 2))
        module = module.to(memory_format=torch.channels_last)
        return module, kind(module.parameters(), lr=0.01)

    straight, optimizer = fresh()
    steps(straight, optimizer, range(6))
    first, optimizer = fresh()
    steps(first, optimizer, range(3))
    state = tensors.prefixed("w", first.state_dict()) | tensors.prefixed("o", tensors.optimizer_tensors(optimizer))
    kept, _ = tensors.from_bytes(tensors.to_bytes(state))
    second, optimizer = fresh()
    second.load_state_dict(tensors.under("w", kept))
    tensors.load_optimizer(optimizer, tensors.under("o", kept))
    steps(second, optimizer, range(3, 6))
    for name, tensor in straight.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name


def test_a_prefix_is_a_whole_part_of_the_name() -> None:
    given = {"a/x": torch.zeros(1), "ab/x": torch.ones(1), "a/b/x": torch.ones(1)}
    assert tensors.under("a", given).keys() == {"x", "b/x"}
    assert tensors.under("b", tensors.prefixed("b", given)).keys() == given.keys()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a weights file"):
        tensors.from_bytes(data)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_any_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(DATA)
    data[place] ^= change
    try:
        found, meta = tensors.from_bytes(bytes(data))
    except ValueError:
        return
    # A change that says the same, in the white space of the header.
    whole, whole_meta = tensors.from_bytes(DATA)
    assert meta == whole_meta
    assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())


@given(st.integers(0, len(DATA) - 1))
def test_half_a_file_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not a weights file"):
        tensors.from_bytes(DATA[:length])


def test_a_huge_header_costs_nothing() -> None:
    with pytest.raises(ValueError, match="not a weights file"):
        tensors.from_bytes((2**62).to_bytes(8, "little") + DATA[8:])


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "it ran"
    torch.save({"weight": _Bomb(trap)}, tmp_path / "bomb.pt")
    payloads = [pickle.dumps(_Bomb(trap)), (tmp_path / "bomb.pt").read_bytes()]
    payloads += [len(payload).to_bytes(8, "little") + payload for payload in payloads]
    for payload in payloads:
        with pytest.raises(ValueError, match="not a weights file"):
            tensors.from_bytes(payload)
    assert not trap.exists()
    pickle.loads(payloads[0])  # the trap works
    assert trap.exists()
