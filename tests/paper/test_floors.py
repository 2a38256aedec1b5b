import pytest

from metaug.method import DataShape, build_method
from metaug.paper.floors import floor_cells, floor_of, floor_query, floor_rows
from metaug.reporting.results import Query
from tests.paper.synthetic import plan_of

GRID = plan_of("lite").grid


@pytest.mark.parametrize(
    ("method", "backbone"),
    [("simclr", "alexnet"), ("splitbrain", "alexnet"), ("metaug", "alexnet"), ("cmc", "resnet50")],
)
def test_a_floor_is_the_network_of_the_method_with_its_first_weights(method, backbone):
    spec = GRID.spec(method, "cifar10", backbone)
    built, floor = (build_method(s, DataShape(100, 10), 0) for s in (spec, floor_of(GRID, spec)))
    ours, untrained = built.encoders.state_dict(), floor.encoders.state_dict()
    assert ours.keys() == untrained.keys()
    assert all(ours[name].equal(untrained[name]) for name in ours)


def test_a_floor_has_the_data_and_the_probe_of_the_method():
    changes = {"image_size": 48, "train_images": 500, "width": 0.5, "views": ("y", "dbdr")}
    probe = GRID.scale.probe.model_copy(update={"split": "validation"})
    spec = GRID.spec("metaug", "cifar10", probe=probe, **changes)
    floor = floor_of(GRID, spec)
    assert {key: getattr(floor, key) for key in changes} == changes
    assert floor.probe == probe
    assert floor.method == "random"


def test_what_an_untrained_network_does_not_have_makes_no_second_floor():
    specs = {
        "simclr": GRID.spec("simclr", "cifar10"),
        "byol": GRID.spec("byol", "cifar10", batch_size=128, epochs=1, augmentation="simclr"),
        "cmc": GRID.spec("cmc", "cifar10", learning_rate=0.5),
    }
    cells = {(row, "conv"): Query(spec, "conv") for row, spec in specs.items()}
    floors = floor_cells(GRID, cells)
    assert list(floors) == [("random_rgb", "conv"), ("random_rgb_l_ab", "conv")]
    assert floors["random_rgb", "conv"] == floor_query(GRID, cells["byol", "conv"])


def test_the_user_may_leave_floors_out():
    grid = plan_of("lite", methods=("simclr",)).grid
    assert (
        floor_cells(grid, {("simclr", "conv"): Query(grid.spec("simclr", "cifar10"), "conv")}) == {}
    )


def test_a_row_names_its_views_and_what_else_sets_it_apart():
    specs = [
        GRID.spec("random", "cifar10"),
        GRID.spec("random", "cifar10", views=("lab", "l", "ab")),
        GRID.spec("random", "cifar10", views=("lab", "l", "ab"), image_size=64),
    ]
    cells = floor_cells(GRID, {(str(i), "conv"): Query(s, "conv") for i, s in enumerate(specs)})
    labels = {row.name: row.labels for row in floor_rows(GRID, cells)}
    assert labels == {
        "random_rgb": ("Untrained, RGB",),
        "random_lab_l_ab": ("Untrained, Lab + L + ab ‡",),
        f"random_lab_l_ab_{specs[2].hash}": ("Untrained, Lab + L + ab ‡; image_size=64",),
    }
    assert not any(row.ranked for row in floor_rows(GRID, cells))
