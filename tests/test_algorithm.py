"""What the methods of MetAug's family compute, and what each hyper-parameter does."""

import copy
import math
from itertools import permutations

import pytest
import torch
from torch.nn import functional as F

from baselines.cmc import cmc_loss
from metaug import algorithm
from metaug.algorithm import VARIANTS, MetAugHyper, PairScores, UnifiedHyper
from metaug.data.views import make_views
from metaug.errors import UserError
from metaug.losses import margin_regularization, margins, oucl_loss, unified_loss

VIEWS = {2: ("l", "ab"), 3: ("rgb", "l", "ab")}


def unit_rows(n, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64), dim=1)


@pytest.fixture(params=VIEWS)
def scored(request, metaug):
    """A method builder's case: features, their augmented counterparts, bank rows, by view."""
    views = VIEWS[request.param]
    tensors = {
        name: {v: unit_rows(n, seed=10 * i + j) for j, v in enumerate(views)}
        for i, (name, n) in enumerate(
            {"features": 16, "augmented": 16, "own": 16, "negatives": 30}.items()
        )
    }
    return views, tensors


def gathered(views, tensors, anchors, targets):
    """Similarities (N, 6) of positives and (N, 6 K) of negatives of three views (two views: 2)."""
    positives, negatives = [], []
    for i in range(16):
        pairs = list(permutations(views, 2))
        positives.append(
            [(1 + tensors[anchors][a][i] @ tensors[targets][t][i]) / 2 for a, t in pairs]
        )
        negatives.append(
            [
                (1 + tensors[anchors][a][i] @ row) / 2
                for a, t in pairs
                for row in tensors["negatives"][t]
            ]
        )
    return torch.tensor(positives), torch.tensor(negatives)


def pair_scores(tensors, positives="batch", excluded=None):
    own = tensors["own"] if positives == "bank" else None
    return PairScores(
        tensors["features"], tensors["augmented"], own, tensors["negatives"], excluded
    )


@pytest.mark.parametrize("positives", ["batch", "bank"])
@pytest.mark.parametrize("loss", ["oucl", "unified"])
def test_pair_loss_is_the_public_loss_of_the_gathered_pairs(metaug, scored, loss, positives):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", loss=loss, positives=positives, margin=0.1, views=views)
    pairs = gathered(views, tensors, "features", "features" if positives == "batch" else "own")
    assert pairs[0].shape[1] == len(views) * (len(views) - 1)
    if loss == "oucl":
        expected = oucl_loss(*pairs, beta=16, gamma=0.4)
    else:
        expected = unified_loss(*pairs, beta=16, margin=0.1)
    value = method.pair_loss(pair_scores(tensors, positives), frozenset())
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)


def test_pair_loss_of_the_release_is_sixteen_times_eq_8(metaug, scored):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", variant="released", views=views)
    pairs = gathered(views, tensors, "features", "own")
    value = method.pair_loss(pair_scores(tensors, "bank"), frozenset())
    torch.testing.assert_close(
        value, 16 * unified_loss(*pairs, beta=16, margin=0), rtol=1e-10, atol=0
    )


def test_contrastive_loss_is_cmcs_summed_over_directions(metaug, scored):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", loss="contrastive", positives="bank", views=views)
    expected = sum(
        cmc_loss(tensors["features"][a], tensors["own"][t], tensors["negatives"][t], 0.07)
        for a, t in permutations(views, 2)
    )
    value = method.pair_loss(pair_scores(tensors, "bank"), frozenset())
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)


def test_a_replaced_view_is_augmented_as_anchor_and_as_target(metaug, scored):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", views=views)
    value = method.pair_loss(pair_scores(tensors), frozenset({"l"}))
    swapped = {**tensors, "features": {**tensors["features"], "l": tensors["augmented"]["l"]}}
    torch.testing.assert_close(value, method.pair_loss(pair_scores(swapped), frozenset()))


def test_a_replaced_view_leaves_the_bank_row_as_target(metaug, scored):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", positives="bank", views=views)
    value = method.pair_loss(pair_scores(tensors, "bank"), frozenset({"l"}))
    pairs = gathered(
        views,
        {**tensors, "features": {**tensors["features"], "l": tensors["augmented"]["l"]}},
        "features",
        "own",
    )
    torch.testing.assert_close(value, oucl_loss(*pairs, beta=16, gamma=0.4), rtol=1e-10, atol=0)


def terms_of(method, batch, seed=3, **options):
    """The weighted terms of a batch from given generator state, with the features' gradient."""
    step = batch(seed)
    features = tuple(z.detach().requires_grad_() for z in method(step.views(method.spec.views)))
    augmented = method.augmented(features)
    options = {"regularised": True, **options}
    return features, augmented, method.objective_terms(features, augmented, step, **options)


def test_four_augmented_losses_replace_each_view_and_all_views(metaug):
    method, batch = metaug(augmented_loss="four")
    features, augmented, terms = terms_of(method, batch)
    step = batch(3)
    scores = method.scores(features, augmented, step)
    views = method.spec.views
    expected = sum(method.pair_loss(scores, frozenset({v})) for v in views)
    expected = expected + method.pair_loss(scores, frozenset(views))
    torch.testing.assert_close(terms["augmented"], 0.5 * expected)
    torch.testing.assert_close(terms["original"], method.pair_loss(scores, frozenset()))


@pytest.mark.parametrize("positives", ["batch", "bank"])
def test_the_pooled_augmented_loss_is_one_loss_over_all_pairs(metaug, positives):
    method, batch = metaug(augmented_loss="pooled", positives=positives)
    features, augmented, terms = terms_of(method, batch)
    drawn = method.bank.draw(method.hyper.negatives, batch(3).generator)
    step = batch(3)
    tensors = {
        "features": {v: z.detach() for v, z in zip(method.spec.views, features, strict=True)},
        "augmented": {v: z.detach() for v, z in augmented.items()},
        "own": {v: method.bank.read(v, step.index) for v in method.spec.views},
        "negatives": {v: method.bank.read(v, drawn) for v in method.spec.views},
    }
    targets = ("features", "augmented") if positives == "batch" else ("own",)
    groups = [
        gathered(method.spec.views, tensors, anchors, target)
        for anchors in ("features", "augmented")
        for target in targets
    ]
    all_positives = torch.cat([positive for positive, _ in groups], 1)
    all_negatives = torch.cat([groups[0][1], groups[-1][1]], 1)
    assert all_positives.shape[1] == (24 if positives == "batch" else 12)
    expected = 0.5 * oucl_loss(all_positives, all_negatives, beta=16, gamma=0.4)
    torch.testing.assert_close(terms["augmented"], expected, rtol=1e-10, atol=0)


def test_the_regularization_takes_margins_of_the_whole_batch(metaug):
    """Published: margins from all original pairs, mixed pairs with an augmented anchor."""
    method, batch = metaug(positives="batch")
    features, augmented, terms = terms_of(method, batch)
    step = batch(3)
    scores = method.scores(features, augmented, step)
    z = dict(zip(method.spec.views, features, strict=True))
    directions = list(permutations(method.spec.views, 2))
    positives = torch.stack([(1 + (z[a] * z[t]).sum(1)) / 2 for a, t in directions])
    negatives = torch.stack([(1 + z[a] @ scores.rows[t].T) / 2 for a, t in directions])
    sigma = margins(positives.flatten(), negatives.flatten(), "large")
    expected = margin_regularization(
        torch.stack([(1 + (augmented[a] * z[t]).sum(1)) / 2 for a, t in directions]),
        torch.stack([(1 + augmented[a] @ scores.rows[t].T) / 2 for a, t in directions]),
        *sigma,
        positive_weight=0.7,
    )
    torch.testing.assert_close(terms["margin"], 0.3 * expected, rtol=1e-10, atol=0)
    assert expected > 0.01


# -- the meta step ------------------------------------------------------------------------------


def mag_gradient(method):
    return torch.cat([g.flatten() for g in method.optimizers["mag"].gradient])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("update_order", ["alternating", "simultaneous"])
def test_without_augmented_loss_and_margins_the_mags_get_no_gradient(metaug, variant, update_order):
    method, batch = metaug(variant=variant, update_order=update_order, delta=0.0, alpha=0.0)
    logs = method.update(batch())
    assert mag_gradient(method).abs().max() == 0
    assert logs["mag_gradient_norm"] == 0
    assert logs["second_order_share"] == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_at_inner_rate_zero_the_meta_gradient_is_the_first_order_gradient(metaug, variant):
    method, batch = metaug(variant=variant, update_order="simultaneous", inner_learning_rate=0.0)
    twin = copy.deepcopy(method)
    method.update(batch())
    step = batch()
    views = step.views(twin.spec.views)
    twin.objective(twin(views), step, regularised=twin.hyper.margin_in_encoder_step)
    features = tuple(z.detach() for z in twin(views))
    terms = twin.objective_terms(features, twin.augmented(features), step, regularised=True)
    expected = torch.autograd.grad(
        terms["augmented"] + terms["margin"], list(twin.mags.parameters())
    )
    expected = torch.cat([g.flatten() for g in expected])
    assert (mag_gradient(method) - expected).norm() < 1e-12 * expected.norm()


@pytest.mark.parametrize("backbone", ["alexnet", "resnet18"])
def test_the_meta_gradient_is_the_slope_of_the_loss_after_the_look_ahead(metaug, backbone):
    """A central difference of dG/dω in float64 along three directions. The steps are so small that
    hardly any ReLU or maximum changes sides."""
    method, batch = metaug(
        update_order="simultaneous",
        backbone=backbone,
        margin_gradient=True,
        margin_in_look_ahead=True,
        margin_in_encoder_step=True,
        order="exact",
    )
    twin = copy.deepcopy(method)
    method.update(batch())
    gradient = mag_gradient(method)
    theta, omega = twin.encoder_parameters(), list(twin.mags.parameters())

    def loss_after_look_ahead():
        step = batch()
        views = step.views(twin.spec.views)
        inner = twin.objective(twin(views), step, regularised=True)
        slope = torch.autograd.grad(inner, list(theta.values()))
        before = {n: p.detach().clone() for n, p in theta.items()}
        with torch.no_grad():
            for p, g in zip(theta.values(), slope, strict=True):
                p -= 0.05 * g
            outer = twin.objective(twin(views), step, regularised=True)
            for n, p in theta.items():
                p.copy_(before[n])
        return outer.item()

    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in omega]

        def moved(step, direction=direction):
            with torch.no_grad():
                for w, v in zip(omega, direction, strict=True):
                    w += step * v
            value = loss_after_look_ahead()
            with torch.no_grad():
                for w, v in zip(omega, direction, strict=True):
                    w -= step * v
            return value

        difference = (moved(1e-7) - moved(-1e-7)) / 2e-7
        product = (gradient * torch.cat([v.flatten() for v in direction])).sum().item()
        assert product == pytest.approx(difference, rel=1e-4)


@pytest.mark.parametrize(
    "update_order, pass_index, moving",
    [
        ("per_pass", 0, {"encoders", "projectors"}),
        ("per_pass", 1, {"mags"}),
        ("alternating", 0, {"encoders", "projectors", "mags"}),
        ("simultaneous", 0, {"encoders", "projectors", "mags"}),
    ],
)
def test_what_an_update_trains(metaug, update_order, pass_index, moving):
    method, batch = metaug(update_order=update_order, pass_index=pass_index)
    before = copy.deepcopy(method)
    logs = method.update(batch())
    changed = {
        name.partition(".")[0]
        for (name, new), old in zip(method.named_parameters(), before.parameters(), strict=True)
        if not torch.equal(new, old)
    }
    assert changed == moving
    assert ("loss" in logs) == ("encoders" in moving)
    assert ("meta_loss" in logs) == ("mags" in moving)
    assert method.passes == (2 if update_order == "per_pass" else 1)


def test_logged_norms_are_those_of_the_mags(metaug):
    method, batch = metaug(update_order="alternating")
    logs = method.update(batch())
    torch.testing.assert_close(logs["mag_gradient_norm"], mag_gradient(method).norm())
    weights = torch.cat([p.detach().flatten() for p in method.mags.parameters()])
    torch.testing.assert_close(logs["mag_weight_norm"], weights.norm())


def test_the_unscaled_meta_gradient_is_divided_by_delta(metaug):
    scaled, batch = metaug(update_order="alternating", delta=0.01)
    unscaled, _ = metaug(update_order="alternating", delta=0.01, mag_gradient_scale="unscaled")
    logs = scaled.update(batch()), unscaled.update(batch())
    torch.testing.assert_close(mag_gradient(unscaled), 100 * mag_gradient(scaled))
    torch.testing.assert_close(logs[1]["mag_gradient_norm"], 100 * logs[0]["mag_gradient_norm"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("update_order", ["per_pass", "alternating", "simultaneous"])
def test_looking_at_the_gradient_share_changes_nothing(metaug, monkeypatch, variant, update_order):
    states = []
    for period in (1, 10**9):
        monkeypatch.setattr(algorithm, "DIAGNOSTIC_PERIOD", period)
        method, batch = metaug(variant=variant, update_order=update_order)
        logs = method.update(batch())
        assert ("augmented_gradient_share" in logs) == (period == 1)
        states.append(method.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_augmented_gradient_share_grows_with_delta(metaug):
    shares = []
    for delta in (0.0, 1e-5, 0.5):
        method, batch = metaug(update_order="alternating", delta=delta)
        shares.append(float(method.update(batch(step=0))["augmented_gradient_share"]))
    assert shares[0] == 0
    assert shares[0] < shares[1] < shares[2] < 1


# -- every hyper-parameter ----------------------------------------------------------------------

STEP = {"update_order": "alternating"}
FLIPS = {
    "variant": ({}, "released"),
    "loss": ({}, "unified"),
    "beta": ({}, 8.0),
    "gamma": ({}, 0.2),
    "margin": ({"loss": "unified"}, 0.2),
    "decay": ({"loss": "weighted"}, 2.0),
    "detach_weights": ({"loss": "weighted"}, True),
    "temperature": ({"loss": "contrastive"}, 0.2),
    "prefix": ({}, "one"),
    "similarity": ({}, "clamped"),
    "pool": ({}, "batch"),
    "positives": ({}, "batch"),
    "negatives": ({}, 20),
    "redraw_negatives": ({}, True),
    "exclude_own": ({}, True),
    "feature_dim": ({}, 12),
    "bank_momentum": ({}, 0.9),
    "bank_updates": ({}, "every_evaluation"),
    "alpha": ({}, 0.0),
    "delta": ({}, 0.4),
    "augmented_loss": ({}, "four"),
    "detach_features": ({}, True),
    "order": ({}, "first_order"),
    "look_ahead": ({}, "mag"),
    "update_order": ({}, "simultaneous"),
    "inner_learning_rate": ({}, None),
    "mag_hidden": ({}, 20),
    "mag_gradient_scale": ({}, "unscaled"),
    "mag_running_statistics": ({}, True),
    "mag_probe_mode": ({}, "train"),
    "margin_size": ({}, "small"),
    "margin_in_encoder_step": ({}, True),
    "margin_in_look_ahead": ({}, True),
    "margin_scope": ({}, "sample"),
    "margin_gradient": ({}, True),
    "margin_positive_weight": ({}, 0.1),
    "margin_pairs": ({}, "released"),
    "margin_originals": ({"redraw_negatives": True, "margin_scope": "sample"}, "overwritten"),
    # of the MAGs' optimiser, which these tests replace: see test_the_mags_have_their_own_optimiser
    "mag_optimizer": None,
    "mag_learning_rate": None,
    "mag_weight_decay": None,
}
"""For each hyper-parameter what it is flipped on, and to which value."""


def test_every_hyper_parameter_has_a_test():
    assert set(FLIPS) == set(MetAugHyper.model_fields)


def fingerprint(method, batch):
    """Everything that an iteration and the probes give."""
    logs = method.update(batch())
    method.eval()
    images = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    method.float()
    return [
        *(torch.as_tensor(value).double() for value in logs.values()),
        *(value.double() for value in method.state_dict().values()),
        *method.representation(images).values(),
    ]


@pytest.mark.parametrize("name", [name for name, flip in FLIPS.items() if flip])
def test_flipping_a_hyper_parameter_alone_changes_the_numbers(metaug, name):
    base, value = FLIPS[name]
    base = {**STEP, "inner_learning_rate": 0.02, **base}
    results = [fingerprint(*metaug(**settings)) for settings in (base, {**base, name: value})]
    assert len(results[0]) == len(results[1])
    assert any(
        a.shape != b.shape or not torch.allclose(a, b, rtol=1e-6)
        for a, b in zip(*results, strict=True)
    )


def test_the_mags_have_their_own_optimiser(make_spec, ready):
    settings = {"mag_learning_rate": 0.2, "mag_weight_decay": 0.01}
    method = ready(make_spec("metaug", **settings))
    (group,) = method.optimizers["mag"].param_groups
    assert type(method.optimizers["mag"]) is torch.optim.SGD
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (0.2, 0.01, 0.9)
    assert not group["scheduled"]
    adam = ready(make_spec("metaug", mag_optimizer="adam", **settings)).optimizers["mag"]
    assert type(adam) is torch.optim.Adam
    assert (adam.param_groups[0]["lr"], adam.param_groups[0]["weight_decay"]) == (0.2, 0.01)
    groups = {
        name: {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, optimizer in method.optimizers.items()
    }
    assert groups["mag"] == {id(p) for p in method.mags.parameters()}
    assert groups["encoder"] | groups["mag"] == {id(p) for p in method.parameters()}
    assert not groups["encoder"] & groups["mag"]


def test_the_hidden_width_of_the_mags_is_2048_times_the_width(make_spec, ready):
    mags = ready(make_spec("metaug", mag_hidden=None)).mags
    assert mags["l"].network[0].out_features == 128


@pytest.mark.parametrize("kind", [UnifiedHyper, MetAugHyper])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_gives_its_values_and_explicit_ones_win(kind, variant):
    hyper = kind(variant=variant)
    for key, value in VARIANTS[variant].items():
        if key in kind.model_fields:
            assert getattr(hyper, key) == value
    assert kind(variant=variant, negatives=7, prefix="one").negatives == 7
    for prefix in ("one", "inverse_beta"):
        assert kind(variant=variant, prefix=prefix).prefix == prefix


def test_the_variants_differ_in_every_value_they_list_but_the_margin():
    published, released = VARIANTS.values()
    assert set(published) == set(released)
    equal = {key for key in published if published[key] == released[key]}
    assert equal <= {"margin"}


def test_every_listed_value_is_a_hyper_parameter():
    assert set(VARIANTS["published"]) <= set(MetAugHyper.model_fields)


def test_the_third_view_is_rgb_in_the_paper_and_lab_in_the_release(make_spec):
    assert make_spec("metaug").views == ("rgb", "l", "ab")
    assert make_spec("metaug_oucl", variant="released").views == ("lab", "l", "ab")
    assert make_spec("metaug", variant="released", views=("rgb", "l")).views == ("rgb", "l")


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_mag_uses_the_conventional_loss(make_spec, metaug, variant):
    spec = make_spec("metaug_mag", variant=variant)
    assert spec.hyper["loss"] == "contrastive"
    others = {key: value for key, value in spec.hyper.items() if key != "loss"}
    assert others.items() <= make_spec("metaug", variant=variant).hyper.items()
    step = {"variant": variant, "update_order": "alternating"}
    results = [
        fingerprint(*metaug("metaug_mag", **step)),
        fingerprint(*metaug("metaug", loss="contrastive", **step)),
    ]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def counted(monkeypatch, target, name):
    """How often a method of an object is called."""
    calls, original = [], getattr(target, name)

    def wrapper(*arguments, **keywords):
        calls.append(name)
        return original(*arguments, **keywords)

    monkeypatch.setattr(target, name, wrapper)
    return calls


@pytest.mark.parametrize(
    "changes, draws",
    [
        ({"redraw_negatives": False, "augmented_loss": "four"}, 1),
        ({"redraw_negatives": False, "augmented_loss": "pooled"}, 1),
        ({"redraw_negatives": True, "augmented_loss": "four"}, 5),
        ({"redraw_negatives": True, "augmented_loss": "pooled"}, 4),
    ],
)
def test_draws_of_negatives_in_one_evaluation(metaug, monkeypatch, changes, draws):
    method, batch = metaug(**changes)
    step = batch()
    features = method(step.views(method.spec.views))
    calls = counted(monkeypatch, method.bank, "draw")
    method.objective(features, step, regularised=True)
    assert len(calls) == draws


@pytest.mark.parametrize(
    "changes, updates",
    [
        ({"update_order": "alternating", "bank_updates": "once"}, 1),
        ({"update_order": "simultaneous", "bank_updates": "once"}, 1),
        ({"update_order": "per_pass", "bank_updates": "once"}, 1),
        ({"update_order": "per_pass", "bank_updates": "once", "pass_index": 1}, 1),
        # encoder step, inner and outer loss of the look-ahead, as in the release
        ({"update_order": "alternating", "bank_updates": "every_evaluation"}, 3),
        ({"update_order": "simultaneous", "bank_updates": "every_evaluation"}, 2),
        ({"update_order": "per_pass", "bank_updates": "every_evaluation"}, 1),
        ({"update_order": "per_pass", "bank_updates": "every_evaluation", "pass_index": 1}, 2),
        ({"method": "metaug_oucl", "bank_updates": "once"}, 1),
        ({"method": "metaug_oucl", "bank_updates": "every_evaluation"}, 1),
    ],
)
def test_bank_updates_in_one_iteration(metaug, monkeypatch, changes, updates):
    method, batch = metaug(**changes)
    calls = counted(monkeypatch, method, "update_bank")
    method.update(batch())
    assert len(calls) == updates


def test_the_bank_moves_after_the_losses_that_are_to_see_the_old_one(metaug):
    """`once`: every loss reads positives from before the iteration; `every_evaluation`: the losses
    with augmented features read rows that hold half of the current feature."""
    method, batch = metaug(bank_updates="once", alpha=0.0)
    before = {v: method.bank.get_buffer(v).clone() for v in method.spec.views}
    step = batch()
    features = method(step.views(method.spec.views))
    method.objective(features, step, regularised=False)
    assert all(torch.equal(method.bank.get_buffer(v), before[v]) for v in before)
    method, batch = metaug(bank_updates="every_evaluation", alpha=0.0)
    step = batch()
    method.objective(method(step.views(method.spec.views)), step, regularised=False)
    for v, z in zip(method.spec.views, features, strict=True):
        blended = F.normalize((before[v][step.index] + z.detach()) / 2, dim=1)
        torch.testing.assert_close(method.bank.get_buffer(v)[step.index], blended)


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize(
    "update_order, pass_index, encoder, mag",
    [
        # encoder: its own step and the inner forward pass; never the pass with fast weights
        ("alternating", 0, 2, 3),
        ("simultaneous", 0, 1, 2),
        ("per_pass", 0, 1, 1),
        ("per_pass", 1, 1, 2),
    ],
)
def test_updates_of_running_statistics_in_one_iteration(
    metaug, update_order, pass_index, encoder, mag, moved
):
    """`mag` counts the encoder step too, which moves the MAGs' statistics only if told so."""
    method, batch = metaug(
        update_order=update_order, pass_index=pass_index, mag_running_statistics=moved
    )
    method.update(batch())
    counts = {
        part: {
            int(count)
            for name, count in getattr(method, part).named_buffers()
            if name.endswith("num_batches_tracked")
        }
        for part in ("encoders", "mags")
    }
    own_step = pass_index == 0
    assert counts == {"encoders": {encoder}, "mags": {mag if moved or not own_step else mag - 1}}


def test_detached_features_send_no_gradient_through_the_mags(metaug):
    for detach in (False, True):
        method, batch = metaug(detach_features=detach)
        step = batch()
        features = method(step.views(method.spec.views))
        total = sum(z.square().sum() for z in method.augmented(features).values())
        total = sum((z * unit_rows(16)).sum() for z in method.augmented(features).values()) + total
        slopes = torch.autograd.grad(total, features, allow_unused=True)
        assert all((slope is None) == detach for slope in slopes)


def test_left_out_negatives_are_seen_by_nothing():
    cosines = {"l": unit_rows(16), "ab": unit_rows(16, seed=1)}
    rows = {"l": unit_rows(30, seed=2), "ab": unit_rows(30, seed=3)}
    excluded = torch.rand(16, 30, generator=torch.Generator().manual_seed(0)) < 0.3
    scores = PairScores(cosines, {}, None, rows, excluded)
    naive = [
        [value for value, out in zip(row.tolist(), mask.tolist(), strict=True) if not out]
        for row, mask in zip(cosines["l"] @ rows["ab"].T, excluded, strict=True)
    ]
    mass = scores.negative_mass("l", False, "ab", lambda c: 3 * c)
    expected = [sum(math.exp(3 * value) for value in row) for row in naive]
    assert mass.exp().tolist() == pytest.approx(expected)
    assert scores.highest_negative("l", "ab").tolist() == pytest.approx([max(row) for row in naive])
    kept = scores.kept(scores.negative("l", False, "ab"))
    assert kept.tolist() == pytest.approx([value for row in naive for value in row])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_probes_can_see_the_mags_in_either_mode(make_spec, ready, mode):
    method = ready(make_spec("metaug", mag_probe_mode=mode)).eval()
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        readouts = method.representation(images)
        method.mags.train(mode == "train")
        features = method(make_views(images, method.spec.views))
        mags = torch.cat(
            [method.mags[v](z) for v, z in zip(method.spec.views, features, strict=True)], 1
        )
    assert set(readouts) == {
        "conv",
        "fc",
        "conv;features=with_augmented",
        "fc;features=with_augmented",
    }
    for name in ("conv", "fc"):
        expected = torch.cat([readouts[name], mags], 1)
        torch.testing.assert_close(readouts[f"{name};features=with_augmented"], expected)


def test_representation_leaves_mode_and_running_statistics(make_spec, ready):
    for mode in ("eval", "train"):
        method = ready(make_spec("metaug", mag_probe_mode=mode)).eval()
        before = copy.deepcopy(method.state_dict())
        method.representation(torch.full((12, 3, 32, 32), 0.5))
        assert not any(module.training for module in method.modules())
        assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_summaries_are_similarities_of_pairs(make_spec, ready):
    method = ready(make_spec("metaug")).eval()
    images = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        summaries = method.summaries(images, torch.Generator())
        features = dict(
            zip(method.spec.views, method(make_views(images, method.spec.views)), strict=True)
        )
        augmented = method.augmented(tuple(features.values()))
    every = [*features.items(), *augmented.items()]
    for kind, members in (("original", every[:3]), ("with_augmented", every)):
        positives, negatives = [], []
        for i, (view, a) in enumerate(members):
            for other, b in members[i + 1 :]:
                if view != other:
                    values = (1 + a @ b.T) / 2
                    positives += values.diagonal().tolist()
                    negatives += values[~torch.eye(10, dtype=torch.bool)].tolist()
        for sign, expected in (("positive", positives), ("negative", negatives)):
            summary = summaries[f"features={kind};pairs={sign}"]
            assert summary["mean_similarity"] == pytest.approx(sum(expected) / len(expected))
            shares = [summary[f"histogram_{i:02d}"] for i in range(50)]
            assert sum(shares) == pytest.approx(1)
            bins = [min(int(value * 50), 49) for value in expected]
            assert shares == pytest.approx([bins.count(i) / len(bins) for i in range(50)], abs=0.02)


def test_the_histogram_counts_similarities_that_rounding_carried_past_one(make_spec, ready):
    method = ready(make_spec("metaug_oucl"))
    z = torch.full((4, 16), 0.25000004)
    summary = method._similarity_summaries("original", {"l": z, "ab": z})
    assert (z @ z.T).min() > 1
    assert (
        sum(summary["features=original;pairs=positive"][f"histogram_{i:02d}"] for i in range(50))
        == 1
    )


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"views": ("rgb",)}, "at least two"),
        (
            {"update_order": "simultaneous", "margin_in_encoder_step": True},
            "margin_in_encoder_step and margin_in_look_ahead alike",
        ),
        ({"mag_gradient_scale": "unscaled", "delta": 0.0}, "divides by delta = 0"),
        ({"inner_learning_rate": -0.1}, "inner_learning_rate"),
        ({"negatives": 0}, "negatives"),
        ({"delta": -1.0}, "delta"),
        ({"beta": 0.0}, "beta"),
        ({"bank_momentum": 1.5}, "bank_momentum"),
        ({"variant": "realeased"}, "variant"),
        ({"order": "second"}, "order"),
        ({"dleta": 0.1}, "did you mean 'delta'"),
    ],
)
def test_contradictions_and_impossible_values_are_one_line(make_spec, changes, message):
    with pytest.raises(UserError, match=message) as error:
        make_spec("metaug", **changes)
    assert "metaug" in str(error.value)
    assert "\n" not in str(error.value)
