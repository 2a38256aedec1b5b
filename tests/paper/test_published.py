import math

import pytest

from metaug.paper.published import NOT_PRINTED, load_published, printed
from tests.paper.synthetic import plan_of, render_nothing

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
    method, dataset, probe = cell
    found = printed("table1")[method, f"{dataset}_{probe}"]
    assert (found.value, found.quoted) == (value, quoted)
    assert math.isnan(found.ci95) if ci95 is None else found.ci95 == ci95


def test_table_1_is_whole():
    table = load_published().query("artefact == 'table1'")
    assert table["row"].nunique() == 19
    assert len(table) == 19 * 8
    assert table["value"].between(0, 100).all()


def test_types():
    published = load_published()
    assert str(published["value"].dtype) == str(published["ci95"].dtype) == "float64"
    assert published["quoted"].dtype == bool
    texts = published.drop(columns=["value", "ci95", "quoted"])
    assert texts.map(lambda text: isinstance(text, str)).all().all()


def test_supervised_has_one_number_for_both_read_outs():
    paper = printed("table1")
    for dataset in ("tiny_imagenet", "stl10", "cifar10", "cifar100"):
        numbers = {paper["supervised", f"{dataset}_{probe}"] for probe in ("conv", "fc")}
        assert len(numbers) == 1 or any(math.isnan(n.ci95) for n in numbers)
    assert paper["supervised", "cifar10_fc"].value == 75.39


def test_averages_of_table_2_are_the_means_of_its_columns():
    paper = printed("table2")
    for method in {row for row, _ in paper}:
        mean = (paper[method, "cifar10"].value + paper[method, "stl10"].value) / 2
        assert paper[method, "average"].value == pytest.approx(mean, abs=0.0051)


def test_rows_and_columns_tell_numbers_apart():
    assert printed("table3")["byol", "resnet50_top5"].value == 91.6
    assert printed("table4")["set2", "looc"].value == 81.16


def test_table_6_prints_cmc_twice():
    paper = printed("table6")
    assert paper["cmc_quoted", "l_ab_top1"] == (64.0, pytest.approx(math.nan, nan_ok=True), True)
    assert paper["cmc", "l_ab_top1"].value == 63.3
    assert not paper["cmc", "l_ab_top1"].quoted


def test_what_the_paper_does_not_print_is_nan():
    assert ("random_rgb", "cifar10_conv") not in printed("table1")
    assert math.isnan(NOT_PRINTED.value) and not NOT_PRINTED.quoted


def test_unknown_artefact_is_refused():
    with pytest.raises(ValueError, match="table9"):
        printed("table9")


@pytest.mark.parametrize("number", range(1, 7))
def test_every_printed_number_is_in_its_place_of_our_table(number):
    name = f"table{number}"
    table = render_nothing(plan_of("full").modules[name])
    places = {(row.name, column.name) for row in table.rows for column in table.columns}
    assert set(printed(name)) <= places
    for place, value in printed(name).items():
        assert table.cells[place].published == value.value


@pytest.mark.parametrize("number", range(1, 7))
def test_only_averages_and_quotations_are_printed_and_not_asked_for(number):
    name = f"table{number}"
    alone = set(printed(name)) - set(plan_of("full").cells[name])
    assert all(column == "average" or row.endswith("_quoted") for row, column in alone)
    assert bool(alone) == (number in (2, 6))
