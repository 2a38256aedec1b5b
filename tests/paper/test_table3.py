import pytest

from metaug.paper import table2, table3
from tests.paper.printed import check_paper_is_reproduced
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    published_as_results,
    render_of,
    row_of,
    run_cells,
    specs_of,
)


@pytest.mark.parametrize("scale", ["smoke", "lite", "full"])
def test_every_cell_is_its_training(scale):
    table, shown = render_of(scale, table3), set()
    for spec in specs_of(scale, table3):
        if spec.backbone == "alexnet":
            check_cell(table, row_of(spec), "conv_top1", mean_of(spec, "conv;"))
            shown.add((row_of(spec), "conv_top1"))
        else:
            for metric in ("top1", "top5"):
                mean = mean_of(spec, "pool;", metric)
                check_cell(table, row_of(spec), f"resnet50_{metric}", mean)
                shown.add((row_of(spec), f"resnet50_{metric}"))
    assert run_cells(table) == shown


def test_the_paper_fed_back_is_the_paper(tmp_path):
    table = table3.render(plan_of("full").grid, published_as_results("table3"))
    check_paper_is_reproduced(table, "table3", tmp_path)


def test_metaug_star_and_its_base_have_the_batch_that_the_paper_states():
    specs = {s.method: s for s in specs_of("full", table3) if s.backbone == "resnet50"}
    for method in set(specs) & set(table3.LARGE_BATCH_METHODS):
        assert specs[method].batch_size == 4096
        assert specs[method].learning_rate == specs["simclr"].learning_rate
    assert specs["simclr"].batch_size == 64


def test_at_a_small_scale_they_have_the_batch_of_the_scale():
    batches = {spec.batch_size for spec in specs_of("lite", table3)}
    assert batches == {plan_of("lite").scale.spec["batch_size"]}


def test_the_stand_in_at_lite_is_tiny_imagenet():
    assert {spec.dataset for spec in specs_of("lite", table3)} == {"tiny_imagenet"}
    caption = render_of("lite", table3, trials=1).caption
    assert caption.endswith("Tiny ImageNet.")


def test_trainings_of_table_2_are_used_again_where_they_are_the_same():
    both = {s.hash for s in specs_of("smoke", table2)} & {s.hash for s in specs_of("smoke", table3)}
    assert {s.method for s in specs_of("smoke", table2) if s.hash in both} >= {"simclr", "byol"}


def test_what_is_not_known_of_metaug_star_and_of_the_quoted_recipes_is_said():
    notes = " ".join(table3.FOOTNOTES)
    for matter in ("MetAug on NNCLR", "batch of 4096", "each with its own recipe", "supervised"):
        assert matter in notes
