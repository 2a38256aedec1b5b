"""MetAug against a second, plain implementation of it: losses pair by pair, and the look-ahead by a
double backward through the whole encoder."""

import copy
from itertools import permutations

import pytest
import torch
from torch.func import functional_call


class Naive:
    """MetAug written a second time: pairs gathered, double sums summed pair by pair, and the
    look-ahead differentiated by a double backward through the whole encoder.

    It shares with the method under test its modules and its bank, nothing else.
    """

    def __init__(self, method):
        self.method = method
        self.h = method.hyper
        self.views = method.spec.views

    # -- the loss ---------------------------------------------------------------------------

    def draw(self, batch, purpose):
        """What one call of the loss sees: own bank rows and drawn ones, image by image."""
        bank = {v: getattr(self.method.bank, v).clone() for v in self.views}
        images, count = len(batch.index), self.h.negatives
        shape = (images, count) if self.h.negatives_per == "image" else (count,)
        drawn = torch.randint(self.method.bank.rows, shape, generator=batch.draws(purpose))
        drawn = drawn.expand(images, count)
        own = {v: bank[v][batch.index] for v in self.views}
        return own, {v: bank[v][drawn] for v in self.views}

    def cosines(self, call, anchors, directions):
        """Positive cosines (N, P) and for each direction negative ones (N, K)."""
        own, rows = call
        positives = [torch.einsum("nd,nd->n", anchors[a], own[t]) for a, t in directions]
        negatives = [torch.einsum("nd,nkd->nk", anchors[a], rows[t]) for a, t in directions]
        return torch.stack(positives, 1), negatives

    def unified(self, positives, negatives):
        """1/β ln(1 + ΣΣ exp ...) over the positives (N, P) and negatives (N, M) of an image."""
        h = self.h
        p, n = (positives + 1) / 2, (negatives + 1) / 2
        if h.loss == "oucl":
            p, n = h.beta * ((p - 1) ** 2 - h.gamma**2), h.beta * (n**2 - h.gamma**2)
        elif h.loss == "unified":
            p, n = -h.beta * p, h.beta * (n + h.margin)
        else:
            weight_p = (1 + h.gamma - p).clamp(min=0) / h.decay
            weight_n = (n + h.gamma).clamp(min=0) / h.decay
            p, n = -h.beta * weight_p * (p - 1 + h.gamma), h.beta * weight_n * (n - h.gamma)
        total = torch.einsum("np,nm->n", p.exp(), n.exp())
        return (1 + total).log().mean() / (h.beta if h.prefix == "inverse_beta" else 1)

    def conventional(self, positives, negatives):
        """Softmax cross-entropy, summed over the directions."""
        total = 0
        for positive, negative in zip(positives.unbind(1), negatives, strict=True):
            p = (positive / self.h.temperature).exp()
            n = (negative / self.h.temperature).exp().sum(1)
            total = total - (p / (p + n)).log().mean()
        return total

    def loss(self, call, *anchors):
        """One loss over the pairs of one or of several sets of anchors."""
        positives, negatives = [], []
        for group in anchors:
            p, n = self.cosines(call, group, list(permutations(self.views, 2)))
            positives.append(p)
            negatives += n
        positives = torch.cat(positives, 1)
        if self.h.loss == "contrastive":
            return self.conventional(positives, negatives)
        return self.unified(positives, torch.cat(negatives, 1))

    def margin_term(self, z, augmented, first, single):
        """R_sigma, image by image or for the whole batch.

        The release keeps the scores of the six directions in variables. The call that replaces
        view v by its augmented feature puts what it scored with v as anchor or target into
        variables of its own, and overwrites those of the two directions between the other views.
        """
        h, directions = self.h, list(permutations(self.views, 2))
        source = dict.fromkeys(directions, first)
        if h.margin_originals == "overwritten":
            for v in self.views:
                for a, t in directions:
                    if v not in (a, t):
                        source[a, t] = single[v]
        lowest, highest = [], []
        for a, t in directions:
            p, (n,) = self.cosines(source[a, t], z, [(a, t)])
            lowest.append((p[:, 0] + 1) / 2)
            highest.append(((n + 1) / 2).max(1).values)
        lowest, highest = torch.stack(lowest, 1), torch.stack(highest, 1)
        if h.margin_scope == "batch":
            lowest, highest = lowest.min().expand(len(lowest)), highest.max().expand(len(highest))
        else:
            lowest, highest = lowest.min(1).values, highest.max(1).values
        small, large = torch.minimum(lowest, highest), torch.maximum(lowest, highest)
        middle = (small + large) / 2
        sigma = {"large": (small, large), "small": (large, small), "medium": (middle, middle)}
        sigma_pos, sigma_neg = sigma[h.margin_size]
        if not h.margin_gradient:
            sigma_pos, sigma_neg = sigma_pos.detach(), sigma_neg.detach()
        groups = [(single[a], augmented, a, t) for a, t in directions]
        if h.margin_pairs == "released":
            groups += [(single[t], z, a, t) for a, t in directions]
        above, below = [], []
        for call, anchors, a, t in groups:
            p, (n,) = self.cosines(call, anchors, [(a, t)])
            above.append(((p[:, 0] + 1) / 2 - sigma_pos).relu())
            below.append((sigma_neg[:, None] - (n + 1) / 2).relu().flatten())
        return h.margin_positive_weight * torch.cat(above).mean() + torch.cat(below).mean()

    def terms(self, z, batch, purpose):
        """L_ori, L_aug and R_sigma, unweighted."""
        h = self.h
        first = self.draw(batch, purpose)
        original = self.loss(first, z)
        if h.bank_updates == "every_evaluation":
            self.update_bank(z, batch)
        augmented = {}
        for v in self.views:
            mag = self.method.mags[v]
            own = dict(mag.named_parameters())
            augmented[v] = functional_call(mag, (own, copied_buffers(mag)), (z[v],))
        single = {
            v: self.draw(batch, f"{purpose}, {v}") if h.redraw_negatives else first
            for v in (*self.views, "all")
        }
        if h.augmented_loss == "four":
            loss = self.loss(single["all"], augmented)
            for v in self.views:
                loss = loss + self.loss(single[v], {**z, v: augmented[v]})
        else:
            loss = self.loss(first, z, augmented)
        return original, loss, self.margin_term(z, augmented, first, single)

    def objective(self, z, batch, regularised, purpose):
        h = self.h
        original, loss, margin = self.terms(z, batch, purpose)
        return original + h.delta * loss + (h.alpha * margin if regularised else 0)

    def update_bank(self, z, batch):
        for v in self.views:
            bank, mu = getattr(self.method.bank, v), self.h.bank_momentum
            for i, row in enumerate(batch.index.tolist()):
                blend = mu * bank[row] + (1 - mu) * z[v][i].detach()
                bank[row] = blend / blend.norm()

    # -- the steps --------------------------------------------------------------------------

    def features(self, batch, parameters):
        z = functional_call(
            self.method, (parameters, copied_buffers(self.method)), (batch.views(self.views),)
        )
        return dict(zip(self.views, z, strict=True))

    def encoder_gradient(self, batch):
        theta = self.method.encoder_parameters()
        z = self.features(batch, theta)
        loss = self.objective(z, batch, self.h.margin_in_encoder_step, "negatives")
        return z, torch.autograd.grad(loss, list(theta.values()), create_graph=True)

    def look_ahead_gradient(self, batch, gradient=None):
        """Gradient of the MAGs; `gradient`: that of the encoders' loss, if they share it."""
        h, exact = self.h, self.h.order == "exact"
        theta = self.method.encoder_parameters()
        omega = dict(self.method.mags.named_parameters())
        if gradient is None:
            z = self.features(batch, theta)
            inner = self.objective(z, batch, h.margin_in_look_ahead, "negatives, inner")
            gradient = torch.autograd.grad(inner, list(theta.values()), create_graph=True)
        rate = h.inner_learning_rate
        if rate is None:
            rate = rate_of(self.method, "encoder")
        if h.order == "none":
            rate = 0.0
        ahead = {
            n: p - rate * (g if exact else g.detach())
            for (n, p), g in zip(theta.items(), gradient, strict=True)
        }
        outer = self.objective(self.features(batch, ahead), batch, True, "negatives, outer")
        total = torch.autograd.grad(outer, list(omega.values()), allow_unused=True)
        return [
            torch.zeros_like(w) if g is None else g
            for g, w in zip(total, omega.values(), strict=True)
        ]


class NaiveLookAhead(Naive):
    """The naive double backward with the method's own loss: in float32 another way to compute the
    loss would differ by more than the two ways to differentiate it."""

    def objective(self, z, batch, regularised, purpose):
        features = tuple(z.values())
        calls = self.method.calls(tuple(each.detach() for each in features), batch, purpose)
        return self.method.objective(features, calls, regularised=regularised)


def copied_buffers(module):
    return {n: b.clone() for n, b in module.named_buffers()}


def distance(ours, theirs):
    """|a - b| / |b| of whole gradients."""
    a, b = (torch.cat([t.detach().double().flatten() for t in side]) for side in (ours, theirs))
    return ((a - b).norm() / b.norm()).item()


def naive_iteration(method, batch, kind=Naive):
    """Both gradients of an iteration by the plain implementation, on the method itself."""
    naive, h = kind(method), method.hyper
    encoder = mag = z = None
    if h.update_order == "per_pass":
        if batch.pass_index == 0:
            z, encoder = naive.encoder_gradient(batch)
            descend(method, "encoder", encoder)
        else:
            mag = naive.look_ahead_gradient(batch)
    elif h.update_order == "alternating":
        z, encoder = naive.encoder_gradient(batch)
        descend(method, "encoder", encoder)
        mag = naive.look_ahead_gradient(batch)
    else:
        z, encoder = naive.encoder_gradient(batch)
        mag = naive.look_ahead_gradient(batch, encoder)
        descend(method, "encoder", encoder)
    if mag is not None:
        descend(method, "mag", mag)
    if h.bank_updates == "once" and z is not None:
        naive.update_bank(z, batch)
    return encoder, mag


def rate_of(method, name):
    return method.optimizers[name].param_groups[0]["lr"]


def descend(method, name, gradient):
    parameters = method.mags.parameters() if name == "mag" else method.encoder_parameters().values()
    with torch.no_grad():
        for p, g in zip(parameters, gradient, strict=True):
            p.add_(g, alpha=-rate_of(method, name))


def assert_iteration_equals_the_plain_one(method, batch, tolerance, kind=Naive):
    """Gradients, new weights and new bank rows of one step; returns what the step logged."""
    twin = copy.deepcopy(method)
    encoder, mag = naive_iteration(twin, batch(), kind)
    logs = method.update(batch())
    if encoder is not None:
        assert distance(method.optimizers["encoder"].gradient, encoder) < tolerance
    if mag is not None:
        assert distance(method.optimizers["mag"].gradient, mag) < tolerance
    for ours, theirs in ((method.parameters(), twin.parameters()), (banks(method), banks(twin))):
        assert distance(ours, theirs) < tolerance
    return logs


def banks(method):
    return list(method.bank.buffers())


every_iteration = [
    pytest.mark.parametrize("update_order", ["alternating", "simultaneous", "per_pass"]),
    pytest.mark.parametrize("variant", ["published", "released"]),
    pytest.mark.parametrize("backbone", ["alexnet", "resnet18"]),
]


def for_every_iteration(test):
    for mark in every_iteration:
        test = mark(test)
    return test


@for_every_iteration
def test_an_iteration_in_float64_equals_the_plain_implementation(
    metaug, backbone, variant, update_order
):
    method, batch = metaug(
        variant=variant,
        update_order=update_order,
        backbone=backbone,
        pass_index=int(update_order == "per_pass"),
    )
    logs = assert_iteration_equals_the_plain_one(method, batch, 1e-11)
    assert 0.2 < logs["second_order_share"] < 1


@for_every_iteration
def test_in_float32_the_meta_gradient_equals_a_double_backward_through_the_encoder(
    metaug, backbone, variant, update_order
):
    method, batch = metaug(
        variant=variant,
        update_order=update_order,
        backbone=backbone,
        dtype=torch.float32,
        inner_learning_rate=0.01,
        pass_index=int(update_order == "per_pass"),
    )
    assert_iteration_equals_the_plain_one(method, batch, 1e-6, NaiveLookAhead)


PUBLISHED_WITH = [
    {"order": "first_order"},
    {"order": "none"},
    {"order": "first_order", "update_order": "simultaneous"},
    {"inner_learning_rate": None},
    {"inner_learning_rate": 0.0},
    {"beta": 4.0, "gamma": 0.1},
    {"loss": "unified", "margin": 0.3},
    {"loss": "weighted", "decay": 2.0},
    {"loss": "contrastive", "temperature": 0.2},
    {"prefix": "one"},
    {"negatives_per": "image"},
    {"redraw_negatives": True},
    {"bank_momentum": 0.0},
    {"bank_updates": "every_evaluation"},
    {"alpha": 0.0},
    {"augmented_loss": "four"},
    {"margin_in_encoder_step": True},
    {"margin_in_look_ahead": True},
    {"margin_size": "medium"},
    {"margin_size": "small"},
    {"margin_gradient": True},
    {"margin_scope": "sample"},
    {"margin_pairs": "released"},
    {"margin_originals": "overwritten", "redraw_negatives": True},
    {"views": ("l", "ab")},
]

RELEASED_WITH = [
    {"loss": "contrastive"},
    {"negatives_per": "batch"},
    {"redraw_negatives": False},
    {"bank_momentum": 1.0},
    {"augmented_loss": "pooled"},
    {"margin_size": "medium"},
    {"margin_gradient": False},
    {"margin_originals": "first"},
    {"margin_pairs": "mixed"},
    {"views": ("l", "ab")},
]

CASES = [{"variant": "published", **changes} for changes in PUBLISHED_WITH] + [
    {"variant": "released", **changes} for changes in RELEASED_WITH
]


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_every_choice_equals_the_plain_implementation(metaug, changes):
    method, batch = metaug(**{"update_order": "alternating", **changes})
    assert_iteration_equals_the_plain_one(method, batch, 1e-11)


@pytest.mark.parametrize(
    "changes",
    [{}, {"variant": "released"}, {"loss": "contrastive"}],
    ids=str,
)
def test_only_oucl_equals_the_plain_implementation(metaug, changes):
    method, batch = metaug("metaug_oucl", **changes)
    naive = Naive(copy.deepcopy(method))
    parameters = dict(naive.method.named_parameters())
    plain = batch()
    z = naive.features(plain, parameters)
    loss = naive.loss(naive.draw(plain, "negatives"), z)
    gradient = torch.autograd.grad(loss, list(parameters.values()))
    naive.update_bank(z, plain)
    logs = method.update(batch())
    torch.testing.assert_close(logs["loss"], loss.detach())
    assert distance(method.optimizers["encoder"].gradient, gradient) < 1e-11
    assert distance(banks(method), banks(naive.method)) < 1e-11


@pytest.mark.parametrize("margin_size", ["large", "medium", "small"])
@pytest.mark.parametrize("views", list(permutations(("lab", "l", "ab"))), ids="-".join)
def test_the_released_objective_does_not_depend_on_the_order_of_the_views(
    metaug, views, margin_size
):
    """At weights 1 for all terms: losses, margins, and the gradients of encoders and MAGs."""
    settings = {"variant": "released", "alpha": 1.0, "delta": 1.0, "margin_size": margin_size}
    reference, batch = metaug(views=("lab", "l", "ab"), **settings)
    permuted, _ = metaug(views=views, **settings)
    permuted.load_state_dict(reference.state_dict())
    given, parts = batch(), []
    for method in (reference, permuted):
        z = {v: method(given.views(method.spec.views))[i] for i, v in enumerate(method.spec.views)}
        calls = method.calls(tuple(x.detach() for x in z.values()), given, "negatives")
        terms = method.objective_terms(tuple(z.values()), calls, regularised=True)
        total = torch.stack(list(terms.values())).sum()
        names = [name for name, p in method.named_parameters() if p.requires_grad]
        gradient = torch.autograd.grad(total, [method.get_parameter(n) for n in names])
        parts.append({**terms, **dict(zip(names, gradient, strict=True))})
    assert parts[0].keys() == parts[1].keys()
    for name, value in parts[0].items():
        torch.testing.assert_close(parts[1][name], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("margin_size", ["large", "medium", "small"])
def test_at_weights_one_the_release_equals_the_plain_implementation(metaug, margin_size):
    """Each term, both gradients: float64, 1e-10."""
    weights = {"alpha": 1.0, "delta": 1.0, "margin_positive_weight": 1e-4}
    settings = {"variant": "released", "margin_size": margin_size, **weights}
    method, batch = metaug(**settings)
    naive = Naive(copy.deepcopy(method))
    given = batch()
    z = method(given.views(method.spec.views))
    calls = method.calls(tuple(x.detach() for x in z), given, "negatives")
    ours = method.objective_terms(z, calls, regularised=True)
    plain = naive.features(batch(), naive.method.encoder_parameters())
    theirs = naive.terms(plain, batch(), "negatives")
    for our, their in zip(ours.values(), theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-10, atol=0)
    assert ours["margin"] > 1e-3
    fresh, batch = metaug(**settings)
    assert_iteration_equals_the_plain_one(fresh, batch, 1e-10)
