"""The locale of the caller, which may know 7-bit characters only, stays outside."""

import io
import os
import sys


def use_utf8() -> None:
    """Have the Python processes that this one starts read and write UTF-8; this one prints what its
    terminal cannot show in escaped form instead of stopping."""
    os.environ["PYTHONUTF8"] = "1"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
