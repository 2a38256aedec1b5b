"""The bars of a terminal."""

from metaug.suite.bars import Bars, Job


def test_the_log_of_a_job_of_a_cluster_is_followed(tmp_path, capfd):
    log = tmp_path / "job.log"
    bars = Bars([])
    bars.start(1, Job("SimCLR", log, local=False, training=None))
    log.write_text("simclr on digits_m, trial 0: conv 70.17 %\nhalf ")
    bars._update()
    with log.open("a") as file:
        file.write("a line\n")
    bars.end(1)
    bars.close()
    printed = [line.strip() for line in capfd.readouterr().err.splitlines()]
    assert [line for line in printed if line] == [
        *("simclr on digits_m, trial 0: conv 70.17 %", "half a line")
    ]


def test_the_log_of_a_job_that_was_requeued_is_followed_from_its_new_beginning(tmp_path, capfd):
    log = tmp_path / "job.log"
    bars = Bars([])
    bars.start(1, Job("SimCLR", log, local=False, training=None))
    log.write_text("simclr on digits_m, trial 0: conv 70.17 %\n")
    bars._update()
    log.write_text("trial 1: conv 71.25 %\n")
    bars._update()
    bars.end(1)
    bars.close()
    printed = [line.strip() for line in capfd.readouterr().err.splitlines()]
    assert [line for line in printed if line] == [
        *("simclr on digits_m, trial 0: conv 70.17 %", "trial 1: conv 71.25 %")
    ]
