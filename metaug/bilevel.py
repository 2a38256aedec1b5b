"""The two gradients that MetAug takes of a batch: that of the encoders, and that of the MAGs after
a look-ahead of the encoders.

The suite's methods and the library's `MetaStep` both train through `Bilevel`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metaug.meta import (
    Average,
    Features,
    InnerGradient,
    MetaGradient,
    Order,
    frozen_running_statistics,
    inner_gradient,
    is_batch_norm,
    meta_gradient,
)

Loss = Callable[[Features], Tensor]
LossOf = Callable[[Features], Loss]
"""Takes the features of a batch, detached, draws what they are compared with, and returns the loss:
a pure function of the features."""


@dataclass(frozen=True)
class RandomState:
    """State of torch's random numbers, so that a second forward pass drops what the first did."""

    cpu: Tensor
    cuda: Tensor | None
    device: torch.device

    @classmethod
    def now(cls, device: torch.device) -> "RandomState":
        """The present state of the CPU's generator and, if it is another one, of the device's."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), cuda, device)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw from this state on; afterwards the generators are as they were."""
        with torch.random.fork_rng([] if self.cuda is None else [self.device]):
            torch.set_rng_state(self.cpu)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, self.device)
            yield


@dataclass(frozen=True)
class EncoderGradient:
    """The gradient of the encoders on a batch, and what came with it.

    Attributes:
        loss: value of the loss, detached.
        features: of the batch, detached.
        inner: the gradient; its `parameters` are those of `Bilevel.parameters`, in their order.
        random_state: of torch before the forward pass.
    """

    loss: Tensor
    features: Features
    inner: InnerGradient
    random_state: RandomState


@dataclass(frozen=True)
class Bilevel:
    """Encoders with parameters θ and MAGs with parameters ω that are trained on each other.

    Attributes:
        network: maps the views of a batch to their features, a tuple of (N, D).
        parameters: θ, by their names in `network`.
        mags: the modules of ω; they may be part of `network`, but do not act in its forward pass.
        inner_learning_rate: ℓ of the look-ahead.
        order: of the gradient of ω; see `meta_gradient`.
        moving: which running statistics of batch normalisation move although they belong to what is
            not being trained: those of the `mags` in a step of the encoders, those of the `network`
            in a step of the MAGs.
        average: of gradients of θ, over the processes that train together.
    """

    network: nn.Module
    parameters: Mapping[str, nn.Parameter]
    mags: nn.Module
    inner_learning_rate: float
    order: Order = "exact"
    moving: frozenset[str] = frozenset()
    average: Average = tuple

    def encoder_gradient(
        self, views: Any, loss_of: LossOf, *, shared: bool = False
    ) -> EncoderGradient:
        """Gradient of θ.

        Args:
            views: what `network` takes.
            loss_of: gives the loss of the encoders.
            shared: keep what `mag_gradient` needs to take this as its look-ahead.
        """
        random_state = RandomState.now(self._device)
        features = self.network(views)
        with frozen_running_statistics(*([] if "mags" in self.moving else [self.mags])):
            return self._gradient(features, loss_of, random_state, keep_graph=shared)

    def mag_gradient(
        self,
        views: Any,
        outer_loss_of: LossOf,
        *,
        look_ahead: LossOf | EncoderGradient,
    ) -> tuple[MetaGradient, Features]:
        """Gradient of ω after a look-ahead of θ.

        Args:
            views: what `network` takes.
            outer_loss_of: gives the loss of the MAGs, on features after the look-ahead.
            look_ahead: gives the loss whose gradient the look-ahead follows; or that gradient, from
                `encoder_gradient` with `shared`, taken at the present weights.

        Returns:
            The gradient, and the features at the present weights, detached.
        """
        if isinstance(look_ahead, EncoderGradient):
            inner = look_ahead
        else:
            random_state = RandomState.now(self._device)
            with self._frozen_network("network" not in self.moving):
                features = self.network(views)
            inner = self._gradient(features, look_ahead, random_state, keep_graph=True)

        def encode(parameters: Mapping[str, Tensor]) -> Features:
            with inner.random_state.again():
                found: Features = functional_call(self.network, dict(parameters), (views,))
            return found

        with self._frozen_network():
            meta = meta_gradient(
                encode,
                self.parameters,
                inner.inner,
                lambda z: outer_loss_of(tuple(each.detach() for each in z))(z),
                list(self.mags.parameters()),
                inner_learning_rate=self.inner_learning_rate,
                order=self.order,
                average=self.average,
            )
        return meta, inner.features

    def _gradient(
        self, features: Features, loss_of: LossOf, random_state: RandomState, *, keep_graph: bool
    ) -> EncoderGradient:
        detached = tuple(z.detach() for z in features)
        loss, inner = inner_gradient(
            features,
            loss_of(detached),
            list(self.parameters.values()),
            create_graph=keep_graph and self.order == "exact",
            average=self.average,
        )
        return EncoderGradient(loss, detached, inner, random_state)

    @property
    def _device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    @contextmanager
    def _frozen_network(self, frozen: bool = True) -> Iterator[None]:
        """Freeze the running statistics of the network, except those of MAGs inside it."""
        mags = set(self.mags.modules())
        layers = [m for m in self.network.modules() if is_batch_norm(m) and m not in mags]
        with frozen_running_statistics(*(layers if frozen else [])):
            yield
