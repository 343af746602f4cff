"""Named random streams: equal names, equal draws, everywhere; other names, other draws."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.training.streams import Block

ROOT = Path(__file__).parents[2]
BLOCK = Block(7, 3)


def _from_numpy(block: Block, *purpose: str | int) -> list[float]:
    return block.numpy(*purpose).standard_normal(8).tolist()


def _from_torch(block: Block, *purpose: str | int) -> list[float]:
    return torch.randn(8, generator=block.torch(*purpose)).tolist()


def _from_global(block: Block, *purpose: str | int) -> list[float]:
    with block.global_torch(*purpose):
        return torch.randn(8).tolist()


STREAMS = pytest.mark.parametrize("draw", [_from_numpy, _from_torch, _from_global])


@STREAMS
def test_equal_names_give_equal_draws(draw: Callable[..., Any]) -> None:
    assert draw(BLOCK, "data", 2) == draw(Block(7, 3), "data", 2)


@STREAMS
def test_another_purpose_block_or_seed_gives_other_draws(draw: Callable[..., Any]) -> None:
    streams = [
        (BLOCK, "data", 2),
        (BLOCK, "data", 3),
        (BLOCK, "init", 2),
        (BLOCK, "data"),
        (Block(7, 4), "data", 2),
        (Block(8, 3), "data", 2),
        (Block(3, 7), "data", 2),
    ]
    assert len({tuple(draw(*stream)) for stream in streams}) == len(streams)


def test_equal_names_give_equal_draws_in_every_process() -> None:
    code = (
        "from musiclab.training.streams import Block; block = Block(7, 3);"
        "print(block.stream_seed('init', 'Piano'), block.numpy('a').integers(2**40),"
        " block.torch('b', 1).initial_seed())"
    )
    run = [sys.executable, "-c", code]
    # Python's own hash differs from process to process; nothing of it may come in.
    said = [
        subprocess.run(run, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]
    here = BLOCK.stream_seed("init", "Piano"), BLOCK.numpy("a").integers(2**40), BLOCK.torch("b", 1).initial_seed()
    assert said == [" ".join(map(str, here)) + "\n"] * 2


def test_streams_stay_as_they_are_from_release_to_release() -> None:
    # Records say "seed 7, block 3" and mean these draws: a change would make blocks of old and new records unequal.
    assert BLOCK.stream_seed("init", "Piano") == 6816294286134210464
    assert 0 <= BLOCK.stream_seed() < 2**63


def test_a_draw_from_one_stream_shifts_no_other() -> None:
    alone = _from_torch(BLOCK, "b")
    BLOCK.torch("a")
    _from_global(BLOCK, "c")
    np.random.default_rng(0).random()
    assert _from_torch(BLOCK, "b") == alone


def test_the_global_stream_is_left_as_it_was() -> None:
    torch.manual_seed(1)
    expected = torch.randn(4)
    torch.manual_seed(1)
    with BLOCK.global_torch("init"):
        torch.randn(100)
    assert torch.equal(torch.randn(4), expected)
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), BLOCK.global_torch("init"):
        torch.randn(100)
        raise ZeroDivisionError
    assert torch.equal(torch.randn(4), expected)


def test_what_went_before_does_not_reach_the_global_stream() -> None:
    torch.manual_seed(1)
    first = _from_global(BLOCK, "init")
    torch.manual_seed(2)
    assert _from_global(BLOCK, "init") == first
