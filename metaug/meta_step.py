"""MetAug's training step as one object, around an encoder, a head and optimisers of your own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from metaug.algorithm.augmented import metaug_losses
from metaug.algorithm.hyper import MetAugHyper
from metaug.algorithm.pairs import Rows, draw_rows
from metaug.bilevel import Bilevel, EncoderGradient, Loss
from metaug.losses import MarginSize
from metaug.memory_bank import MemoryBank
from metaug.meta import Features, MetaGradient, Order
from metaug.multiview import named, pooled_oucl
from metaug.optimizers import apply_gradient, trained_by

Logs = dict[str, Tensor]

AUTOGRAD_MISSES = ("does not require grad", "not have been used in the graph")
"""What autograd says of a tensor that nothing depends on, or that depends on no parameter."""


class MultiviewNetwork(nn.Module):
    """Encoder and head on several views: unit-norm embeddings, one (N, D) for each view.

    Args:
        encoder, head: a module for all views, or an `nn.ModuleList` with one for each.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, views: Sequence[Tensor]) -> Features:
        """Embeddings of the views, in their order."""
        count = len(views)
        encoders, heads = of_each_view(self.encoder, count), of_each_view(self.head, count)
        return tuple(
            F.normalize(head(encoder(view)), dim=1)
            for encoder, head, view in zip(encoders, heads, views, strict=True)
        )


def of_each_view(module: nn.Module, count: int) -> list[nn.Module]:
    """The module of each of `count` views: those of a list, or one and the same.

    Raises:
        ValueError: the list has another length.
    """
    if not isinstance(module, nn.ModuleList):
        return [module] * count
    if len(module) != count:
        raise ValueError(f"{count} views, but a list of {len(module)} modules")
    return list(module)


class MetaStep:
    """MetAug's step: OUCL for the encoder, and MAGs that learn by a look-ahead through it.

    The encoder and its head minimise L_ori + `delta` L_aug (Eq. 11): OUCL of the views, and OUCL of
    the views together with the features that MAGs make of them. The MAGs minimise the same plus
    `alpha` R_sigma (Eq. 5), at the weights to which a plain gradient step would take the encoder
    (Eq. 3 and 6), whatever its optimiser. Their gradient is exact, of second order, and needs no
    graph of gradients through the encoder.

    Examples:
        >>> import metaug, torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> encoder = nn.Sequential(nn.Linear(12, 32), nn.ReLU())
        >>> head, mags = nn.Linear(32, 16), nn.ModuleList([metaug.MAG(16, 64), metaug.MAG(16, 64)])
        >>> network = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
        >>> generators = torch.optim.Adam(mags.parameters(), lr=0.001)
        >>> meta = metaug.MetaStep(encoder, head, mags, network, generators, delta=0.1)
        >>> images = torch.randn(64, 12)
        >>> views = images + 0.1 * torch.randn_like(images), images + 0.1 * torch.randn_like(images)
        >>> losses = [meta.step(views)["loss"].item() for _ in range(20)]
        >>> losses[-1] < losses[0]
        True

    The object has no state of its own: to save a training, save the modules and optimisers. Set the
    modules' train mode and the learning rates as in any other loop. What the encoder draws in its
    forward pass, as dropout does, is drawn alike before and after the look-ahead. `backward` is not
    called, so that hooks on it, such as those of `DistributedDataParallel`, do not run.

    Args:
        encoder: maps a view to a representation, what `head` takes. One module for all views, or an
            `nn.ModuleList` with one for each.
        head: maps a representation to an embedding (N, D), not yet normalised; one or a list.
        mags: maps unit-norm embeddings (N, D) to the same; one or a list, such as of `MAG`.
        optimizer: any optimiser over parameters of `encoder` and `head`. What it does not train, or
            what requires no gradient, stays as it is in the look-ahead too.
        mag_optimizer: any optimiser over the parameters of `mags`.
        bank: a memory bank with a row for each training image; then `step` takes their numbers,
            compares with rows of the bank, and updates it. None: compares within the batch.
        negatives: number of rows drawn from the bank.
        generator: draws them; None: torch's global random state.
        beta: inverse temperature, > 0.
        gamma: margin of OUCL, >= 0.
        delta: weight of the loss with augmented features, >= 0; the paper's best.
        alpha: weight of the margin regularisation, >= 0; the released code's.
        margin_size: which margins of Eq. 4: `large` (the paper's best), `medium` or `small`.
        order: of the MAGs' gradient: `exact`; `first_order`, the weights after the look-ahead taken
            as constants; `none`, without look-ahead.
        inner_learning_rate: rate of the look-ahead; None: that of the optimiser's first group.

    Raises:
        ValueError: a setting is outside its range, or an optimiser trains other modules.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        mags: nn.Module,
        optimizer: optim.Optimizer,
        mag_optimizer: optim.Optimizer,
        *,
        bank: MemoryBank | None = None,
        negatives: int = 4096,
        generator: torch.Generator | None = None,
        beta: float = 16.0,
        gamma: float = 0.4,
        delta: float = 1e-5,
        alpha: float = 1e-11,
        margin_size: MarginSize = "large",
        order: Order = "exact",
        inner_learning_rate: float | None = None,
    ) -> None:
        self.network = MultiviewNetwork(encoder, head)
        self.mags = mags
        self.optimizer = optimizer
        self.mag_optimizer = mag_optimizer
        self.bank = bank
        self.generator = generator
        self.hyper = MetAugHyper.model_validate(
            {
                "negatives": negatives,
                "beta": beta,
                "gamma": gamma,
                "delta": delta,
                "alpha": alpha,
                "margin_size": margin_size,
                "order": order,
                "inner_learning_rate": inner_learning_rate,
            }
        )
        if not self.parameters():
            raise ValueError("`optimizer` trains no parameter of `encoder` or `head`")
        if {id(p) for p in trained_by(mag_optimizer)} != {id(p) for p in mags.parameters()}:
            raise ValueError("`mag_optimizer` must train all parameters of `mags` and no others")

    def step(self, views: Sequence[Tensor], index: Tensor | None = None) -> Logs:
        """Train encoder and MAGs on a batch, both from the present weights.

        They share one forward and backward pass of the encoder (`update_order: simultaneous` of the
        suite). For the paper's order, an epoch for the encoder and an epoch for the MAGs, call
        `encoder_step` and `mag_step`.

        Args:
            views: two or more views of the same images, whatever the encoder takes.
            index: the images' rows in the bank, (N,) int64; needed with a bank, and only then.

        Returns:
            Scalars without gradient: `loss` of the encoder, `meta_loss` of the MAGs after the
            look-ahead, `mag_gradient_norm`, and `second_order_share`, how much of that gradient
            comes through the look-ahead, in [0, 1].

        Raises:
            ValueError: the views do not fit the modules, or the index does not fit the bank.
        """
        with self._explained(views):
            bilevel = self._bilevel()
            loss_of = partial(self._loss, index, False)
            gradient = bilevel.encoder_gradient(views, loss_of, shared=True)
            outer = partial(self._loss, index, True)
            meta, _ = bilevel.mag_gradient(views, outer, look_ahead=gradient)
        return self._train_encoder(gradient, index) | self._train_mags(meta)

    def encoder_step(self, views: Sequence[Tensor], index: Tensor | None = None) -> Logs:
        """Train the encoder alone, and update the bank; arguments as those of `step`.

        Returns:
            `loss`, a scalar without gradient.
        """
        with self._explained(views):
            gradient = self._bilevel().encoder_gradient(views, partial(self._loss, index, False))
        return self._train_encoder(gradient, index)

    def mag_step(self, views: Sequence[Tensor], index: Tensor | None = None) -> Logs:
        """Train the MAGs alone; arguments as those of `step`.

        Neither encoder nor bank change, nor running statistics of the encoder.

        Returns:
            `meta_loss`, `mag_gradient_norm` and `second_order_share`, as `step`.
        """
        inner, outer = partial(self._loss, index, False), partial(self._loss, index, True)
        with self._explained(views):
            meta, _ = self._bilevel().mag_gradient(views, outer, look_ahead=inner)
        return self._train_mags(meta)

    def parameters(self) -> dict[str, nn.Parameter]:
        """What `optimizer` trains of encoder and head, by name in `network`."""
        trained = {id(p) for p in trained_by(self.optimizer)}
        named_parameters = self.network.named_parameters()
        return {name: p for name, p in named_parameters if id(p) in trained and p.requires_grad}

    def _bilevel(self) -> Bilevel:
        rate = self.hyper.inner_learning_rate
        if rate is None:
            rate = self.optimizer.param_groups[0]["lr"]
        return Bilevel(self.network, self.parameters(), self.mags, float(rate), self.hyper.order)

    @contextmanager
    def _explained(self, views: Sequence[Tensor]) -> Iterator[None]:
        """Say which parameters autograd misses, should it miss any."""
        try:
            yield
        except RuntimeError as error:
            if not any(known in str(error) for known in AUTOGRAD_MISSES):
                raise
            embeddings, parameters = self.network(views), self.parameters()
            for view, z in enumerate(embeddings):
                if not z.requires_grad:
                    raise ValueError(
                        f"the embedding of view {view} depends on no parameter that `optimizer` "
                        "trains; OUCL trains the network of every view"
                    ) from error
            total = torch.stack([z.sum() for z in embeddings]).sum()
            found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
            unused = [name for name, g in zip(parameters, found, strict=True) if g is None]
            if unused:
                raise ValueError(
                    f"the embeddings do not depend on {', '.join(unused)}; leave such parameters "
                    "out of `optimizer`, or freeze them by requires_grad_(False)"
                ) from error
            raise

    def _loss(self, index: Tensor | None, regularised: bool, features: Features) -> Loss:
        """Draw what features are compared with, and give the objective on them."""
        if len(features) < 2:
            raise ValueError("MetAug contrasts views: give two or more")
        if self.bank is None and len(features[0]) < 2:
            raise ValueError("one image has no negatives in its batch: give more images, or a bank")
        if (index is None) is not (self.bank is None):
            raise ValueError(
                "a memory bank needs the index of the images"
                if index is None
                else "an index of images is for a memory bank, and there is none"
            )
        rows = None
        if self.bank is not None and index is not None:
            rows = draw_rows(self.bank, index, self.hyper.negatives, self.generator)
        return partial(self._objective, rows=rows, regularised=regularised)

    def _objective(self, features: Features, *, rows: Rows | None, regularised: bool) -> Tensor:
        mags = of_each_view(self.mags, len(features))
        original = named(features, rows)
        terms = metaug_losses(
            original,
            named([mag(z) for mag, z in zip(mags, features, strict=True)], rows),
            dict.fromkeys(("original", *original), rows or Rows(original)),
            self.hyper,
            partial(pooled_oucl, beta=self.hyper.beta, gamma=self.hyper.gamma),
            regularised=regularised,
        )
        return torch.stack(list(terms.values())).sum()

    def _train_encoder(self, gradient: EncoderGradient, index: Tensor | None) -> Logs:
        apply_gradient(self.optimizer, gradient.inner.parameters, self.parameters().values())
        if self.bank is not None and index is not None:
            for view, z in zip(self.bank.views, gradient.features, strict=True):
                self.bank.update(view, index, z)
        return {"loss": gradient.loss}

    def _train_mags(self, meta: MetaGradient) -> Logs:
        apply_gradient(self.mag_optimizer, meta.total, self.mags.parameters())
        return {
            "meta_loss": meta.loss,
            "mag_gradient_norm": torch.nn.utils.get_total_norm(meta.total),
            "second_order_share": meta.second_order_share,
        }
