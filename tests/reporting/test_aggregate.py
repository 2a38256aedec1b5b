import math

import numpy as np
import pandas as pd
import pytest

from metaug.errors import UserError
from metaug.reporting.aggregate import (
    COLUMNS,
    cell,
    interval_of,
    load_frame,
    select,
    validate_frame,
    values_of,
    write_frame,
)
from metaug.reporting.statistics import Interval

FC = {"method": "cmc", "dataset": "cifar10", "probe": "fc", "metric": "top1"}
LOSSES = list(np.random.default_rng(0).normal(size=200))  # all digits count
CONV = FC | {"probe": "conv"}


@pytest.fixture(name="frame")
def frame_fixture(tidy) -> pd.DataFrame:
    return pd.concat(
        [
            tidy([80.1, 81.3, 80.8], probe="conv"),
            tidy([82.0, 81.0], probe="fc"),
            tidy([83.0, 84.0], probe="fc", setting="delta=0.1", spec="111111111111"),
            tidy(LOSSES, probe="", metric="train_loss"),
            tidy([70.0, 71.0, 72.0], method="metaug", spec="222222222222"),
        ],
        ignore_index=True,
    )


def test_frame_survives_a_file_exactly(frame, tmp_path):
    shuffled = frame.sample(frac=1, random_state=0)
    write_frame(shuffled, tmp_path / "trials.csv")
    loaded = load_frame(tmp_path / "trials.csv")
    assert list(loaded) == COLUMNS
    expected = frame.sort_values(COLUMNS, ignore_index=True)
    pd.testing.assert_frame_equal(loaded, expected, check_exact=True)


def test_equal_results_give_equal_bytes(frame, tmp_path):
    write_frame(frame, tmp_path / "a.csv")
    write_frame(frame.iloc[::-1], tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_no_results_yet_is_a_frame_too(frame, tmp_path):
    write_frame(frame.iloc[:0], tmp_path / "trials.csv")
    assert load_frame(tmp_path / "trials.csv").empty
    assert cell(load_frame(tmp_path / "trials.csv"), **CONV).n == 0


def test_select_gives_the_values_by_trial(frame):
    assert select(frame, **CONV).to_dict() == {0: 80.1, 1: 81.3, 2: 80.8}
    assert select(frame.iloc[::-1], **CONV).index.tolist() == [0, 1, 2]
    assert select(frame, **FC, setting="").to_dict() == {0: 82.0, 1: 81.0}
    assert select(frame, **(CONV | {"method": "byol"})).empty


def test_cell_is_mean_interval_and_count(frame):
    interval = interval_of(pd.Series([80.0, 81.0, 82.0]), ["a", "b", "a"])
    assert interval == pytest.approx((81.0, 4.302653 / 3**0.5, 3), abs=1e-5)  # t_{.975, 2}, s = 1
    assert interval.values == (80.0, 81.0, 82.0)
    assert interval.specs == ("a", "b")


def test_two_trials_have_no_interval_and_are_remembered(frame):
    interval = cell(frame, **FC, setting="")
    assert (interval.mean, interval.n) == (81.5, 2)
    assert math.isnan(interval.half_width)
    assert values_of(interval) == (82.0, 81.0)
    assert values_of(Interval(81.5, 0.5, 2)) == ()


def test_two_cells_are_never_pooled(frame):
    with pytest.raises(UserError, match=r"setting is '', 'delta=0.1'$"):
        select(frame, **FC)
    other = frame.assign(spec="333333333333", trial=frame["trial"] + 3, seed=frame["seed"] + 3)
    with pytest.raises(UserError, match="spec is '000000000000', '333333333333'"):
        select(pd.concat([frame, other]), **CONV)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (3, "value", float("nan"), "not a finite number"),
        (3, "value", float("inf"), "not a finite number"),
        (3, "value", 100.5, "outside 0 to 100"),
        (3, "value", -0.1, "outside 0 to 100"),
        (3, "scale", "lite", "another scale than row 1 \\(full\\)"),
        (3, "scale", "", "has no scale"),
        (3, "method", None, "no method"),
        (3, "probe", float("nan"), "no probe"),
        (3, "trial", -1, "no trial number"),
        (3, "seed", 0.5, "no integer seed"),
        (4, "trial", 0, "repeats the trial"),
        (4, "seed", 1000, "repeats the seed"),
    ],
)
def test_bad_row_is_refused_by_name(frame, row, column, value, message):
    frame = frame.astype({"trial": object, "seed": object})
    frame.loc[row, column] = value
    with pytest.raises(UserError, match=f"^row {row + 1} of the results .*{message}") as refusal:
        validate_frame(frame)
    assert "dataset=cifar10" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_scale_of_ones_own_is_as_good_as_another(frame):
    validate_frame(frame.assign(scale="mine"))


def test_duplicate_row_is_refused_by_name(frame):
    with pytest.raises(
        UserError, match=rf"^row {len(frame) + 1} .* repeats the trial .*trial=0 seed=1000"
    ):
        validate_frame(pd.concat([frame, frame.iloc[:1]]))


def test_a_loss_may_exceed_100_and_be_negative(frame):
    frame.loc[frame["metric"] == "train_loss", "value"] = -3.0
    frame.loc[frame.index[-4], "value"] = 1e6
    validate_frame(frame)


def test_missing_column_is_refused(frame):
    with pytest.raises(UserError, match="no column 'setting'"):
        validate_frame(frame.drop(columns="setting"))


def test_further_columns_are_allowed(frame, tmp_path):
    write_frame(frame.assign(comment="mine"), tmp_path / "trials.csv")
    assert list(load_frame(tmp_path / "trials.csv")) == COLUMNS


def test_bad_frame_is_not_written(frame, tmp_path):
    frame.loc[0, "value"] = 101.0
    with pytest.raises(UserError, match="row 1 "):
        write_frame(frame, tmp_path / "trials.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot read .*trials.csv as CSV: "),
        ('a,b\n"1,2', "trials.csv"),
        (
            ",".join(COLUMNS) + "\nfull,0,0,1,cmc,cifar10,alexnet,conv,,top1,high\n",
            "row 1 .*value=high",
        ),
        (",".join(COLUMNS) + "\nfull,0,0,1,cmc,cifar10,alexnet,conv,,top1,\n", "row 1 .*finite"),
        (",".join(COLUMNS) + "\nfull,0,0.5,1,cmc,cifar10,alexnet,conv,,top1,1\n", "row 1 .*trial"),
    ],
)
def test_bad_file_is_refused_in_one_line_that_names_it(content, message, tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as refusal:
        load_frame(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"no results at .*: train something first"):
        load_frame(tmp_path / "trials.csv")
