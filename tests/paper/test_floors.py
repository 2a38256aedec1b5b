import pytest

from metaug.method import DataShape, build_method
from metaug.paper.floors import (
    floor_cells,
    floor_of,
    floor_row,
    views_of,
    views_of_all,
    with_floors,
)
from tests.paper.synthetic import plan_of, tidy

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
    specs = [
        GRID.spec("simclr", "cifar10"),
        GRID.spec("byol", "cifar10", batch_size=128, epochs=1, augmentation="simclr"),
        GRID.spec("cmc", "cifar10", learning_rate=0.5),
    ]
    floors = with_floors(GRID, specs)[3:]
    assert [floor.views for floor in floors] == [("rgb",), ("rgb", "l", "ab")]


def test_the_user_may_leave_floors_out():
    grid = plan_of("lite", methods=("simclr",)).grid
    specs = [grid.spec("simclr", "cifar10")]
    assert with_floors(grid, specs) == specs


def test_a_row_names_its_views():
    assert floor_row(("rgb",)).labels == ("Untrained, RGB",)
    assert floor_row(("lab", "l", "ab")).labels == ("Untrained, Lab + L + ab ‡",)
    assert not floor_row(("rgb",)).ranked


def test_views_are_those_of_the_methods():
    assert views_of("splitbrain") == ("l", "ab")
    assert views_of("mine") == ("rgb",)
    assert views_of_all(("metaug", "simclr", "cmc", "splitbrain")) == (
        ("rgb",),
        ("l", "ab"),
        ("rgb", "l", "ab"),
    )


def test_cells_are_found_by_the_views_in_the_setting():
    frame = tidy(
        ("random", "cifar10", "alexnet", "conv", setting, "top1", value)
        for setting, value in (("", 40.0), ("views=rgb|l|ab", 50.0), ("views=l|ab", 45.0))
    )
    wanted = [("rgb",), ("rgb", "l", "ab"), ("y", "dbdr")]
    cells = floor_cells(frame, "cifar10", {"conv": ("conv", "top1")}, wanted)
    means = {row: cell.ours.mean for (row, _), cell in cells.items()}
    assert means == {"random_rgb": 40.0, "random_rgb_l_ab": 50.0}
