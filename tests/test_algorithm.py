"""What the methods of MetAug's family compute, and what each hyper-parameter does."""

import copy
import re
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from baselines.cmc import cmc_loss
from metaug.algorithm import mag
from metaug.algorithm.discrepancies import DISCREPANCIES, VARIANTS
from metaug.algorithm.generators import gradient_share
from metaug.algorithm.hyper import MetAugHyper, UnifiedHyper
from metaug.algorithm.pairs import PairScores, Rows
from metaug.algorithm.readouts import similarity_summaries
from metaug.data.views import make_views
from metaug.errors import UserError
from metaug.losses import margin_regularization, margins, oucl_loss, unified_loss
from metaug.training.loop import train

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


def gathered(views, tensors, anchors="features", negatives=None):
    """Similarities (N, 6) of positives and (N, 6 K) of negatives of three views (two views: 2)."""
    positives, found = [], []
    pairs = list(permutations(views, 2))
    for i in range(16):
        positives.append(
            [(1 + tensors[anchors][a][i] @ tensors["own"][t][i]) / 2 for a, t in pairs]
        )
        rows = tensors["negatives"] if negatives is None else negatives(i)
        found.append([(1 + tensors[anchors][a][i] @ row) / 2 for a, t in pairs for row in rows[t]])
    return torch.tensor(positives), torch.tensor(found)


def pair_scores(tensors):
    anchors = tensors["features"] | {f"{v}~": z for v, z in tensors["augmented"].items()}
    return PairScores(anchors, Rows(tensors["own"], tensors["negatives"]))


@pytest.mark.parametrize("loss", ["oucl", "unified"])
def test_pair_loss_is_the_public_loss_of_the_gathered_pairs(metaug, scored, loss):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", loss=loss, margin=0.1, views=views)
    pairs = gathered(views, tensors)
    assert pairs[0].shape[1] == len(views) * (len(views) - 1)
    if loss == "oucl":
        expected = oucl_loss(*pairs, beta=16, gamma=0.4)
    else:
        expected = unified_loss(*pairs, beta=16, margin=0.1)
    value = method.pair_loss(pair_scores(tensors), method.directions)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)


def test_negatives_of_each_image_enter_its_own_pairs_alone(metaug, scored):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", views=views)
    each = {v: unit_rows(16 * 30, seed=50 + j).view(16, 30, 16) for j, v in enumerate(views)}
    pairs = gathered(views, tensors, negatives=lambda i: {v: each[v][i] for v in views})
    scores = PairScores(tensors["features"], Rows(tensors["own"], each))
    value = method.pair_loss(scores, method.directions)
    torch.testing.assert_close(value, oucl_loss(*pairs, beta=16, gamma=0.4), rtol=1e-10, atol=0)


def test_pair_loss_of_the_release_is_sixteen_times_eq_8(metaug, scored):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", variant="released", views=views)
    value = method.pair_loss(pair_scores(tensors), method.directions)
    expected = 16 * unified_loss(*gathered(views, tensors), beta=16, margin=0)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)


def test_contrastive_loss_is_cmcs_summed_over_directions(metaug, scored):
    views, tensors = scored
    method, _ = metaug("metaug_oucl", loss="contrastive", views=views)
    expected = sum(
        cmc_loss(tensors["features"][a], tensors["own"][t], tensors["negatives"][t], 0.07)
        for a, t in permutations(views, 2)
    )
    value = method.pair_loss(pair_scores(tensors), method.directions)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)


def terms_of(method, batch, seed=3):
    """The weighted terms of a batch, with its features and bank rows."""
    step = batch(seed)
    features = tuple(z.detach().requires_grad_() for z in method(step.views(method.spec.views)))
    calls = method.calls(features, step, "negatives")
    return features, calls, method.objective_terms(features, calls, regularised=True)


def tensors_of(method, features, calls):
    rows = calls["original"]
    return {
        "features": {v: z.detach() for v, z in method.named(features).items()},
        "augmented": {v: z.detach() for v, z in method.augmented(features).items()},
        "own": rows.own,
        "negatives": rows.negatives,
    }


def test_four_augmented_losses_replace_each_view_and_all_views(metaug):
    """A replaced view is augmented as an anchor; as a target it keeps its bank row."""
    method, batch = metaug(augmented_loss="four")
    features, calls, terms = terms_of(method, batch)
    tensors, views = tensors_of(method, features, calls), method.spec.views
    expected = 0
    for replaced in (*({v} for v in views), set(views)):
        mixed = {v: tensors["augmented" if v in replaced else "features"][v] for v in views}
        pairs = gathered(views, {**tensors, "features": mixed})
        expected += oucl_loss(*pairs, beta=16, gamma=0.4)
    torch.testing.assert_close(terms["augmented"], 0.5 * expected, rtol=1e-10, atol=0)
    original = oucl_loss(*gathered(views, tensors), beta=16, gamma=0.4)
    torch.testing.assert_close(terms["original"], original, rtol=1e-10, atol=0)


def test_the_pooled_augmented_loss_is_one_loss_over_all_pairs(metaug):
    method, batch = metaug(augmented_loss="pooled")
    features, calls, terms = terms_of(method, batch)
    tensors = tensors_of(method, features, calls)
    groups = [gathered(method.spec.views, tensors, kind) for kind in ("features", "augmented")]
    positives, negatives = (torch.cat(side, 1) for side in zip(*groups, strict=True))
    assert positives.shape[1] == 12
    expected = 0.5 * oucl_loss(positives, negatives, beta=16, gamma=0.4)
    torch.testing.assert_close(terms["augmented"], expected, rtol=1e-10, atol=0)


def test_the_regularization_takes_margins_of_the_whole_batch(metaug):
    """Published: margins from all original pairs, mixed pairs with an augmented anchor."""
    method, batch = metaug()
    features, calls, terms = terms_of(method, batch)
    tensors = tensors_of(method, features, calls)
    positives, negatives = gathered(method.spec.views, tensors)
    sigma = margins(positives.flatten(), negatives.flatten(), "large")
    mixed = gathered(method.spec.views, tensors, "augmented")
    expected = margin_regularization(*mixed, *sigma, positive_weight=0.7)
    torch.testing.assert_close(terms["margin"], 0.3 * expected, rtol=1e-10, atol=0)
    assert expected > 0.01


def test_the_objective_is_a_pure_function_of_features_and_rows(metaug):
    """It reads no bank and draws nothing; the MAGs' running statistics alone move."""
    method, batch = metaug(variant="released")
    features, calls, terms = terms_of(method, batch)
    before = {k: v.clone() for k, v in method.state_dict().items() if not k.startswith("mags.")}
    again = method.objective_terms(features, calls, regularised=True)
    assert all(torch.equal(again[name], value) for name, value in terms.items())
    after = method.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


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
    features = tuple(z.detach() for z in twin(views))
    twin.calls(features, step, "negatives")
    calls = twin.calls(features, step, "negatives, outer")
    terms = twin.objective_terms(features, calls, regularised=True)
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
        inner = twin.objective(twin(views), twin.calls((), step, "negatives"), regularised=True)
        slope = torch.autograd.grad(inner, list(theta.values()))
        before = {n: p.detach().clone() for n, p in theta.items()}
        with torch.no_grad():
            for p, g in zip(theta.values(), slope, strict=True):
                p -= 0.05 * g
            outer = twin.objective(
                twin(views), twin.calls((), step, "negatives, outer"), regularised=True
            )
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


def test_how_far_the_mags_moved_is_measured_from_their_start(metaug):
    method, batch = metaug(update_order="alternating")
    start = copy.deepcopy(method.mags)
    features = None
    for step in (20, 40):
        given = batch(step)
        logs = method.update(given)
        features = method(given.views(method.spec.views))
    cosines = [
        (method.mags[v](z) * start[v](z)).sum(1).mean() for v, z in method.named(features).items()
    ]
    # measured with the features that the last step of the encoders began with
    assert float(logs["mag_output_cosine"]) == pytest.approx(
        float(torch.stack(cosines).mean()), abs=0.1
    )
    flat = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (method.mags, start)]
    change = (flat[0] - flat[1]).norm() / flat[1].norm()
    torch.testing.assert_close(logs["mag_weight_change"], change)
    torch.testing.assert_close(logs["mag_weight_norm"], flat[0].norm())
    assert change > 0


@pytest.mark.parametrize("variant, moves", [("published", True), ("released", False)])
def test_the_mags_move_as_published_and_hardly_as_released(
    make_spec, ready, make_batch, variant, moves
):
    """SGD of rate 0.03 on gradients scaled by 1e-5 changes nothing; Adam divides that scale out."""
    method = ready(
        make_spec("metaug", variant=variant, update_order="alternating", mag_weight_decay=0.0)
    )
    logs = {}
    for step in range(41):
        logs |= method.update(make_batch(method, step=step))
    assert (float(logs["mag_weight_change"]) > 1e-3) == moves
    assert (float(logs["mag_output_cosine"]) < 0.999) == moves


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("update_order", ["per_pass", "alternating", "simultaneous"])
def test_looking_at_the_gradient_share_changes_nothing(metaug, monkeypatch, variant, update_order):
    states = []
    for period in (1, 10**9):
        monkeypatch.setattr(mag, "DIAGNOSTIC_PERIOD", period)
        method, batch = metaug(variant=variant, update_order=update_order)
        logs = method.update(batch())
        seen = {"augmented_gradient_share", "mag_output_cosine"} & set(logs)
        assert len(seen) == (0 if period > 1 else 1 if update_order == "per_pass" else 2)
        states.append(method.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_passes_of_few_steps_are_measured_too(make_spec, training_set, tmp_path, quiet_runtime):
    """Three steps a pass, so that every tenth step alone would miss passes of both kinds."""
    spec = make_spec("metaug", epochs=3)
    _, curve = train(spec, 0, training_set, tmp_path, quiet_runtime)
    for epoch in curve:
        assert {"augmented_gradient_share", "mag_output_cosine"} <= set(epoch)


def test_the_augmented_gradient_share_is_that_of_the_sum_of_both_norms():
    z = torch.ones(4, 3, requires_grad=True)
    terms = {"original": 3 * z.sum(), "augmented": z.sum()}
    assert float(gradient_share(terms, (z,))) == pytest.approx(1 / 4)


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
    "temperature": ({"loss": "contrastive"}, 0.2),
    "prefix": ({}, "one"),
    "negatives": ({}, 20),
    "negatives_per": ({}, "image"),
    "redraw_negatives": ({"augmented_loss": "four"}, True),
    "feature_dim": ({}, 12),
    "bank_momentum": ({}, 0.9),
    "bank_updates": ({}, "every_evaluation"),
    "alpha": ({}, 0.0),
    "delta": ({}, 0.4),
    "augmented_loss": ({}, "four"),
    "order": ({}, "first_order"),
    "update_order": ({}, "simultaneous"),
    "inner_learning_rate": ({}, None),
    "mag_hidden": ({}, 20),
    "mag_running_statistics": ({}, True),
    "encoder_running_statistics": ({}, True),
    "mag_probe_mode": ({}, "train"),
    "augmented_readout": ({}, "layer"),
    "margin_size": ({}, "small"),
    "margin_in_encoder_step": ({}, True),
    "margin_in_look_ahead": ({}, True),
    "margin_scope": ({}, "sample"),
    "margin_gradient": ({}, True),
    "margin_positive_weight": ({}, 0.1),
    "margin_pairs": ({}, "released"),
    "margin_originals": ({"redraw_negatives": True, "margin_scope": "sample"}, "overwritten"),
    # before the first step: see tests/training/test_loop.py
    "bank_start": None,
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
    return {
        **{key: torch.as_tensor(value).double() for key, value in logs.items()},
        **{key: value.double() for key, value in method.state_dict().items()},
        **method.representation(images),
    }


@pytest.mark.parametrize("name", [name for name, flip in FLIPS.items() if flip])
def test_flipping_a_hyper_parameter_alone_changes_the_numbers(metaug, name):
    base, value = FLIPS[name]
    base = {**STEP, "inner_learning_rate": 0.02, **base}
    results = [fingerprint(*metaug(**settings)) for settings in (base, {**base, name: value})]
    first, second = results
    assert first.keys() != second.keys() or any(
        value.shape != second[key].shape or not torch.allclose(value, second[key], rtol=1e-6)
        for key, value in first.items()
    )


def test_the_mags_have_their_own_optimiser(make_spec, ready):
    settings = {"mag_learning_rate": 0.2, "mag_weight_decay": 0.01}
    method = ready(make_spec("metaug", mag_optimizer="sgd", **settings))
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
    trained = {id(p) for p in method.parameters() if p.requires_grad}
    assert groups["encoder"] | groups["mag"] == trained
    assert not groups["encoder"] & groups["mag"]


def test_published_mags_have_adam_at_the_encoders_rate(make_spec, ready):
    method = ready(make_spec("metaug", learning_rate=0.02))
    (group,) = method.optimizers["mag"].param_groups
    assert type(method.optimizers["mag"]) is torch.optim.Adam
    assert (group["lr"], group["weight_decay"], group["scheduled"]) == (0.02, 0.0, True)
    released = ready(make_spec("metaug", variant="released", learning_rate=0.02))
    (group,) = released.optimizers["mag"].param_groups
    assert type(released.optimizers["mag"]) is torch.optim.SGD
    assert (group["lr"], group["weight_decay"], group["scheduled"]) == (0.03, 1e-4, False)


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


def test_the_variants_differ_in_every_value_they_list():
    published, released = VARIANTS.values()
    assert set(published) == set(released)
    assert all(published[key] != released[key] for key in published)


def test_every_discrepancy_has_a_name_and_a_text_of_its_own():
    assert len({d.name for d in DISCREPANCIES}) == len({d.text for d in DISCREPANCIES})
    assert len({d.name for d in DISCREPANCIES}) == len(DISCREPANCIES)


def test_readme_and_documentation_count_and_name_the_discrepancies():
    root = Path(__file__).parents[1]
    (count,) = re.findall(r"disagree in (\d+) places", (root / "docs/running.md").read_text())
    assert int(count) == len(DISCREPANCIES)
    text = (root / "docs/methods.md").read_text()
    assert all(f"| `{d.name}` |" in text and d.text in text for d in DISCREPANCIES)


def test_the_release_recipe_sets_all_that_a_spec_can_say(make_spec):
    spec = make_spec("metaug", preset="own")
    assert (spec.hyper["variant"], spec.views) == ("released", ("lab", "l", "ab"))
    for d in DISCREPANCIES:
        if d.where == "hyper":
            assert spec.hyper[d.name] == d.released
        elif d.where == "spec":
            assert getattr(spec, d.name) == d.released
    assert (spec.learning_rate, spec.momentum, spec.weight_decay) == (0.03, 0.9, 1e-4)
    assert (spec.schedule, spec.epochs, spec.image_size, spec.batch_size) == ("step", 300, 224, 64)
    assert (spec.width, spec.view_width, spec.hyper["feature_dim"]) == (1.0, 0.5, 128)


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
    first, second = results
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def counted(monkeypatch, target, name):
    """How often a method of an object is called."""
    calls, original = [], getattr(target, name)

    def wrapper(*arguments, **keywords):
        calls.append(name)
        return original(*arguments, **keywords)

    monkeypatch.setattr(target, name, wrapper)
    return calls


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_release_draws_negatives_anew_for_each_of_five_calls(metaug, monkeypatch, variant):
    method, batch = metaug(variant=variant)
    step = batch()
    calls = counted(monkeypatch, method.bank, "draw")
    rows = method.calls(method(step.views(method.spec.views)), step, "negatives")
    assert set(rows) == {"original", *method.spec.views, "all"}
    assert len(calls) == len({id(r) for r in rows.values()}) == (5 if variant == "released" else 1)


@pytest.mark.parametrize(
    "changes, updates",
    [
        ({"update_order": "alternating", "bank_updates": "once"}, 1),
        ({"update_order": "simultaneous", "bank_updates": "once"}, 1),
        ({"update_order": "per_pass", "bank_updates": "once"}, 1),
        ({"update_order": "per_pass", "bank_updates": "once", "pass_index": 1}, 0),
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


def test_the_release_reads_the_bank_it_has_just_updated(metaug):
    """`once`: every loss reads positives from before the step; `every_evaluation`: the losses with
    augmented features read rows that hold half of the current feature."""
    for updates in ("once", "every_evaluation"):
        method, batch = metaug(bank_updates=updates, redraw_negatives=True)
        step = batch()
        before = {v: method.bank.read(v, step.index) for v in method.spec.views}
        features = method(step.views(method.spec.views))
        calls = method.calls(features, step, "negatives")
        for v, z in method.named(features).items():
            blended = F.normalize((before[v] + z.detach()) / 2, dim=1)
            later = before[v] if updates == "once" else blended
            torch.testing.assert_close(calls["original"].own[v], before[v])
            torch.testing.assert_close(calls["all"].own[v], later)
            torch.testing.assert_close(method.bank.read(v, step.index), later)


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize(
    "update_order, pass_index, encoder, mag",
    [
        # encoders: their own step, and the inner forward pass of the look-ahead if it may
        ("alternating", 0, 2, 3),
        ("simultaneous", 0, 1, 2),
        ("per_pass", 0, 1, 1),
        ("per_pass", 1, 1, 2),
    ],
)
def test_updates_of_running_statistics_in_one_iteration(
    metaug, update_order, pass_index, encoder, mag, moved
):
    """With the switches off the encoders' step moves the encoders' alone, the MAGs' the MAGs'."""
    method, batch = metaug(
        update_order=update_order,
        pass_index=pass_index,
        mag_running_statistics=moved,
        encoder_running_statistics=moved,
    )
    method.update(batch())
    counts = {
        part: {
            int(count)
            for name, count in getattr(method, part).named_buffers()
            if name.endswith("num_batches_tracked")
        }
        for part in ("encoders", "mags", "initial_mags")
    }
    if not moved:
        encoder, mag = int(pass_index == 0), mag - int(pass_index == 0)
    assert counts == {"encoders": {encoder}, "mags": {mag}, "initial_mags": {0}}


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("readout", ["projection", "layer"])
def test_what_is_probed_with_augmented_features(make_spec, ready, mode, readout):
    """z ‖ MAG(z) beside z, or as in the release every layer h ‖ MAG(z)."""
    spec = make_spec("metaug", mag_probe_mode=mode, augmented_readout=readout)
    method = ready(spec).eval()
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        readouts = method.representation(images)
        features = method(make_views(images, method.spec.views))
        method.mags.train(mode == "train")
        mags = torch.cat(list(method.augmented(features).values()), 1)
    bases = ["conv", "fc6", "fc"] if readout == "layer" else ["projection"]
    assert set(readouts) == {
        *("conv", "fc6", "fc"),
        *bases,
        *(f"{base};features=with_augmented" for base in bases),
    }
    if readout == "projection":
        torch.testing.assert_close(readouts["projection"], torch.cat(features, 1))
    for base in bases:
        expected = torch.cat([readouts[base], mags], 1)
        torch.testing.assert_close(readouts[f"{base};features=with_augmented"], expected)


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


def test_the_histogram_counts_similarities_that_rounding_carried_past_one():
    z = torch.full((4, 16), 0.25000004)
    summary = similarity_summaries("original", {"l": z, "ab": z})
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
