"""Weights and optimiser states as bytes that cannot execute anything (safetensors)."""

import hashlib
import json
from typing import Any

import safetensors.torch
import torch

from musiclab.errors import one_line


def to_bytes(tensors: dict[str, torch.Tensor], meta: dict[str, Any] | None = None) -> bytes:
    """`tensors` and a JSON-serialisable `meta` as one safetensors file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    kept = {"value": meta or {}, "sha256": _digest(contiguous, meta or {})}
    return safetensors.torch.save(contiguous, {"meta": json.dumps(kept)})


def from_bytes(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the meta of `to_bytes`; ValueError where `data` is not such a file, whole."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        tensors, kept = safetensors.torch.load(data), json.loads(header["__metadata__"]["meta"])
        # The format itself notices no flipped bit, and training would go on from it.
        if kept["sha256"] != _digest(tensors, kept["value"]):
            raise ValueError("its content does not match its checksum")
        return tensors, kept["value"]
    except _DAMAGE as error:
        raise ValueError(f"not a weights file of this project: {one_line(str(error))}") from error


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that `prefixed` put under `prefix`, by their own names."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The moments and step counts of an Adam-like optimiser."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": value for index, slots in state.items() for name, value in slots.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` took; settings such as the learning rate are the caller's."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split("/")
        like = parameters[int(index)]
        if tensor.shape == like.shape:
            # Fused optimisers walk parameter and moments in the order of memory, whatever their layouts are.
            tensor = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


# What the readers of the header and of the tensors raise on bytes from anywhere.
_DAMAGE = (AttributeError, KeyError, RecursionError, TypeError, ValueError, safetensors.SafetensorError)


def _digest(tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
