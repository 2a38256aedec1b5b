import os
import subprocess
import sys

SEVEN_BITS = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CODE = r"""
import subprocess, sys
from metaug.suite.locale import use_utf8
use_utf8()
print("\u00b1")
job = "import sys; print(sys.flags.utf8_mode, open('/dev/null').encoding)"
print(subprocess.run([sys.executable, "-c", job], capture_output=True, text=True).stdout)
"""


def test_a_7_bit_locale_stops_neither_messages_nor_jobs():
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, **SEVEN_BITS},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["\\xb1", "1", "utf-8"], done.stderr
