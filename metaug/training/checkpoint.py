"""Checkpoints: the whole state of a training in one safetensors file, written atomically."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from metaug.errors import UserError
from metaug.files import atomic_write_bytes

_TENSOR = "__tensor__"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and JSON values; atomically.

    Raises:
        UserError: the file cannot be written (a full disk); an older checkpoint stays as it was.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _take_tensors(state, "", tensors)
    atomic_write_bytes(path, save(tensors, {"state": json.dumps(skeleton)}))


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, tensors on `device`.

    Raises:
        UserError: the file is cut short or not a checkpoint.
    """
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            skeleton = json.loads(file.metadata()["state"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        raise UserError(
            f"checkpoint {path} is cut short or damaged; delete it to train this trial from the "
            "start"
        ) from None
    return _put_tensors(skeleton, tensors)


def _take_tensors(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[path] = value.detach().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: path}
    if isinstance(value, dict):
        # pairs, not an object: optimiser states have integer keys
        return {"items": [[k, _take_tensors(v, f"{path}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_take_tensors(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]
    return value


def _put_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_put_tensors(v, tensors) for v in value]
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        return {k: _put_tensors(v, tensors) for k, v in value["items"]}
    return value
