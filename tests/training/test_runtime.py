"""The device of a training."""

import pytest
import torch

from metaug.errors import UserError
from metaug.training.runtime import choose_device


def test_devices_that_are_not_here_are_refused_in_one_line():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("cuda:99", "gpu", "meta:x"):
        with pytest.raises(UserError, match=f"device '{name}' is not available here"):
            choose_device(name)
