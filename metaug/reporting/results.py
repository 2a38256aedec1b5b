"""Every number has one address: a query. The results give the values of its trials."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metaug.hits import decode_hits
from metaug.reporting.aggregate import validate_frame
from metaug.reporting.statistics import FEWEST_TRIALS, NAN, Interval, t_interval
from metaug.spec import TrialSpec


@dataclass(frozen=True)
class Query:
    """The address of a number.

    Attributes:
        spec: the training.
        readout: what of the trained network is measured: a probe ("conv", "fc", "pool"), a probe
            with an option ("projection;features=with_augmented"), or "" for the training itself.
        metric: "top1", "top5", "train_seconds", ...
    """

    spec: TrialSpec
    readout: str
    metric: str = "top1"

    def __str__(self) -> str:
        spec = self.spec
        parts = (spec.method, spec.dataset, spec.backbone, spec.hash, self.readout, self.metric)
        return " ".join(part for part in parts if part)


def readout_of(probe: str, option: str) -> str:
    """The read-out of a row of a record: its probe, and after a semicolon the probe's option."""
    return f"{probe};{option}" if option else probe


class CellInterval(Interval):
    """What a table or figure shows of some trials: the interval, and the values by trial.

    The half-width is nan for fewer than `FEWEST_TRIALS` values, which are shown themselves. `specs`
    are the hashes of the trainings behind it, so that every number of a table leads to them.
    `failed` says which of their trials failed and why; these are in neither mean nor n.
    """

    specs: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    failed: tuple[str, ...] = ()


NOT_RUN = CellInterval(NAN, NAN, 0)
"""What has no trials."""


def interval_of(values: pd.Series, specs: Iterable[str] = ()) -> CellInterval:
    """Mean and 95 % t-interval of values by trial."""
    mean, half_width, n = t_interval(values)
    interval = CellInterval(mean, half_width if n >= FEWEST_TRIALS else NAN, n)
    interval.specs = tuple(dict.fromkeys(specs)) if n else ()
    interval.values = tuple(map(float, values))
    return interval


def failed_of(interval: Interval) -> tuple[str, ...]:
    """The trials that failed, where the interval remembers them."""
    return interval.failed if isinstance(interval, CellInterval) else ()


def values_of(interval: Interval) -> tuple[float, ...]:
    """The values by trial, where the interval remembers them."""
    return interval.values if isinstance(interval, CellInterval) else ()


class Results:
    """The trials that have been run, by query.

    Args:
        frame: a tidy frame.
        failures: by hash of a spec, which of its trials failed and why: "trial 3: loss is nan at
            step 12 (epoch 0)".
        hits: by hash of a spec and trial, the hits of each test image by read-out.

    Raises:
        UserError: `validate_frame` refuses the frame.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        failures: Mapping[str, tuple[str, ...]] | None = None,
        hits: Mapping[tuple[str, int], Mapping[str, str]] | None = None,
    ) -> None:
        validate_frame(frame)
        self._failures = failures or {}
        self._hits = hits or {}
        self._cells: dict[tuple[str, str, str], dict[int, float]] = {}
        columns = ["spec", "readout", "metric", "trial", "value"]
        for *key, trial, value in frame[columns].itertuples(index=False, name=None):
            spec, readout, metric = key
            self._cells.setdefault((spec, readout, metric), {})[trial] = value

    def values(self, query: Query) -> pd.Series:
        """The values by trial; empty if nothing has been run."""
        key = (query.spec.hash, query.readout, query.metric)
        return pd.Series(self._cells.get(key, {}), dtype=float).sort_index()

    def of_images(self, query: Query, trials: Iterable[int]) -> np.ndarray | None:
        """Accuracy in per cent of each test image (M,), mean over trials; its mean is theirs.

        None where it is not known: a trial's record has no hits, or `query` is no accuracy.
        """
        texts = [self._hits.get((query.spec.hash, t), {}).get(query.readout) for t in trials]
        if query.metric != "top1" or not texts:
            return None
        hits = [decode_hits(text) for text in texts if text]
        if len(hits) < len(texts) or len({len(numbers) for numbers in hits}) > 1:
            return None
        epochs = min(query.spec.probe.averaged_epochs, query.spec.probe.epochs)
        return np.mean(hits, axis=0) / epochs * 100

    def interval(self, query: Query, unit: float = 1.0) -> CellInterval:
        """Mean and 95 % interval over the trials, in this unit of the values."""
        return self._derived(self.values(query) / unit, query)

    def difference(self, query: Query, reference: Query) -> CellInterval:
        """Mean and 95 % interval of the difference of `query` from `reference`, paired by trial.

        It remembers the failed trials of `query`; those of `reference` stand with its own numbers.
        """
        values = (self.values(query) - self.values(reference)).dropna()
        return self._derived(values, query, reference)

    def _derived(self, values: pd.Series, *queries: Query) -> CellInterval:
        """As `derived`, with the failed trials of the first query."""
        interval = derived(values, *queries)
        interval.failed = self._failures.get(queries[0].spec.hash, ())
        return interval


def derived(values: pd.Series, *queries: Query) -> CellInterval:
    """Mean and interval of values by trial that were computed from these queries."""
    return interval_of(values, (query.spec.hash for query in queries))
