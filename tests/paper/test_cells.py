import math

from metaug.paper.cells import dataset_of, in_columns, row_cells, specs_of, table_cells
from metaug.paper.published import printed
from metaug.reporting.results import Query
from metaug.reporting.tables import Column
from tests.paper.synthetic import NOTHING, plan_of, results_from

SPEC = plan_of("full").grid.spec("cmc", "cifar10")
CELLS = row_cells("cmc", SPEC, {"cifar10_conv": ("conv", "top1"), "cifar10_fc": ("fc", "top1")})
COLUMNS = (Column("cifar10_conv", ("conv",)), Column("cifar10_fc", ("fc",)))


def test_a_row_is_one_training_and_a_query_for_each_column():
    assert {
        ("cmc", "cifar10_conv"): Query(SPEC, "conv"),
        ("cmc", "cifar10_fc"): Query(SPEC, "fc"),
    } == CELLS
    assert specs_of(CELLS) == (SPEC,)
    assert list(in_columns(CELLS, "cifar10_fc")) == [("cmc", "cifar10_fc")]


def test_the_papers_number_stands_beside_ours_and_alone_where_we_have_none():
    results = results_from({Query(SPEC, "conv"): [50.0]})
    shown = table_cells("table1", CELLS, results, COLUMNS)
    ours = shown["cmc", "cifar10_conv"]
    assert (ours.ours.mean, ours.published) == (
        50.0,
        printed("table1")["cmc", "cifar10_conv"].value,
    )
    assert shown["simclr", "cifar10_fc"].ours.n == 0
    assert (
        shown["simclr", "cifar10_fc"].published == printed("table1")["simclr", "cifar10_fc"].value
    )
    assert not any(column.startswith("stl10") for _, column in shown)


def test_what_stands_in_for_the_papers_data_has_no_printed_number():
    shown = table_cells("table1", CELLS, NOTHING, COLUMNS, with_printed=False)
    assert set(shown) == set(CELLS)
    assert all(math.isnan(cell.published) and not cell.quoted for cell in shown.values())


def test_the_data_set_of_an_artefact_is_the_papers_or_its_stand_in():
    assert dataset_of(plan_of("full").grid, "cifar10") == "cifar10"
    assert dataset_of(plan_of("smoke").grid, "cifar10") == "digits_m"
    assert dataset_of(plan_of("lite").grid, "imagenet", "tiny_imagenet") == "tiny_imagenet"
