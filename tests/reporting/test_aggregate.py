import numpy as np
import pandas as pd
import pytest

from metaug.errors import UserError
from metaug.reporting.aggregate import COLUMNS, TEXTS, validate_frame, write_frame

LOSSES = list(np.random.default_rng(0).normal(size=200))  # all digits count


def read(path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False)


@pytest.fixture(name="frame")
def frame_fixture(tidy) -> pd.DataFrame:
    return pd.concat(
        [
            tidy([80.1, 81.3, 80.8], probe="conv"),
            tidy([82.0, 81.0], probe="fc", readout="fc"),
            tidy([83.0, 84.0], probe="fc", readout="fc", setting="delta=0.1", spec="111111111111"),
            tidy(LOSSES, probe="", readout="", metric="train_loss"),
            tidy([70.0, 71.0, 72.0], method="metaug", spec="222222222222"),
        ],
        ignore_index=True,
    )


def test_frame_survives_a_file_exactly(frame, tmp_path):
    shuffled = frame.sample(frac=1, random_state=0)
    write_frame(shuffled, tmp_path / "trials.csv")
    loaded = read(tmp_path / "trials.csv")
    assert list(loaded) == COLUMNS
    expected = frame.sort_values(COLUMNS, ignore_index=True)
    pd.testing.assert_frame_equal(loaded, expected, check_exact=True)


def test_equal_results_give_equal_bytes(frame, tmp_path):
    write_frame(frame, tmp_path / "a.csv")
    write_frame(frame.iloc[::-1], tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_no_results_yet_is_a_frame_too(frame, tmp_path):
    write_frame(frame.iloc[:0], tmp_path / "trials.csv")
    assert read(tmp_path / "trials.csv").empty


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
    assert list(read(tmp_path / "trials.csv")) == COLUMNS


def test_bad_frame_is_not_written(frame, tmp_path):
    frame.loc[0, "value"] = 101.0
    with pytest.raises(UserError, match="row 1 "):
        write_frame(frame, tmp_path / "trials.csv")
    assert list(tmp_path.iterdir()) == []
