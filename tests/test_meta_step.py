"""The library's step: on the suite's modules against the suite, and on small encoders of any kind
against a naive double backward."""

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrizations import weight_norm

from metaug.algorithm.hyper import MetAugHyper
from metaug.memory_bank import MemoryBank
from metaug.meta import frozen_running_statistics
from metaug.meta_step import MetaStep
from metaug.models.generator import MAG
from tests.conftest import Recorder

STRONG = {"delta": 0.5, "alpha": 0.3}
"""Weights at which every term matters."""


# -- on the modules of the suite ----------------------------------------------------------------


class Drawn(MemoryBank):
    """A bank that draws what the suite draws for the given purposes, one after another."""

    def __init__(self, bank, draws, purposes):
        super().__init__(bank.views, bank.rows, 16, bank.momentum)
        self.load_state_dict(bank.state_dict())
        self.sources = iter([draws(purpose) for purpose in purposes])

    def draw(self, count, source):
        return super().draw(count, next(self.sources))


def library_step(method, draws, purposes, **settings):
    """The library's step around copies of the modules of a method, in plain lists."""
    views = method.spec.views
    lists = [
        nn.ModuleList([copy.deepcopy(modules[view]) for view in views])
        for modules in (method.encoders, method.projectors, method.mags)
    ]
    encoders, projectors, mags = lists
    bank = Drawn(method.bank, draws, purposes).to(next(method.parameters()).dtype)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in method.optimizers.items()}
    return MetaStep(
        encoders,
        projectors,
        mags,
        Recorder([*encoders.parameters(), *projectors.parameters()], rates["encoder"]),
        Recorder(mags.parameters(), rates["mag"]),
        bank=bank,
        negatives=method.hyper.negatives,
        **STRONG,
        **settings,
    )


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("backbone", ["alexnet", "resnet18"])
@pytest.mark.parametrize("order", ["exact", "first_order", "none"])
@pytest.mark.parametrize(
    "update_order, purposes",
    [
        ("simultaneous", ["negatives", "negatives, outer"]),
        ("per_pass", ["negatives", "negatives, inner", "negatives, outer"]),
    ],
)
def test_on_the_suites_modules_it_gives_the_suites_numbers(
    metaug, backbone, dtype, order, update_order, purposes
):
    """Losses, both gradients, new weights, buffers and bank rows, bit for bit."""
    weights = {**STRONG, "margin_positive_weight": 1.0}
    settings = {"update_order": update_order, "order": order, **weights}
    method, batch = metaug(backbone=backbone, dtype=dtype, **settings)
    given = batch()
    step = library_step(method, given.draws, purposes, order=order)
    views = list(given.views(method.spec.views).values())
    if update_order == "simultaneous":
        logs = step.step(views, given.index)
    else:
        logs = step.encoder_step(views, given.index) | step.mag_step(views, given.index)
    theirs = method.update(given)
    if update_order == "per_pass":
        theirs |= method.update(dataclasses.replace(given, pass_index=1))
    for name, value in logs.items():
        assert torch.equal(value, theirs[name]), name
    assert_equal(step.optimizer.gradient, method.optimizers["encoder"].gradient)
    assert_equal(step.mag_optimizer.gradient, method.optimizers["mag"].gradient)
    suite = [*method.encoders.buffers(), *method.projectors.buffers()]
    assert_equal(step.network.parameters(), method.encoder_parameters().values())
    assert_equal(step.network.buffers(), suite)
    assert_equal(step.mags.state_dict().values(), method.mags.state_dict().values())
    assert_equal(step.bank.buffers(), method.bank.buffers())
    assert bool(logs["second_order_share"] > 0.1) is (order == "exact")


# -- on encoders of any kind --------------------------------------------------------------------


def small(*layers):
    return nn.Sequential(nn.Linear(6, 12), *layers, nn.Linear(12, 10))


class Attention(nn.Module):
    """A layer of a transformer, over six tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, 10)

    def forward(self, x):
        return self.out(self.layer(self.embed(x[:, :, None])).mean(1))


class Convolutions(nn.Sequential):
    """Two convolutions over a line of six pixels."""

    def __init__(self):
        layers = nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Conv1d(4, 5, 3)
        super().__init__(nn.Unflatten(1, (1, 6)), *layers, nn.Flatten())


def frozen_start():
    encoder = small(nn.BatchNorm1d(12), nn.ReLU())
    encoder[:2].requires_grad_(False)
    return encoder


ENCODERS = {
    "tanh": lambda: small(nn.Tanh()),
    "batch norm": lambda: small(nn.BatchNorm1d(12), nn.ReLU()),
    "batch norm without affine": lambda: small(nn.BatchNorm1d(12, affine=False), nn.ReLU()),
    "layer norm": lambda: small(nn.LayerNorm(12), nn.GELU()),
    "dropout": lambda: small(nn.Dropout(0.5), nn.Tanh()),
    "frozen first layers": frozen_start,
    "weight norm, which has no forward mode": lambda: small(
        weight_norm(nn.Linear(12, 12)), nn.Tanh()
    ),
    "convolutions": Convolutions,
    "attention": Attention,
}


def build(encoder, count=2, seed=0, dtype=torch.float64, **settings):
    """A step with recording optimisers, and views of nine images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder, head = (encoder() if callable(encoder) else encoder), nn.Linear(10, 8)
        mags = nn.ModuleList([MAG(8, 16) for _ in range(count)])
        views = list(torch.randn(count, 9, 6, dtype=dtype))
    for module in (encoder, head, mags):
        module.to(dtype).train()
    trained = [p for p in [*encoder.parameters(), *head.parameters()] if p.requires_grad]
    optimizers = Recorder(trained, 0.3), Recorder(mags.parameters(), 0.1)
    return MetaStep(encoder, head, mags, *optimizers, **{**STRONG, **settings}), views


def naive_terms(features, augmented, regularised, beta=16.0, gamma=0.4):
    """The objective of two views within their batch, image by image."""
    first, second = features
    groups = [(first, second), (second, first)], [(augmented[0], second), (augmented[1], first)]
    pairs = []
    for group in groups:
        d = torch.stack([(1 + a @ t.T) / 2 for a, t in group])
        own = torch.eye(len(first), dtype=torch.bool).expand_as(d)
        pairs.append((d[own].view(2, -1).T, d[~own].view(2, len(first), -1).transpose(0, 1)))
    (p, n), (p_aug, n_aug) = pairs

    def loss(p, n):
        p, n = (p - 1) ** 2 - gamma**2, n.flatten(1) ** 2 - gamma**2
        total = torch.einsum("np,nm->n", (beta * p).exp(), (beta * n).exp())
        return (1 + total).log().mean() / beta

    value = loss(p, n) + STRONG["delta"] * loss(torch.cat([p, p_aug], 1), torch.cat([n, n_aug], 1))
    if not regularised:
        return value
    low, high = sorted([p.min().detach(), n.max().detach()])
    margin = (p_aug - low).relu().mean() + (high - n_aug).relu().mean()
    return value + STRONG["alpha"] * margin


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("order", ["exact", "first_order", "none"])
def test_on_any_encoder_the_gradients_are_those_of_a_naive_double_backward(kind, order):
    step, views = build(ENCODERS[kind], order=order)
    encoder, head, mags = copy.deepcopy((step.network.encoder, step.network.head, step.mags))
    network = nn.ModuleList([encoder, head])
    theta = {n: p for n, p in network.named_parameters() if p.requires_grad}

    def objective(parameters, regularised):
        torch.manual_seed(5)
        own = {n.removeprefix("0."): p for n, p in parameters.items() if n.startswith("0.")}
        hidden = [functional_call(encoder, own, (view,)) for view in views]
        weight, bias = parameters["1.weight"], parameters["1.bias"]
        features = [F.normalize(F.linear(h, weight, bias), dim=1) for h in hidden]
        augmented = [mag(z) for mag, z in zip(mags, features, strict=True)]
        return naive_terms(features, augmented, regularised)

    with torch.random.fork_rng(), sdpa_kernel(SDPBackend.MATH):  # the fused one has no second order
        inner = objective(theta, regularised=False)
        gradient = torch.autograd.grad(inner, list(theta.values()), create_graph=True)
        rate = 0.0 if order == "none" else 0.3
        ahead = {n: p - rate * g for (n, p), g in zip(theta.items(), gradient, strict=True)}
        if order != "exact":
            ahead = {n: p.detach() for n, p in ahead.items()}
        outer = objective(ahead, regularised=True)
        meta = torch.autograd.grad(outer, list(mags.parameters()))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        logs = step.step(views)
    torch.testing.assert_close(logs["loss"], inner.detach(), rtol=1e-10, atol=0)
    torch.testing.assert_close(logs["meta_loss"], outer.detach(), rtol=1e-10, atol=0)
    for ours, theirs in (
        (step.optimizer.gradient, gradient),
        (step.mag_optimizer.gradient, meta),
    ):
        a, b = (torch.cat([g.flatten() for g in side]) for side in (ours, theirs))
        assert (a - b).norm() < 1e-10 * b.norm()
    assert bool(logs["second_order_share"] > 0.1) is (order == "exact")


def test_one_encoder_may_serve_all_views_and_each_view_may_have_its_own():
    step, views = build(ENCODERS["tanh"], count=3)
    shared = step.network(views)
    lists = (nn.ModuleList([copy.deepcopy(m) for _ in views]) for m in (step.network.encoder,))
    (encoders,) = lists
    own = MetaStep(
        encoders,
        step.network.head,
        step.mags,
        Recorder([*encoders.parameters(), *step.network.head.parameters()], 0.3),
        step.mag_optimizer,
    )
    assert_equal(own.network(views), shared)
    own.step(views)
    weights = [encoder[0].weight for encoder in encoders]
    assert not torch.equal(weights[0], weights[1])


def state(*modules):
    return [value.clone() for module in modules for value in module.state_dict().values()]


def test_a_step_of_the_encoder_leaves_the_mags_alone():
    step, views = build(ENCODERS["batch norm"])
    before = state(step.mags)
    step.encoder_step(views)
    assert_equal(state(step.mags), before)


def test_a_step_of_the_mags_leaves_encoder_and_bank_alone():
    bank = MemoryBank(("one", "two"), 20, 8, 0.5).double()
    step, views = build(ENCODERS["batch norm"], bank=bank, negatives=30)
    before = state(step.network, bank)
    step.mag_step(views, torch.arange(9))
    assert_equal(state(step.network, bank), before)


def test_batch_norm_that_contains_its_activation_is_left_alone_too():
    class NormAndActivation(nn.BatchNorm1d):
        def __init__(self, features):
            super().__init__(features)
            self.activation = nn.ReLU()

        def forward(self, x):
            return self.activation(super().forward(x))

    step, views = build(lambda: small(NormAndActivation(12)))
    before = state(step.network)
    step.mag_step(views)
    assert_equal(state(step.network), before)


def test_a_step_takes_no_more_random_numbers_than_a_forward_pass():
    step, views = build(ENCODERS["dropout"])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        step.step(views)
        after = torch.rand(())
        torch.manual_seed(3)
        with frozen_running_statistics(step.network):
            step.network(views)
        assert torch.equal(after, torch.rand(()))


def test_the_look_ahead_follows_the_optimisers_present_rate():
    rates = {}
    for name, settings in (("followed", {}), ("given", {"inner_learning_rate": 0.07})):
        step, views = build(ENCODERS["tanh"], **settings)
        if name == "followed":
            step.optimizer.param_groups[0]["lr"] = 0.07
        rates[name] = step.mag_step(views)["meta_loss"]
    assert torch.equal(rates["followed"], rates["given"])


def test_what_the_optimiser_does_not_train_stays_as_it_is():
    step, views = build(ENCODERS["tanh"])
    encoder, head = step.network.encoder, step.network.head
    classifier = nn.Linear(10, 4).double()
    optimizer = Recorder([*head.parameters(), *encoder[2].parameters()], 0.3)
    optimizer.add_param_group({"params": [*classifier.parameters()]})
    before = state(encoder[0], classifier)
    other = MetaStep(encoder, head, step.mags, optimizer, step.mag_optimizer, **STRONG)
    assert set(other.parameters()) == {
        "encoder.2.weight",
        "encoder.2.bias",
        "head.weight",
        "head.bias",
    }
    classifier.weight.grad = None
    optimizer.step = lambda: torch.optim.SGD.step(optimizer)
    other.step(views)
    assert_equal(state(encoder[0], classifier), before)


@pytest.mark.parametrize("kind", ["tanh", "batch norm"])
def test_losses_fall(kind):
    step, views = build(ENCODERS[kind], delta=0.1, dtype=torch.float32)
    losses = [step.step(views)["loss"].item() for _ in range(30)]
    assert losses[-1] < 0.95 * losses[0]


def test_the_defaults_are_those_of_the_suite():
    step = build(ENCODERS["tanh"], delta=1e-5, alpha=1e-11)[0]
    suite = MetAugHyper()
    for name in ("beta", "gamma", "delta", "alpha", "margin_size", "order", "negatives"):
        assert getattr(step.hyper, name) == getattr(suite, name)
        assert MetaStep.__init__.__kwdefaults__[name] == getattr(suite, name)


class Unused(nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self):
        super().__init__()
        self.used, self.fc = nn.Linear(6, 10), nn.Linear(10, 3)

    def forward(self, x):
        return self.used(x)


def test_parameters_that_nothing_depends_on_are_named():
    step, views = build(Unused)
    with pytest.raises(
        ValueError, match=r"do not depend on encoder\.fc\.weight, encoder\.fc\.bias"
    ):
        step.step(views)


def test_a_view_without_trained_parameters_is_named():
    step, views = build(ENCODERS["tanh"])
    one, other = step.network.encoder, copy.deepcopy(step.network.encoder)
    heads = nn.ModuleList([nn.Linear(10, 8).double() for _ in views])
    optimizer = Recorder([*one.parameters(), *heads[0].parameters()], 0.1)
    modules = nn.ModuleList([one, other.requires_grad_(False)]), heads.requires_grad_(False)
    heads[0].requires_grad_(True)
    broken = MetaStep(*modules, step.mags, optimizer, step.mag_optimizer)
    with pytest.raises(ValueError, match="view 1 depends on no parameter"):
        broken.step(views)


def test_views_that_do_not_fit_are_refused():
    step, views = build(ENCODERS["tanh"])
    with pytest.raises(ValueError, match="two or more"):
        step.step(views[:1])
    with pytest.raises(ValueError, match="3 views, but a list of 2 modules"):
        step.step([*views, views[0]])
    with pytest.raises(ValueError, match="one image has no negatives"):
        step.step([view[:1] for view in views])
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        step.step([view[:, :5] for view in views])  # the encoder's own error, as it is
    with pytest.raises(ValueError, match="there is none"):
        step.step(views, torch.arange(9))
    bank = MemoryBank(("one", "two", "three"), 20, 8, 0.5).double()
    step, views = build(ENCODERS["tanh"], bank=bank)
    with pytest.raises(ValueError, match="needs the index"):
        step.step(views)
    with pytest.raises(ValueError, match="2 views, but rows of 3: one, two, three"):
        step.step(views, torch.arange(9))


def test_optimisers_of_other_modules_are_refused():
    step, _ = build(ENCODERS["tanh"])
    encoder, head, other = step.network.encoder, step.network.head, nn.Linear(2, 2)
    with pytest.raises(ValueError, match="trains no parameter"):
        MetaStep(encoder, head, step.mags, Recorder(other.parameters(), 1), step.mag_optimizer)
    with pytest.raises(ValueError, match="all parameters of `mags` and no others"):
        MetaStep(encoder, head, step.mags, step.optimizer, Recorder(step.mags[0].parameters(), 1))


def test_settings_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="delta"):
        build(ENCODERS["tanh"], delta=-1.0)


def test_negatives_come_from_the_generator_that_is_given():
    before, losses = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            bank = MemoryBank(("one", "two"), 40, 8, 0.5).double()
        source = torch.Generator().manual_seed(seed)
        step, views = build(ENCODERS["tanh"], bank=bank, negatives=6, generator=source)
        losses.append(step.encoder_step(views, torch.arange(9))["loss"].item())
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_an_inner_rate_of_zero_is_no_look_ahead_and_not_the_optimisers_rate():
    losses = []
    for settings in ({"inner_learning_rate": 0.0}, {"order": "none"}, {}):
        step, views = build(ENCODERS["tanh"], **settings)
        losses.append(step.mag_step(views)["meta_loss"])
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
