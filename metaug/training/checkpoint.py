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


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors and JSON values; atomically.

    Keys of dicts may be anything that values may be but tensors. Tensors come back contiguous.

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
        return _put_tensors(skeleton, tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        raise UserError(
            f"checkpoint {path} is cut short or damaged; delete it to train this trial from the "
            "start"
        ) from None


def checkpoint_step(path: Path) -> int:
    """The step of a training's checkpoint, read without its tensors; 0 if there is none."""
    try:
        with safe_open(path, "pt") as file:
            skeleton = json.loads(file.metadata()["state"])
        return int(dict(skeleton["dict"])["step"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return 0


def _take_tensors(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The JSON skeleton of a value; its tensors go to `tensors`, under unique names."""
    if isinstance(value, Tensor):
        name = f"{len(tensors)}{path}"
        tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        # pairs, not an object: optimiser states have integer keys
        items = value.items()
        return {
            "dict": [
                [_take_tensors(k, path, tensors), _take_tensors(v, f"{path}/{k}", tensors)]
                for k, v in items
            ]
        }
    if isinstance(value, list | tuple):
        parts = [_take_tensors(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    return value


def _put_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_put_tensors(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    parts = [_put_tensors(v, tensors) for v in content]
    return tuple(parts) if kind == "tuple" else dict(parts)
