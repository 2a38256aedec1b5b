"""A learning curve is the mean of what the steps of an epoch logged."""

from metaug.training.curve import LearningCurve, curve_csv


def test_each_quantity_is_averaged_over_the_steps_that_logged_it():
    curve = LearningCurve()
    curve.add({"loss": 1.0})
    curve.add({"loss": 2.0, "distance": 7.0})
    assert curve.end_epoch(0) == {"loss": 1.5, "distance": 7.0}
    curve.add({"loss": 4.0})
    assert curve.end_epoch(1) == {"loss": 4.0}
    assert curve.rows == [
        {"epoch": 0, "loss": 1.5, "distance": 7.0},
        {"epoch": 1, "loss": 4.0},
    ]


def test_one_that_is_restored_goes_on_in_the_middle_of_an_epoch():
    curve = LearningCurve()
    curve.add({"loss": 1.0})
    curve.end_epoch(0)
    curve.add({"loss": 2.0})
    restored = LearningCurve(**curve.state())
    restored.add({"loss": 4.0})
    assert restored.end_epoch(1) == {"loss": 3.0}
    assert restored.rows == [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 3.0}]
    assert curve.rows == [{"epoch": 0, "loss": 1.0}]


def test_its_file_has_a_column_for_each_quantity_and_a_blank_where_none_was_logged():
    rows = [{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": 1.0, "distance": 7.0}]
    assert curve_csv(rows) == "epoch,loss,distance\n0,1.5,\n1,1.0,7.0\n"
