"""Learning curves as CSV."""

import csv
import io


def curve_csv(curve: list[dict[str, float]]) -> str:
    """A learning curve as CSV: one row an epoch, a column for each quantity that was logged."""
    columns = list(dict.fromkeys(key for epoch in curve for key in epoch))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    return text.getvalue()
