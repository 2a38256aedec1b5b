"""What is shown of a training while it goes on: a bar, its curve as CSV, TensorBoard's events."""

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from metaug.files import atomic_write_text
from metaug.spec import TrialSpec
from metaug.training.curve import CURVE, LearningCurve, curve_csv
from metaug.training.parallel import leads
from metaug.training.runtime import Runtime


class Display:
    """Shows a training until it is closed. Of several processes only the leading one shows."""

    def __init__(
        self, spec: TrialSpec, trial: int, first: int, total: int, folder: Path, runtime: Runtime
    ) -> None:
        """A training that goes on at step `first` of `total`, with its curve in `folder`."""
        self._leads = leads()
        self._curve_file = folder / CURVE
        tensorboard = runtime.tensorboard if self._leads else None
        self._writer = SummaryWriter(tensorboard) if tensorboard else None
        self._bar = tqdm(
            total=total,
            initial=first,
            desc=f"{spec.method} {spec.dataset} trial {trial}",
            unit="step",
            disable=None if runtime.progress and self._leads else True,
            leave=False,
        )

    def close(self) -> None:
        """Take the bar off the screen, and write what TensorBoard's events still lack."""
        self._bar.close()
        if self._writer:
            self._writer.close()

    def step(self) -> None:
        """A step is done."""
        self._bar.update()

    def epoch(self, number: int, means: Mapping[str, float], curve: LearningCurve) -> None:
        """An epoch is done; the bar shows the first of its means, which is a loss."""
        self._bar.set_postfix({key: f"{value:.4g}" for key, value in list(means.items())[:1]})
        if self._leads:
            atomic_write_text(self._curve_file, curve_csv(curve.rows))
        if self._writer:
            for key, value in means.items():
                self._writer.add_scalar(key, value, number)
