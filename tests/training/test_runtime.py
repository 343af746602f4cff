"""What a trial is planned to run on, and workers that are something else."""

import pytest
import torch

from musiclab.training.runtime import Runtime, WrongRuntime


def test_it_is_the_minor_version_that_is_installed() -> None:
    assert Runtime.here().torch == ".".join(torch.__version__.split("+")[0].split(".")[:2])
    assert Runtime.here() == Runtime.here("cpu") != Runtime.here("cuda")
    assert Runtime(**Runtime.here("cuda").to_json()) == Runtime.here("cuda")


def test_a_worker_that_is_as_planned_is_taken() -> None:
    Runtime.here().check(has_gpu=False)
    Runtime.here().check(has_gpu=True)  # which is left unused
    Runtime.here("cuda").check(has_gpu=True)


def test_a_worker_that_is_not_is_refused_in_one_sentence() -> None:
    with pytest.raises(WrongRuntime, match="The plan asks for a GPU, and this worker has none; give it one, or plan "):
        Runtime.here("cuda").check(has_gpu=False)
    with pytest.raises(WrongRuntime, match=r"The plan asks for PyTorch 1\.0, and this worker has 2\.\d+; install "):
        Runtime("1.0").check(has_gpu=False)
