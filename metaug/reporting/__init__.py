"""Statistics, tables, figures, the scorecard and the report."""

import os
from importlib.util import find_spec
from pathlib import Path

# Matplotlib reads these when it is imported. The backend of a notebook need not exist here, and a
# user's matplotlibrc would change the figures.
os.environ["MPLBACKEND"] = "agg"
if (_matplotlib := find_spec("matplotlib")) and _matplotlib.origin:
    os.environ["MATPLOTLIBRC"] = str(Path(_matplotlib.origin).parent / "mpl-data")
