import errno
import fcntl
import multiprocessing
import os
import signal
import time

import pytest

from metaug.errors import UserError
from metaug.files import atomic_path, exclusive

fork = multiprocessing.get_context("fork")


def holding(path):
    """A process that holds the lock until the returned event is set."""
    held, release = fork.Event(), fork.Event()

    def hold():
        with exclusive(path):
            held.set()
            release.wait(60)

    process = fork.Process(target=hold)
    process.start()
    assert held.wait(60)
    return process, release


def test_a_lock_that_is_held_names_the_process_that_holds_it(tmp_path):
    process, release = holding(tmp_path / "lock")
    expected = f"^process {process.pid} is working in {tmp_path}; "
    with pytest.raises(UserError, match=expected), exclusive(tmp_path / "lock"):
        raise AssertionError("two processes got in")
    release.set()
    process.join()
    with exclusive(tmp_path / "lock"):
        pass


def test_who_waits_gets_the_lock_when_its_holder_is_killed(tmp_path, capsys):
    process, _ = holding(tmp_path / "lock")
    killer = fork.Process(target=lambda: (time.sleep(0.3), process.kill()))
    killer.start()
    with exclusive(tmp_path / "lock", wait=True):
        killer.join()
    process.join()
    assert capsys.readouterr().out == (
        f"waiting for process {process.pid}, which is working in {tmp_path}\n"
    )


def test_who_has_opened_the_lock_file_before_its_release_still_shuts_others_out(tmp_path):
    """With the file removed at the release, the late one would lock a file without a name."""
    with exclusive(tmp_path / "lock"):
        late = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(late, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="is working in"), exclusive(tmp_path / "lock"):
        raise AssertionError("two processes got in")
    os.close(late)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path, monkeypatch, capsys, number
):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(tmp_path / "lock"):
        message = capsys.readouterr().err
    assert message.startswith(f"warning: cannot lock {tmp_path / 'lock'} ({os.strerror(number)})")
    assert message.count("\n") == 1


def test_a_lock_file_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file/lock"
    with pytest.raises(UserError, match=f"cannot write {path}"), exclusive(path):
        raise AssertionError("no lock was needed")


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    def killed():
        with atomic_path(tmp_path / "a[1].csv") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    process = fork.Process(target=killed)
    process.start()
    process.join()
    (leftover,) = tmp_path.iterdir()
    ours = leftover.with_name(leftover.name.replace(str(process.pid), str(os.getpid())))
    ours.write_text("of a process that runs")
    elsewhere = tmp_path / ".a[1].csv.another-host.1.tmp"
    elsewhere.write_text("of another host")
    with atomic_path(tmp_path / "a[1].csv") as temporary:
        assert temporary == ours
        assert not leftover.exists()
        temporary.write_text("whole")
    assert sorted(tmp_path.iterdir()) == [elsewhere, tmp_path / "a[1].csv"]
