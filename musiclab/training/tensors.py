"""Weights and optimiser states as bytes that cannot execute anything (safetensors)."""

import hashlib
import json
from typing import Any

import safetensors.torch
import torch

from musiclab.errors import one_line


def to_bytes(tensors: dict[str, torch.Tensor], meta: dict[str, Any] | None = None) -> bytes:
    """One safetensors file with `tensors`, a JSON-serialisable `meta` and a checksum of both."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    entry = {"value": meta or {}, "sha256": _digest(contiguous, meta or {})}
    return safetensors.torch.save(contiguous, {"meta": json.dumps(entry)})


def from_bytes(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the `meta` that `to_bytes` was given.

    Raises:
        ValueError: `data` is no such file, or is damaged.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        tensors, entry = safetensors.torch.load(data), json.loads(header["__metadata__"]["meta"])
        # The format itself has no checksum: training would resume from weights with a flipped bit.
        if entry["sha256"] != _digest(tensors, entry["value"]):
            raise ValueError("its content does not match its checksum")
        return tensors, entry["value"]
    except _DAMAGE as error:
        raise ValueError(f"not a weights file of this project: {one_line(str(error))}") from error


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors, each under the name `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that `prefixed` named with `prefix`, under their own names."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The moments and step counts of an Adam-like optimiser, under `parameter index/slot`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{slot}": value for index, slots in state.items() for slot, value in slots.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Restore what `optimizer_tensors` returned; settings such as the learning rate are left as they are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split("/")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            # Fused optimisers walk a parameter and its moments in memory order, so their layouts must be the same.
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


# What reading the header and the tensors raises on arbitrary bytes.
_DAMAGE = (AttributeError, KeyError, RecursionError, TypeError, ValueError, safetensors.SafetensorError)


def _digest(tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
