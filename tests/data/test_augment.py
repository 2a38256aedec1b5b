import pytest
import torch
from torchvision.transforms import functional

from metaug.data import randaugment
from metaug.data.augment import RECIPES, Augmentation, canonical, operations_of
from metaug.data.operations import OPERATIONS, RandAugment
from metaug.errors import UserError

ALL = [*RECIPES, *OPERATIONS, "+".join(OPERATIONS)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def uint8_images(n=8, size=24):
    """Images as a prepared array gives them: uint8, channels-last."""
    array = torch.randint(256, (n, size, size, 3), generator=generator(), dtype=torch.uint8)
    return array.permute(0, 3, 1, 2)


@pytest.mark.parametrize("recipe", ALL)
def test_result_is_float_rgb_of_the_size(recipe):
    result = Augmentation(recipe, 20)(uint8_images(), generator())
    assert result.shape == (8, 3, 20, 20)
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    assert -1e-6 <= result.min() <= result.max() <= 1 + 1e-6


@pytest.mark.parametrize("recipe", ALL)
def test_same_generator_state_same_result_and_no_global_randomness(recipe):
    augmentation = Augmentation(recipe, 24)
    before = torch.get_rng_state()
    first = augmentation(uint8_images(), generator(3))
    second = augmentation(uint8_images(), generator(3))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("recipe", [r for r in ALL if r != "none"])
def test_parameters_differ_between_samples_and_between_draws(recipe):
    augmentation = Augmentation(recipe, 24)
    images = uint8_images(1).expand(64, -1, -1, -1)
    if recipe == "mixup":
        images = uint8_images(64)
    source = generator()
    first, second = augmentation(images, source), augmentation(images, source)
    assert len(first.flatten(1).unique(dim=0)) > 1
    assert not torch.equal(first, second)


@pytest.mark.parametrize("recipe", ALL)
def test_apply_is_deterministic_and_leaves_its_input_alone(recipe):
    augmentation = Augmentation(recipe, 24)
    params = augmentation.draw(8, generator())
    for images in (uint8_images(), (uint8_images() / 255).contiguous()):
        before = images.clone()
        copies = {op: {k: v.clone() for k, v in drawn.items()} for op, drawn in params.items()}
        first = augmentation.apply(images, params)
        assert torch.equal(augmentation.apply(images, params), first)
        assert torch.equal(images, before)
        for op, drawn in params.items():
            assert all(torch.equal(drawn[key], copies[op][key]) for key in drawn)


@pytest.mark.parametrize("recipe", ["none", "cmc", "simclr", "infomin"])
def test_uint8_and_float_and_every_memory_order_give_the_same(recipe):
    augmentation = Augmentation(recipe, 24)
    params = augmentation.draw(8, generator())
    images = uint8_images()
    expected = augmentation.apply(images, params)
    for same in (images.contiguous(), images / 255, (images / 255).contiguous()):
        result = augmentation.apply(same, params)
        # Posterising and equalising round to 8 bits: a hair more or less is a step there.
        close = (result - expected).abs() < 1e-5
        assert close.all() if recipe != "infomin" else close.float().mean() > 0.99


def test_none_at_the_same_size_only_scales():
    images = uint8_images()
    assert torch.equal(Augmentation("none", 24)(images, generator()), images / 255)


def test_none_at_another_size_resizes():
    images = uint8_images()
    result = Augmentation("none", 40)(images, generator())
    expected = functional.resize(images / 255, [40, 40], antialias=False)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_a_crop_of_the_whole_image_is_the_identity():
    images = uint8_images()
    params = {
        "crop": {
            "area": torch.ones(8, 10),
            "ratio": torch.ones(8, 10),
            "position": torch.rand(8, 2, generator=generator()),
        },
        "hflip": {"flip": torch.zeros(8, dtype=torch.bool)},
    }
    result = Augmentation("cmc", 24).apply(images, params)
    torch.testing.assert_close(result, images / 255, rtol=0, atol=1e-6)


def test_images_that_are_not_square_need_a_crop():
    images = uint8_images(8, 24)[:, :, :20]
    assert Augmentation("crop+rotate", 16)(images, generator()).shape == (8, 3, 16, 16)
    for recipe in ("rotate", "none"):
        message = rf"^images of 20 x 24 pixels: augmentation '{recipe}' needs square ones"
        with pytest.raises(UserError, match=message):
            Augmentation(recipe, 16)(images, generator())


# Frequencies and ranges of what is drawn.


@pytest.mark.parametrize(
    ("recipe", "operation", "key", "p"),
    [
        ("cmc", "hflip", "flip", 0.5),
        ("simclr", "jitter", "chosen", 0.8),
        ("simclr", "grey", "chosen", 0.2),
        ("grey", "grey", "chosen", 0.2),
        ("moco_v2", "blur", "chosen", 0.5),
        ("byol_1", "blur", "chosen", 1.0),
        ("byol_2", "blur", "chosen", 0.1),
        ("byol_2", "solarize", "chosen", 0.2),
    ],
)
def test_operations_are_as_frequent_as_published(recipe, operation, key, p):
    drawn = Augmentation(recipe, 24).draw(20_000, generator())[operation][key]
    assert drawn.float().mean() == pytest.approx(p, abs=0.015)


def test_the_first_crop_of_byol_is_never_solarized():
    assert "solarize" not in operations_of("byol_1")
    assert "solarize" not in operations_of("asymmetric_1")


@pytest.mark.parametrize(
    ("recipe", "low"), [("cmc", 0.2), ("moco_v2", 0.2), ("infomin", 0.2), ("simclr", 0.08)]
)
def test_areas_are_uniform_in_the_published_range(recipe, low):
    area = Augmentation(recipe, 24).draw(5000, generator())["crop"]["area"]
    assert area.min() >= low
    assert area.max() <= 1
    assert area.mean() == pytest.approx((1 + low) / 2, abs=0.01)


@pytest.mark.parametrize(
    ("recipe", "strength"),
    [
        ("simclr", (0.4, 0.4, 0.4, 0.1)),
        ("simclr_imagenet", (0.8, 0.8, 0.8, 0.2)),
        ("byol_1", (0.4, 0.4, 0.2, 0.1)),
    ],
)
def test_jitter_is_uniform_in_the_published_range(recipe, strength):
    drawn = Augmentation(recipe, 24).draw(5000, generator())["jitter"]
    for name, x in zip(("brightness", "contrast", "saturation", "hue"), strength, strict=True):
        middle = 0 if name == "hue" else 1
        assert drawn[name].min() == pytest.approx(middle - x, abs=0.01)
        assert drawn[name].max() == pytest.approx(middle + x, abs=0.01)
        assert drawn[name].mean() == pytest.approx(middle, abs=0.02)


def test_jitter_draws_every_order():
    order = Augmentation("jitter", 24).draw(2000, generator())["jitter"]["order"]
    assert len(order.unique(dim=0)) == 24


def test_blur_is_uniform_from_a_tenth_of_a_pixel_to_two():
    sigma = Augmentation("moco_v2", 24).draw(5000, generator())["blur"]["sigma"]
    assert sigma.min() == pytest.approx(0.1, abs=0.01)
    assert sigma.max() == pytest.approx(2, abs=0.01)
    assert sigma.mean() == pytest.approx(1.05, abs=0.02)


def test_randaugment_draws_every_operation_in_both_directions_as_often():
    drawn = RandAugment().draw(8000, generator())
    names = len(randaugment.OPERATIONS)
    shares = drawn["operation"].flatten().bincount(minlength=names) / 16_000
    assert (shares - 1 / names).abs().max() < 0.01
    assert drawn["strength"].unique().tolist() == pytest.approx([-0.3, 0.3])
    assert (drawn["strength"] > 0).float().mean() == pytest.approx(0.5, abs=0.02)
    assert drawn["chosen"].all()


def test_quarter_turns_are_uniform():
    turns = Augmentation("rotate", 24).draw(8000, generator())["rotate"]["turns"]
    assert (turns.bincount(minlength=4) / 8000 - 0.25).abs().max() < 0.02


@pytest.mark.parametrize("n", [2, 3, 64])
def test_mixup_partners_are_others_and_everyone_is_one(n):
    source = generator()
    for _ in range(50):
        drawn = Augmentation("mixup", 24).draw(n, source)["mixup"]
        assert (drawn["partner"] != torch.arange(n)).all()
        assert torch.equal(drawn["partner"].sort().values, torch.arange(n))
        assert drawn["lam"].min() >= 0.9
        assert drawn["lam"].max() <= 1


def test_mixup_draws_each_of_the_others_as_often():
    source, mixup = generator(), Augmentation("mixup", 24)
    partners = torch.stack([mixup.draw(5, source)["mixup"]["partner"] for _ in range(4000)])
    for i in range(5):
        share = partners[:, i].bincount(minlength=5) / 4000
        assert share[i] == 0
        assert (share[torch.arange(5) != i] - 0.25).abs().max() < 0.04


def test_mixup_of_one_image_is_refused():
    with pytest.raises(UserError, match="at least 2 images"):
        Augmentation("mixup", 24).draw(1, generator())


# What is done with it.


def test_jitter_is_torchvisions_adjustments_in_the_drawn_order():
    images = uint8_images(32)
    augmentation = Augmentation("jitter", 24)
    params = augmentation.draw(32, generator())
    drawn = params["jitter"]
    adjust = ("brightness", "contrast", "saturation", "hue")
    for i, result in enumerate(augmentation.apply(images, params)):
        expected = images[i] / 255
        for number in drawn["order"][i].tolist() if drawn["chosen"][i] else ():
            name = adjust[number]
            factor = float(drawn[name][i])
            expected = getattr(functional, f"adjust_{name}")(expected, factor)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-3)


def test_all_pixel_operations_are_torchvisions_in_the_stated_order():
    n, size = 32, 24
    images = uint8_images(n, size)
    augmentation = Augmentation("mixup+solarize+grey+blur", size)
    params = augmentation.draw(n, generator())
    expected = []
    for i, image in enumerate(images / 255):
        if params["blur"]["chosen"][i]:
            sigma = float(params["blur"]["sigma"][i])
            image = functional.gaussian_blur(image, [3, 3], [sigma, sigma])
        if params["grey"]["chosen"][i]:
            image = functional.rgb_to_grayscale(image, 3)
        if params["solarize"]["chosen"][i]:
            image = functional.solarize(image.clamp(0, 1), 0.5)
        expected.append(image)
    lam = params["mixup"]["lam"][:, None, None, None]
    mixed = (
        lam * torch.stack(expected) + (1 - lam) * torch.stack(expected)[params["mixup"]["partner"]]
    )
    torch.testing.assert_close(augmentation.apply(images, params), mixed, rtol=0, atol=1e-4)


def test_randaugment_applies_its_draws_one_after_the_other():
    images = uint8_images(16)
    augmentation = Augmentation("cmc_randaugment", 24)
    params = augmentation.draw(16, generator())
    names = randaugment.COLOR_PRESERVING
    drawn = params["randaugment"]
    expected = Augmentation("cmc", 24).apply(images, params)
    for step in range(2):
        for i in range(16):
            if drawn["chosen"][i, step]:
                expected[i : i + 1] = randaugment.apply_operations(
                    expected[i : i + 1],
                    [names[drawn["operation"][i, step]]],
                    drawn["strength"][i : i + 1, step],
                )
    result = augmentation.apply(images, params)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)


def test_randaugment_of_cmc_leaves_out_the_operations_on_colours():
    without = set(randaugment.OPERATIONS) - set(randaugment.COLOR_PRESERVING)
    assert without == {"Brightness", "Color", "Contrast", "Posterize", "Solarize", "Equalize"}
    assert RECIPES["cmc_randaugment"]["randaugment"] == RandAugment(
        count=2, level=30, p=0.5, names=randaugment.COLOR_PRESERVING
    )


def test_two_crops_can_share_the_parameters_of_one_operation():
    augmentation = Augmentation("rotate+jitter", 24)
    source = generator()
    query, key = augmentation.draw(8, source), augmentation.draw(8, source)
    shared = key | {"rotate": query["rotate"]}
    unjittered = {"jitter": query["jitter"] | {"chosen": torch.zeros(8, dtype=torch.bool)}}
    turned = augmentation.apply(uint8_images(), query | unjittered)
    assert torch.equal(augmentation.apply(uint8_images(), shared | unjittered), turned)
    assert not torch.equal(augmentation.apply(uint8_images(), key | unjittered), turned)


def test_parameters_do_not_depend_on_later_operations():
    cmc = Augmentation("cmc", 24).draw(8, generator())
    more = Augmentation("mixup+crop+hflip", 24).draw(8, generator())
    for op in ("crop", "hflip"):
        assert all(torch.equal(cmc[op][key], more[op][key]) for key in cmc[op])


# Names.


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("cmc", "cmc"),
        ("hflip+crop", "cmc"),
        ("crop+hflip", "cmc"),
        ("crop + hflip", "cmc"),
        ("none", "none"),
        ("rotate+hflip", "hflip+rotate"),
        ("mixup+hflip+crop", "crop+hflip+mixup"),
        ("grey+blur+jitter+hflip+crop", "moco_v2"),
        ("simclr", "simclr"),
    ],
)
def test_canonical_names(recipe, name):
    assert canonical(recipe) == name
    assert operations_of(name) == operations_of(recipe)


def test_every_recipe_has_settings_of_its_own_and_is_its_own_canonical_name():
    for name in RECIPES:
        assert canonical(name) == name


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("simclr2", "augmentation 'simclr2': unknown 'simclr2'; did you mean 'simclr'?"),
        ("crop+hflipp", "augmentation 'crop+hflipp': unknown 'hflipp'; did you mean 'hflip'?"),
        ("crop+gray", "augmentation 'crop+gray': unknown 'gray'; did you mean 'grey'?"),
        ("crop+crop", "augmentation 'crop+crop': 'crop' is given twice; give it once"),
        ("cmc+mixup", "augmentation 'cmc+mixup': unknown 'cmc'; known: blur, crop, grey, "),
        ("", "augmentation '': unknown ''; known: asymmetric_1, "),
    ],
)
def test_bad_recipes_are_one_clear_line(recipe, message):
    for refuse in (canonical, lambda recipe: Augmentation(recipe, 32)):
        with pytest.raises(UserError) as error:
            refuse(recipe)
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)


def test_parts_of_a_batch_are_augmented_as_in_the_whole_batch():
    pixels = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=pixels)
    augmentation = Augmentation("infomin", 32)
    whole = augmentation(images, torch.Generator().manual_seed(1))
    parts = [
        augmentation(part, torch.Generator().manual_seed(1), (index, 3))
        for index, part in enumerate(images.chunk(3))
    ]
    assert torch.equal(torch.cat(parts), whole)
