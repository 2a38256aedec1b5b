"""The bars of a terminal."""

from metaug.suite.bars import Bars, Job


def bars_of(log):
    """Bars that follow the job with this log, which is number 1."""
    bars = Bars([])
    bars.start(1, Job("SimCLR", log, local=False, training=None))
    return bars


def printed_at_the_end(bars, capfd):
    """The lines that are on the screen when the job has ended."""
    bars.end(1)
    bars.close()
    lines = [line.strip() for line in capfd.readouterr().err.splitlines()]
    return [line for line in lines if line]


def test_the_log_of_a_job_of_a_cluster_is_followed(tmp_path, capfd):
    log = tmp_path / "job.log"
    bars = bars_of(log)
    log.write_text("simclr on digits_m, trial 0: conv 70.17 %\nhalf ")
    bars._update()
    with log.open("a") as file:
        file.write("a line\n")
    assert printed_at_the_end(bars, capfd) == [
        *("simclr on digits_m, trial 0: conv 70.17 %", "half a line")
    ]


def test_the_log_of_a_job_that_was_requeued_is_followed_from_its_new_beginning(tmp_path, capfd):
    log = tmp_path / "job.log"
    bars = bars_of(log)
    log.write_text("simclr on digits_m, trial 0: conv 70.17 %\n")
    bars._update()
    log.write_text("trial 1: conv 71.25 %\n")
    bars._update()
    assert printed_at_the_end(bars, capfd) == [
        *("simclr on digits_m, trial 0: conv 70.17 %", "trial 1: conv 71.25 %")
    ]
