"""What a user reads while Snakemake works, and after it."""

import errno
import os
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.workflow.conftest import Project
from tests.workflow.test_data import error_lines

CONFIG = ("--config", "methods=[random, simclr]")
NOISE = r"localrule|jobid|resources|Select jobs|Provided cores|reason:|SNAKEMAKE|trial_000.json"


def in_terminal(project: Project, *arguments: str, columns: int = 100) -> tuple[int, str]:
    """Run Snakemake in a terminal: exit status, and all that was written to it."""
    terminal, its_end = os.openpty()
    termios.tcsetwinsize(its_end, (40, columns))
    outside = ("METAUG_DATA_ROOT", "COLUMNS", "LINES")  # the last two override a terminal's size
    environment = {key: value for key, value in os.environ.items() if key not in outside}
    environment |= {"PYTHONPATH": str(project.folder), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=project.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError as error:
            assert error.errno == errno.EIO  # the last writer has ended
            break
        if not part:
            break
        written += part
    os.close(terminal)
    return process.wait(), written.decode()


def shown(written: str) -> list[str]:
    """The lines that were written, without colours, and every state of the bars as lines, too."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain)]


@pytest.mark.end_to_end
def test_a_terminal_shows_bars_a_line_for_each_trial_and_the_table(fresh: Project) -> None:
    status, written = in_terminal(fresh, "table1", *CONFIG)
    assert status == 0
    lines = shown(written)
    assert "table1 at scale smoke: 4 trials to train" in lines
    assert any(re.search(r"^\S all trials +━+.* 0 of 4", line) for line in lines)
    assert any(re.search(r"^\S SimCLR, Digits-M +━+.* trial [12] of 2", line) for line in lines)
    assert any(re.search(r"about .* left$", line) for line in lines)
    trials = [line for line in lines if re.match(r"simclr on digits_m, trial \d: conv", line)]
    assert len(trials) == 2
    assert all(len(line) <= 100 for line in trials)
    assert not re.search(NOISE, written)

    (head,) = (i for i, line in enumerate(lines) if line.startswith("Method "))
    assert [line.split("  ")[0] for line in lines[head + 2 : head + 4]] == [
        *("SimCLR", "Untrained, RGB")
    ]
    assert "table1: results/smoke/tables/table1.{csv,md,tex,html}" in lines
    assert "  make lite DATA=DIR" in lines
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h")  # the cursor is back


@pytest.mark.end_to_end
def test_what_is_done_is_shown_again(finished: Project) -> None:
    status, written = in_terminal(finished, "table1", *CONFIG, columns=60)
    assert status == 0
    lines = shown(written)
    assert "Nothing to be done: every file is up to date." in lines
    assert any(line.startswith("SimCLR ") for line in lines)
    (end,) = (i for i, line in enumerate(lines) if line.startswith("table1: "))
    assert max(map(len, lines[1:end])) <= 60  # addresses and commands are not broken into lines
    assert not any("all trials" in line for line in lines)


@pytest.mark.end_to_end
def test_elsewhere_output_is_short_and_plain(fresh: Project) -> None:
    done = fresh.table1()
    assert "\x1b" not in done.stdout + done.stderr
    assert not re.search(NOISE, done.stdout + done.stderr)
    assert len(done.stderr.splitlines()) == 2  # Snakemake's profile; what is to do
    # the data, each trial, the table
    assert len(done.stdout.splitlines()) == 1 + 4 + 1
    assert done.stdout.endswith("table1: results/smoke/tables/table1.{csv,md,tex,html}\n")


@pytest.mark.end_to_end
@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_wrong_is_one_line_and_said_once(fresh: Project, terminal: bool) -> None:
    arguments = ("table1", *CONFIG, "scale=lite", "datasets=[cifar10]", "data_root=/nowhere")
    if terminal:
        status, text = in_terminal(fresh, *arguments, columns=200)
    else:
        done = fresh.snakemake(*arguments)
        status, text = done.returncode, done.stdout + done.stderr
    assert status == 1
    lines = shown(text)
    (error,) = error_lines("\n".join(lines))
    assert error.startswith("error: data_root /nowhere does not exist: correct it in")
    assert "failed: preparing cifar10; its log is logs/prepare/cifar10-32.log" in lines
    assert any(line.startswith("1 job failed, for the reasons above.") for line in lines)
    assert not re.search("Traceback|CalledProcessError|RuleException|Exiting because", text)


@pytest.mark.end_to_end
def test_a_wrong_config_is_one_line(fresh: Project) -> None:
    status, written = in_terminal(fresh, "table1", "--config", "methods=[simclrr]")
    assert status == 2
    assert error_lines("\n".join(shown(written))) == [
        "error: unknown method 'simclrr'; did you mean 'simclr'?"
    ]


@pytest.mark.end_to_end
def test_a_wrong_target_is_one_line(fresh: Project) -> None:
    status, written = in_terminal(fresh, "tabel1")
    assert status == 1
    assert error_lines("\n".join(shown(written))) == [
        "error: unknown target 'tabel1'; did you mean 'table1'?"
    ]


@pytest.mark.end_to_end
@pytest.mark.parametrize("option", ["--dry-run", "--printshellcmds"])
def test_snakemakes_own_report_can_be_asked_for(finished: Project, option: str) -> None:
    (finished.folder / "results/smoke/tables/table1.md").unlink()
    done = finished.snakemake("table1", option, *CONFIG)
    assert done.returncode == 0, done.stderr
    assert re.search(r"rule table:\n    input: ", done.stdout + done.stderr)


@pytest.mark.end_to_end
def test_another_logger_is_left_alone(finished: Project, tmp_path: Path) -> None:
    plugin = finished.folder / "snakemake_logger_plugin_other"
    plugin.mkdir()
    (plugin / "__init__.py").write_text(
        "import sys\n"
        "from snakemake_interface_logger_plugins.base import LogHandlerBase\n"
        "class LogHandler(LogHandlerBase):\n"
        "    writes_to_stream, writes_to_file = True, False\n"
        "    has_filter = has_formatter = True\n"
        "    needs_rulegraph = False\n"
        "    def emit(self, record):\n"
        "        print('other:', record.getMessage()[:20], file=sys.stderr)\n"
    )
    done = finished.snakemake("table1", "--logger", "other", *CONFIG)
    assert done.returncode == 0, done.stderr
    assert "other: Nothing to be done" in done.stderr
