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

    def draw(self, batch):
        """What one call of the release sees: own and drawn bank rows, and which are its own."""
        bank = {v: getattr(self.method.bank, v).clone() for v in self.views}
        drawn = torch.randint(self.method.bank.rows, (self.h.negatives,), generator=batch.generator)
        own = {v: bank[v][batch.index] for v in self.views}
        rows = {v: bank[v][drawn] for v in self.views}
        return own, rows, drawn[None] == batch.index[:, None]

    def similarity(self, cosine):
        return (cosine + 1) / 2 if self.h.similarity == "shifted" else cosine.clamp(min=0)

    def cosines(self, call, anchors, targets, directions):
        """Positive cosines (N, P) and for each direction negative ones (N, K)."""
        own, rows, _ = call
        positives, negatives = [], []
        for anchor, target in directions:
            other = targets[target] if self.h.positives == "batch" else own[target]
            positives.append(torch.einsum("nd,nd->n", anchors[anchor], other))
            negatives.append(torch.einsum("nd,kd->nk", anchors[anchor], rows[target]))
        return torch.stack(positives, 1), negatives

    def unified(self, positives, negatives, excluded):
        """1/β ln(1 + ΣΣ exp ...) over (N, P) and (N, M), or over all pairs of the batch."""
        h = self.h
        p, n = self.similarity(positives), self.similarity(negatives)
        if h.loss == "oucl":
            p, n = h.beta * ((p - 1) ** 2 - h.gamma**2), h.beta * (n**2 - h.gamma**2)
        elif h.loss == "unified":
            p, n = -h.beta * p, h.beta * (n + h.margin)
        else:
            weight_p = (1 + h.gamma - p).clamp(min=0) / h.decay
            weight_n = (n + h.gamma).clamp(min=0) / h.decay
            if h.detach_weights:
                weight_p, weight_n = weight_p.detach(), weight_n.detach()
            p, n = -h.beta * weight_p * (p - 1 + h.gamma), h.beta * weight_n * (n - h.gamma)
        p, n = p.exp(), n.exp() * ~excluded
        if h.pool == "batch":
            p, n = p.reshape(1, -1), n.reshape(1, -1)
        total = torch.einsum("np,nm->n", p, n)
        return (1 + total).log().mean() / (h.beta if h.prefix == "inverse_beta" else 1)

    def conventional(self, positives, negatives, excluded):
        """Softmax cross-entropy, summed over the directions."""
        total = 0
        for positive, negative in zip(positives.unbind(1), negatives, strict=True):
            p = (positive / self.h.temperature).exp()
            n = ((negative / self.h.temperature).exp() * ~excluded).sum(1)
            total = total - (p / (p + n)).log().mean()
        return total

    def loss(self, call, anchors, targets):
        excluded = call[2] if self.h.exclude_own else torch.zeros_like(call[2])
        positives, negatives = self.cosines(call, anchors, targets, permutations(self.views, 2))
        if self.h.loss == "contrastive":
            return self.conventional(positives, negatives, excluded)
        return self.unified(positives, torch.cat(negatives, 1), excluded.repeat(1, len(negatives)))

    def pooled(self, call, z, augmented):
        """One loss over the original and the augmented pairs; a bank row is never augmented."""
        excluded = call[2] if self.h.exclude_own else torch.zeros_like(call[2])
        targets = [z, augmented] if self.h.positives == "batch" else [z]
        positives, negatives, repeated = [], [], []
        for anchors in (z, augmented):
            for others in targets:
                p, n = self.cosines(call, anchors, others, permutations(self.views, 2))
                positives.append(p)
                repeated += n
            negatives += n
        positives = torch.cat(positives, 1)
        if self.h.loss == "contrastive":
            return self.conventional(positives, repeated, excluded)
        return self.unified(positives, torch.cat(negatives, 1), excluded.repeat(1, len(negatives)))

    def margin_term(self, z, augmented, first, single):
        """R_sigma, image by image or for the whole batch."""
        h, directions = self.h, list(permutations(self.views, 2))
        # the call whose original scores give the margins: the first, or the last to overwrite
        source = dict.fromkeys(self.views, first)
        if h.margin_originals == "overwritten":
            for anchor in self.views:
                source[anchor] = [single[v] for v in self.views if v != anchor][-1]
        lowest, highest = [], []
        for a, t in directions:
            p, (n,) = self.cosines(source[a], z, z, [(a, t)])
            if h.exclude_own:
                n = n.masked_fill(source[a][2], -1)
            lowest.append(self.similarity(p[:, 0]))
            highest.append(self.similarity(n).max(1).values)
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
        groups = [(single[a], augmented, a, z, t) for a, t in directions]
        if h.margin_pairs == "released":
            groups += [(single[t], z, a, augmented, t) for a, t in directions]
        above, below = [], []
        for call, anchors, a, targets, t in groups:
            p, (n,) = self.cosines(call, anchors, targets, [(a, t)])
            above.append((self.similarity(p[:, 0]) - sigma_pos).relu())
            gap = (sigma_neg[:, None] - self.similarity(n)).relu()
            below.append(gap[~call[2]] if h.exclude_own else gap.flatten())
        return h.margin_positive_weight * torch.cat(above).mean() + torch.cat(below).mean()

    def objective(self, z, batch, regularised, mag_parameters=None):
        h = self.h
        first = self.draw(batch)
        loss = self.loss(first, z, z)
        if h.bank_updates == "every_evaluation":
            self.update_bank(z, batch)
        augmented = {}
        for v in self.views:
            mag = self.method.mags[v]
            own = dict(mag.named_parameters())
            if mag_parameters is not None:
                own = {n: mag_parameters[f"{v}.{n}"] for n in own}
            source = z[v].detach() if h.detach_features else z[v]
            augmented[v] = functional_call(mag, (own, copied_buffers(mag)), (source,))
        single = {v: self.draw(batch) if h.redraw_negatives else first for v in self.views}
        if h.augmented_loss == "four":
            everything = self.draw(batch) if h.redraw_negatives else first
            loss = loss + h.delta * self.loss(everything, augmented, augmented)
            for v in self.views:
                mixed = {**z, v: augmented[v]}
                loss = loss + h.delta * self.loss(single[v], mixed, mixed)
        else:
            loss = loss + h.delta * self.pooled(first, z, augmented)
        if regularised and h.alpha > 0:
            loss = loss + h.alpha * self.margin_term(z, augmented, first, single)
        return loss

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
        loss = self.objective(z, batch, self.h.margin_in_encoder_step)
        return z, torch.autograd.grad(loss, list(theta.values()), create_graph=True)

    def look_ahead_gradient(self, batch, gradient=None):
        """Gradient of the MAGs; `gradient`: that of the encoders' loss, if they share it."""
        h, exact = self.h, self.h.order == "exact"
        theta = self.method.encoder_parameters()
        omega = dict(self.method.mags.named_parameters())
        own = h.look_ahead == "mag"
        stepping = omega if own else theta
        if gradient is None or own:
            z = self.features(batch, theta)
            if own:
                z = {v: feature.detach() for v, feature in z.items()}
            inner = self.objective(z, batch, h.margin_in_look_ahead)
            gradient = torch.autograd.grad(inner, list(stepping.values()), create_graph=True)
        rate = h.inner_learning_rate
        if rate is None:
            rate = rate_of(self.method, "encoder")
        if h.order == "none":
            rate = 0.0
        ahead = {
            n: p - rate * (g if exact else g.detach())
            for (n, p), g in zip(stepping.items(), gradient, strict=True)
        }
        if own:
            outer = self.objective(z, batch, True, ahead)
        else:
            outer = self.objective(self.features(batch, ahead), batch, True)
        total = torch.autograd.grad(outer, list(omega.values()), allow_unused=True)
        return [
            torch.zeros_like(w) if g is None else g
            for g, w in zip(total, omega.values(), strict=True)
        ]


class NaiveLookAhead(Naive):
    """The naive double backward with the method's own loss: in float32 another way to compute the
    loss would differ by more than the two ways to differentiate it."""

    def objective(self, z, batch, regularised, mag_parameters=None):
        assert mag_parameters is None
        return self.method.objective(tuple(z.values()), batch, regularised=regularised)


def copied_buffers(module):
    return {n: b.clone() for n, b in module.named_buffers()}


def distance(ours, theirs):
    """|a - b| / |b| of whole gradients."""
    a, b = (torch.cat([t.detach().double().flatten() for t in side]) for side in (ours, theirs))
    return ((a - b).norm() / b.norm()).item()


def naive_iteration(method, batch, kind=Naive):
    """Both gradients of an iteration by the plain implementation, on the method itself."""
    naive, h = kind(method), method.hyper
    encoder = mag = None
    if h.update_order == "per_pass":
        if batch.pass_index == 0:
            z, encoder = naive.encoder_gradient(batch)
            descend(method, "encoder", encoder)
        else:
            z = naive.features(batch, method.encoder_parameters())
            mag = naive.look_ahead_gradient(batch)
    elif h.update_order == "alternating":
        _, encoder = naive.encoder_gradient(batch)
        descend(method, "encoder", encoder)
        z = naive.features(batch, method.encoder_parameters())
        mag = naive.look_ahead_gradient(batch)
    else:
        z, encoder = naive.encoder_gradient(batch)
        mag = naive.look_ahead_gradient(batch, encoder)
        descend(method, "encoder", encoder)
    if mag is not None:
        descend(method, "mag", mag)
    if h.bank_updates == "once":
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
    {"look_ahead": "mag"},
    {"look_ahead": "mag", "order": "first_order"},
    {"look_ahead": "mag", "order": "none"},
    {"look_ahead": "mag", "update_order": "simultaneous"},
    {"inner_learning_rate": None},
    {"inner_learning_rate": 0.0},
    {"beta": 4.0, "gamma": 0.1},
    {"loss": "unified", "margin": 0.3},
    {"loss": "weighted", "decay": 2.0},
    {"loss": "weighted", "detach_weights": True},
    {"loss": "contrastive", "temperature": 0.2},
    {"prefix": "one"},
    {"similarity": "clamped"},
    {"pool": "batch"},
    {"positives": "batch"},
    {"positives": "batch", "loss": "contrastive"},
    {"redraw_negatives": True},
    {"exclude_own": True},
    {"exclude_own": True, "margin_scope": "sample", "redraw_negatives": True},
    {"bank_momentum": 0.0},
    {"bank_updates": "every_evaluation"},
    {"alpha": 0.0},
    {"augmented_loss": "four"},
    {"detach_features": True},
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
    {"pool": "batch"},
    {"positives": "batch"},
    {"redraw_negatives": False},
    {"exclude_own": True},
    {"bank_momentum": 1.0},
    {"augmented_loss": "pooled"},
    {"detach_features": True},
    {"look_ahead": "mag"},
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
    [{}, {"variant": "released"}, {"loss": "contrastive"}, {"exclude_own": True}],
    ids=str,
)
def test_only_oucl_equals_the_plain_implementation(metaug, changes):
    method, batch = metaug("metaug_oucl", **changes)
    naive = Naive(copy.deepcopy(method))
    parameters = dict(naive.method.named_parameters())
    plain = batch()
    z = naive.features(plain, parameters)
    loss = naive.loss(naive.draw(plain), z, z)
    gradient = torch.autograd.grad(loss, list(parameters.values()))
    naive.update_bank(z, plain)
    logs = method.update(batch())
    torch.testing.assert_close(logs["loss"], loss.detach())
    assert distance(method.optimizers["encoder"].gradient, gradient) < 1e-11
    assert distance(banks(method), banks(naive.method)) < 1e-11
