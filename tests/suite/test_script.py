"""A script of the workflow ends in one line and leaves no orphan."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metaug.suite import script as script_module
from metaug.suite.script import script

CODE = """
import sys, time
from metaug.suite.script import script
with script("log"):
    print("ready", flush=True)
    time.sleep(60)
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CODE!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_script_in_one_line(tmp_path, number):
    with subprocess.Popen(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert error == f"stopped by {number.name}; the same command goes on from here\n"
    assert error in (tmp_path / "log").read_text()


def test_an_unexpected_error_is_in_the_log_with_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(script_module, "stop_on_signals", lambda: None)
    log = tmp_path / "log"
    with pytest.raises(RuntimeError), script(str(log)):
        print("before")
        raise RuntimeError("CUDA out of memory\nTried to allocate 2 GiB")
    text = log.read_text()
    assert text.startswith("before\nTraceback (most recent call last)")
    assert text.endswith("error: RuntimeError: CUDA out of memory\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of it")
def test_a_script_does_not_outlive_its_parent(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)
    assert "stopped by SIGTERM" in (tmp_path / "log").read_text()


def _runs(number):
    try:
        status = Path(f"/proc/{number}/stat").read_text()
        return status.split()[2] != "Z"  # nobody may be there to collect it
    except FileNotFoundError:
        return False
