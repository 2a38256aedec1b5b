import math

import pytest

from metaug.paper.published import NOT_PRINTED, load_published, published_value

# Read from the paper's Table 1 by another hand than published.csv: (value, ci95, quoted).
TABLE_1 = {
    ("bigan", "tiny_imagenet", "conv"): (24.38, None, True),
    ("nat", "cifar10", "fc"): (51.29, None, True),
    ("dim", "stl10", "fc"): (70.85, None, True),
    ("splitbrain", "cifar100", "conv"): (51.74, None, True),
    ("swav", "stl10", "conv"): (70.32, 0.4, False),
    ("simclr", "tiny_imagenet", "fc"): (39.83, 0.1, False),
    ("cmc", "stl10", "conv"): (83.03, None, True),
    ("cmc", "cifar100", "fc"): (56.72, 0.3, False),
    ("moco", "cifar10", "conv"): (76.37, 0.3, False),
    ("byol", "tiny_imagenet", "fc"): (41.90, 0.1, False),
    ("barlow_twins", "cifar10", "fc"): (78.49, 0.2, False),
    ("dacl", "stl10", "fc"): (80.01, 0.3, False),
    ("looc", "tiny_imagenet", "conv"): (42.04, 0.1, False),
    ("simclr_debiased", "cifar100", "fc"): (51.09, 0.2, False),
    ("simclr_hard", "cifar10", "fc"): (82.76, 0.1, False),
    ("cmc_debiased", "stl10", "conv"): (83.79, 0.3, False),
    ("cmc_hard", "cifar100", "conv"): (58.97, 0.3, False),
    ("metaug_oucl", "stl10", "fc"): (84.72, 0.3, False),
    ("metaug", "cifar100", "fc"): (61.06, 0.2, False),
}


@pytest.mark.parametrize("cell", TABLE_1)
def test_table_1_is_transcribed(cell):
    value, ci95, quoted = TABLE_1[cell]
    printed = published_value("table1", *cell, "top1")
    assert (printed.value, printed.quoted) == (value, quoted)
    assert math.isnan(printed.ci95) if ci95 is None else printed.ci95 == ci95


def test_table_1_is_whole():
    table = load_published().query("artefact == 'table1'")
    assert table["method"].nunique() == 19
    assert len(table) == 18 * 8 + 4
    assert table["value"].between(0, 100).all()


def test_types():
    published = load_published()
    assert str(published["value"].dtype) == str(published["ci95"].dtype) == "float64"
    assert published["quoted"].dtype == bool
    texts = published.drop(columns=["value", "ci95", "quoted"])
    assert texts.map(lambda text: isinstance(text, str)).all().all()


def test_a_changed_copy_does_not_change_the_paper():
    mine = load_published()
    mine["value"] = 0.0
    assert published_value("table1", "metaug", "cifar10", "conv", "top1").value == 87.87


def test_supervised_has_one_number_for_both_read_outs():
    for probe in ("conv", "fc"):
        assert published_value("table1", "supervised", "cifar10", probe, "top1").value == 75.39


def test_averages_of_table_2_are_the_means_of_its_columns():
    table = load_published().query("artefact == 'table2'")
    for method in table["method"].unique():
        cifar10, stl10, average = (
            published_value("table2", method, dataset, "resnet50", "top1").value
            for dataset in ("cifar10", "stl10", "average")
        )
        assert average == pytest.approx((cifar10 + stl10) / 2, abs=0.0051)


def test_settings_and_metrics_tell_cells_apart():
    assert published_value("table3", "byol", "imagenet", "resnet50", "top5").value == 91.6
    crop = published_value("table4", "looc", "cifar10", "fc", "top1", "crop")
    assert crop.value == 81.16


def test_table_6_prints_cmc_twice():
    cell = ("table6", "cmc", "imagenet", "resnet50", "top1", "views=L,ab")
    assert published_value(*cell, quoted=True).value == 64.0
    assert published_value(*cell, quoted=False).value == 63.3
    with pytest.raises(ValueError, match="2 numbers"):
        published_value(*cell)


def test_what_the_paper_does_not_print_is_nan():
    assert published_value("table1", "random", "cifar10", "conv", "top1") is NOT_PRINTED
    assert math.isnan(NOT_PRINTED.value) and not NOT_PRINTED.quoted


def test_unknown_artefact_is_refused():
    with pytest.raises(ValueError, match="table9"):
        published_value("table9", "cmc", "cifar10", "conv", "top1")
