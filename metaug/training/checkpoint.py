"""Checkpoints: the whole state of a training in one safetensors file, written atomically.

The file has a digest of its content, so that a changed bit is noticed.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from metaug.files import atomic_write_bytes

CHECKPOINT = "checkpoint.safetensors"
"""The file's name, in the folder of a training."""


class DamagedCheckpoint(Exception):
    """A file is cut short, changed or not a checkpoint."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors and JSON values; atomically.

    Keys of dicts may be anything that values may be but tensors. Tensors come back contiguous.

    Raises:
        UserError: the file cannot be written (a full disk); an older checkpoint stays as it was.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_take_tensors(state, "", tensors))
    metadata = {"state": skeleton, "sha256": _digest(skeleton, tensors)}
    atomic_write_bytes(path, save(tensors, metadata))


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, tensors on `device`.

    Raises:
        DamagedCheckpoint: the file is cut short, changed since it was written, or not a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            # `keys` has to be called: one cannot iterate over the file itself
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        if metadata["sha256"] != _digest(metadata["state"], tensors):
            raise DamagedCheckpoint(path)
        on_device = {key: tensor.to(device) for key, tensor in tensors.items()}
        return _put_tensors(json.loads(metadata["state"]), on_device)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedCheckpoint(path) from error


def _digest(skeleton: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(skeleton.encode())
    for name in sorted(tensors):
        tensor = tensors[name].cpu()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
