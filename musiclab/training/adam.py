"""Adam without what `torch.compile` adds to it: nothing here is compiled, and importing the compiler takes a second."""

import inspect
from typing import Any

import torch

_Optimizer = torch.optim.Optimizer


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, fused, to the bit.

    PyTorch wraps some methods of its optimisers so that its compiler leaves them alone. To do so it imports the
    compiler at the first call: a second and 70 MiB for each process. Here the methods are those inside the wrappers.
    """

    def __init__(self, parameters: Any, lr: float = 1e-3, **settings: Any) -> None:
        super().__init__(parameters, lr=lr, fused=True, **settings)

    add_param_group = inspect.unwrap(_Optimizer.add_param_group)
    zero_grad = inspect.unwrap(_Optimizer.zero_grad)
    state_dict = inspect.unwrap(_Optimizer.state_dict)
    load_state_dict = inspect.unwrap(_Optimizer.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
