"""The report, also as a browser shows it."""

import html
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from matplotlib.figure import Figure

from metaug.config import Config, Scale
from metaug.grid import Grid
from metaug.reporting.claims import Claim, Outcome
from metaug.reporting.figures import Drawing
from metaug.reporting.html import sort_key
from metaug.reporting.report import CURVE_HEIGHT, CURVE_WIDTH, Training, write_report
from metaug.reporting.results import Query, Results
from metaug.reporting.statements import Finding, Statement, quantity
from metaug.reporting.statistics import Comparison
from metaug.reporting.tables import Cell, Column, Table, method_row
from tests.paper import synthetic
from tests.paper.synthetic import COMMIT, frame_of, plan_of, record_of

METHODS = {"cmc": 60.0, "metaug": 75.0, "simclr": 70.0}
TRIALS = 2


def training_of(method: str, mean: float) -> Training:
    scale = Scale.model_validate(
        {
            "name": "smoke",
            "trials": TRIALS,
            "datasets": {"digits_m": {"image_size": 32}},
            "backbones": {"alexnet": {"width": 0.125}},
            "spec": {
                "augmentation": "cmc",
                "batch_size": 8,
                "epochs": 2,
                "learning_rate": 0.01,
            },
        }
    )
    spec = Grid(scale, Config()).spec(method, "digits_m")
    records = tuple(
        {
            "trial": trial,
            **record_of(spec, trial, TRIALS),
            "curve": [{"epoch": i, "loss": 5.0 - i - trial / 2} for i in range(2)],
            "rows": [
                {"probe": "conv", "setting": "", "metric": "top1", "value": mean + trial},
                {"probe": "", "setting": "", "metric": "train_seconds", "value": 61.0},
            ],
        }
        for trial in range(TRIALS)
    )
    return Training(spec, "", records)


@pytest.fixture(scope="module")
def trainings() -> list[Training]:
    return [training_of(method, mean) for method, mean in METHODS.items()]


def tidy(trainings: list[Training]) -> pd.DataFrame:
    rows = [
        {
            "scale": "smoke",
            "spec": t.spec.hash,
            "trial": record["trial"],
            "seed": record["seed"],
            "method": t.spec.method,
            "dataset": "digits_m",
            "backbone": "alexnet",
            "probe": "conv",
            "readout": "conv",
            "setting": "",
            "metric": "top1",
            "value": record["rows"][0]["value"],
        }
        for t in trainings
        for record in t.records
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def report(trainings, tmp_path_factory) -> Path:
    results = Results(tidy(trainings))
    queries = {t.spec.method: Query(t.spec, "conv") for t in trainings}
    ours, theirs = queries["metaug"], queries["cmc"]
    table = Table(
        title="Table 1",
        caption="Accuracies.",
        scale="smoke",
        rows=tuple(method_row(method) for method in (*METHODS, "byol")),
        columns=(
            Column("digits_m_conv", ("Digits-M", "conv")),
            Column("difference", ("Digits-M", "Δ")),
        ),
        cells={
            ("metaug", "difference"): Cell(results.difference(ours, theirs)),
            **{(m, "digits_m_conv"): Cell(results.interval(q)) for m, q in queries.items()},
        },
    )
    figure = Figure(figsize=(3.25, 2))
    figure.subplots().plot([1, 2], [3, 4])
    drawing = Drawing(figure, pd.DataFrame({"x": [1, 2], "y": [3, 4]}), "A line.")
    statement = Statement("metaug > cmc", quantity(ours), quantity(theirs))
    finding = Finding(statement, Comparison(15.0, 14.0, 16.0, 5, 3.0, 0.01, 0.99))
    claim = Claim("C2", "Table 1", "MetAug is better.", lambda grid: [])
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path,
        "smoke",
        [Outcome(claim, "reproduced", (finding,), finding, (1, 2))],
        {"figure2": drawing, "figure3": drawing, "table1": table},
        {"figure2": [trainings[0].spec.hash], "figure3": ["0" * 12, "1" * 12]},
        trainings,
    )
    return path


class Page(HTMLParser):
    """Ids, links and embedded addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.hrefs: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key == "id":
                self.ids.append(value)
            elif key == "href":
                self.hrefs.append(value)
            elif key == "src":
                self.sources.append(value)


def takes_nothing_from_outside(source: str) -> bool:
    """Whether an image is drawn in the page itself and refers only to its own parts."""
    kind, _, drawing = source.partition(",")
    references = re.findall(r"(?:href=|src=|url\()'?(.)", unquote(drawing))
    return kind == "data:image/svg+xml" and {*references} == {"#"}


def test_one_file_takes_nothing_from_outside(report):
    text = report.read_text()
    page = Page(text)
    assert all(href.startswith(("#", "data:")) for href in page.hrefs)
    for source in page.sources:
        assert takes_nothing_from_outside(source)
        text = text.replace(source, "")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|<link rel=.stylesheet", text)
    assert list(report.parent.iterdir()) == [report]


def test_every_link_has_a_target_and_ids_are_unique(report):
    page = Page(report.read_text())
    assert len(set(page.ids)) == len(page.ids)
    targets = {href[1:] for href in page.hrefs if href.startswith("#")}
    assert targets <= set(page.ids)


def test_scorecard_comes_first_then_tables_then_figures(report):
    text = report.read_text()
    places = [text.index(f'<section id="{n}">') for n in ("scorecard", "table1", "figure2")]
    assert places == sorted(places)
    assert places[-1] < text.index('<section id="trainings">')
    assert "A check of the plumbing, not evidence" in text


def test_an_artefact_without_any_trial_is_named_and_not_drawn(report):
    section = re.search(r'<section id="figure3">.*?</section>', report.read_text(), re.DOTALL)[0]
    assert "Figure 3" in section
    assert "Not run: its 2 trainings have no trials yet." in section
    assert "<img" not in section


def test_every_run_cell_leads_to_its_training(report, trainings):
    text = report.read_text()
    for training in trainings:
        cell_of = re.search(rf'data-row="{training.spec.method}".*?</td>', text, re.DOTALL)[0]
        assert f'href="#{training.anchor}"' in cell_of
    assert "href" not in re.search(r'data-row="byol".*?</td>', text, re.DOTALL)[0]


def test_a_cell_of_several_trainings_leads_to_all_of_them(report, trainings):
    cell_of = re.search(r'data-row="metaug" data-column="difference".*?</td>', report.read_text())
    anchors = {t.spec.method: t.anchor for t in trainings}
    hrefs = [f"#{anchors[method]}" for method in ("metaug", "cmc")]
    assert Page(cell_of[0]).hrefs == hrefs


def test_a_claim_leads_to_the_trainings_of_its_cells(report, trainings):
    findings = re.search(r'<table class="findings">.*?</table>', report.read_text(), re.DOTALL)[0]
    anchors = {t.spec.method: t.anchor for t in trainings}
    assert f'href="#{anchors["metaug"]}"' in findings
    assert f'href="#{anchors["cmc"]}"' in findings


def test_behind_a_number_stand_seed_curve_duration_commit_device_and_spec(report, trainings):
    text = report.read_text()
    block = text[text.index(f'id="{trainings[0].anchor}"') :]
    block = block[: block.index("</details>\n</details>")]
    for wanted in ("1000", "1001", "60.00", "61.00", COMMIT[:12], "cpu", "61 s", "<polyline"):
        assert wanted in block
    assert f"{COMMIT[:12]} + local changes" in block  # the second trial only
    assert block.count("local changes") == 1
    spec = re.search(r"<pre[^>]*>(.*?)</pre>", block, re.DOTALL)[1]
    assert json.loads(html.unescape(spec)) == trainings[0].spec.model_dump(mode="json")


def test_numbers_to_sort_by_have_six_digits_at_most(report):
    keys = re.findall(r'<td class="number" data-value="([^"]*)"', report.read_text())
    assert keys
    assert keys == [sort_key(float(key)) if key else "" for key in keys]


def test_curves_stay_in_their_box(trainings):
    for training in trainings:
        for record in training.records:
            points = [tuple(map(float, p.split(","))) for p in training.curve(record).split()]
            assert len(points) == 2
            assert all(0 <= x <= CURVE_WIDTH and 0 <= y <= CURVE_HEIGHT for x, y in points)
            assert points[0][1] < points[1][1]  # a falling loss goes down the screen


def test_equal_results_give_equal_bytes(report, trainings, tmp_path):
    paths = [tmp_path / name for name in ("a.html", "b.html")]
    for path in paths:
        write_report(path, "smoke", [], {}, {}, trainings)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def chromium() -> str:
    """A browser; without one the test is skipped, or fails where METAUG_REQUIRE_BROWSER is set."""
    named = os.environ.get("CHROMIUM", "")
    names = (named, "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        give_up = pytest.fail if "METAUG_REQUIRE_BROWSER" in os.environ else pytest.skip
        give_up("no browser: install chromium, or name one in $CHROMIUM")
    return found


FRAME = """<body><iframe src="copy.html{fragment}" width="{width}" height="900"></iframe>
<output id="result"></output><script>
onmessage = (event) => document.getElementById("result").append(event.data);
</script></body>"""
"""A window is at least 500 px wide, a frame in it as narrow as a phone."""


def answer(page: Path, script: str, folder: Path, width: int, fragment: str = "") -> Any:
    """What `script` passes to `answer` in the page, shown in a real browser.

    Fails the test if anything was written to the console.
    """
    function = "const answer = (value) => parent.postMessage(JSON.stringify(value), '*');"
    tail = f"<script>{function}{script}</script></body>"
    (folder / "copy.html").write_text(page.read_text().replace("</body>", tail))
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(fragment=fragment, width=width))
    command = [
        chromium(),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={folder / 'profile'}",
        *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=4000"),
        f"--window-size={width + 100},1000",
        "--dump-dom",
        frame.as_uri(),
    ]
    environment = os.environ | {"HOME": str(folder)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    text = re.search(r'<output id="result">(.*?)</output>', done.stdout, re.DOTALL)[1]
    return json.loads(html.unescape(text))


NOT_RUN = "byol"


@pytest.fixture(scope="module")
def smoke_report(tmp_path_factory) -> Path:
    """The report of synthetic records of all trainings of the scale smoke but those of a method."""
    plan = plan_of("smoke")
    specs = [spec for spec in plan.specs.values() if spec.method != NOT_RUN]
    frame = frame_of("smoke", *plan.artefacts.values()).query("method != @NOT_RUN")
    results = Results(frame)
    path = tmp_path_factory.mktemp("smoke") / "report.html"
    write_report(
        path,
        "smoke",
        plan.decide(results),
        {name: plan.render(name, results) for name in plan.rendered},
        {name: [spec.hash for spec in specs] for name, specs in plan.specs_of.items()},
        [
            Training(
                spec,
                plan.setting(spec),
                tuple(
                    {"trial": trial, **record_of(spec, trial)} for trial in range(synthetic.TRIALS)
                ),
            )
            for spec in specs
        ],
    )
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_tables_sort_cells_lead_to_trials_and_nothing_overflows(
    smoke_report, tmp_path, width
):
    script = """
    const table = document.querySelector("#table1 table");
    const order = () => [...table.tBodies[0].rows].map(r => r.querySelector("td").dataset);
    const header = table.tHead.querySelectorAll("th[scope=col] button")[1];
    header.click(); const down = order().map(d => d.value);
    header.click(); const up = order().map(d => d.value);
    const last = order().at(-1).row;
    const link = table.querySelector('td[data-row="metaug"] a');
    link.focus(); const focused = document.activeElement === link;
    link.click();
    const images = [...document.images];
    setTimeout(() => {
      const target = document.getElementById(link.hash.slice(1));
      const page = document.documentElement;
      answer({
        down, up, last, focused, open: target.open, text: target.textContent,
        width: innerWidth, fits: page.scrollWidth <= page.clientWidth,
        drawn: images.every(image => image.complete && image.naturalWidth > 0),
        captions: images.every(image => image.closest("figure").querySelector("figcaption")),
      });
    }, 500);
    """
    found = answer(smoke_report, script, tmp_path, width)
    run = [float(value) for value in found.pop("down") if value]
    assert run == sorted(run, reverse=True)
    assert [float(value) for value in found.pop("up") if value] == run[::-1]
    assert COMMIT[:12] in found.pop("text")
    assert found == {
        "last": NOT_RUN,  # what was not run stays last
        "focused": True,
        "open": True,
        "width": width,
        "fits": True,
        "drawn": True,
        "captions": True,
    }


def test_in_a_browser_an_address_with_a_training_opens_it(report, trainings, tmp_path):
    anchor = trainings[1].anchor
    script = """
    setTimeout(() => {
      answer([...document.querySelectorAll("details.training[open]")].map(d => d.id));
    }, 500);
    """
    assert answer(report, script, tmp_path, 1280, f"#{anchor}") == [anchor]
