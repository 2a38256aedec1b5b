"""The command line, and what the scripts of the workflow make of bad results."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from metaug import __main__ as cli
from metaug import config
from metaug.data.prepare import prepare
from metaug.errors import UserError
from metaug.paper.claims import CLAIMS
from metaug.reporting.results import Results
from metaug.reporting.tables import write_table
from metaug.suite.plan import Plan, load_plan
from metaug.suite.record import record_path, write_record
from metaug.suite.show import show
from tests.paper.synthetic import COMMIT, record_of, write_records

ROOT = Path(__file__).parents[1]
MEANS = {"random": 30.0, "simclr": 60.0}
BAD = {
    "a duplicate row": lambda f: pd.concat([f, f.iloc[[2]]]),
    "no accuracy": lambda f: f.assign(value=f["value"].where(f.index != 2)),
    "an accuracy above 100": lambda f: f.assign(value=f["value"].where(f.index != 2, 100.5)),
    "two scales": lambda f: f.assign(scale=f["scale"].where(f.index != 2, "lite")),
}


@pytest.fixture(name="done")
def done_fixture(plan) -> Plan:
    """Both trials of every training of `plan` have been run."""
    for spec in plan.specs_of["table1"]:
        for trial in range(plan.grid.trials):
            rows = [
                {"probe": probe, "setting": "", "metric": "top1", "value": value}
                for probe, value in (("conv", MEANS[spec.method] + trial), ("fc", 50.0 + trial))
            ]
            content = record_of(spec, trial, plan.grid.trials)
            content |= {"seed": 100 + trial, "train_seconds": 61.0, "curve": [], "rows": rows}
            write_record(record_path(plan.folder(spec), trial), spec, trial, "data", content)
    return plan


@pytest.fixture(name="run")
def run_fixture(monkeypatch, capsys):
    """Run `python -m metaug ARGUMENTS`: exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metaug", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


METHODS = ("--config", "methods=[random, simclr]")


def test_a_cell_leads_to_its_spec_trials_and_commit(done, run):
    (spec,) = (s for s in done.specs_of["table1"] if s.method == "simclr")
    status, out, err = run("show", "table1:simclr:digits_m_conv", *METHODS)
    assert (status, err) == (0, "")
    assert "60.5000 (n = 2)" in out  # two trials have no interval; they are listed below
    assert spec.hash in out
    assert '"learning_rate"' in out
    lines = [line.split() for line in out.splitlines() if COMMIT[:12] in line]
    assert [line[:3] for line in lines] == [["0", "100", "60.0000"], ["1", "101", "61.0000"]]
    assert "+ local changes" not in " ".join(lines[0])
    assert "+ local changes" in " ".join(lines[1])
    assert str(done.folder(spec)) in out


def test_a_spec_is_shown_by_its_hash(done, run):
    spec = done.specs_of["table1"][0]
    status, out, _ = run("show", spec.hash, *METHODS)
    assert status == 0
    assert f"spec {spec.hash}" in out


def test_an_artefact_lists_its_trainings(done, run):
    status, out, _ = run("show", "table1", *METHODS)
    assert status == 0
    assert len(out.splitlines()) == 1 + len(done.specs_of["table1"])
    assert "2/2" in out


def test_claims_are_shown_with_their_comparisons_and_cells(done, run):
    (spec,) = (s for s in done.specs_of["table1"] if s.method == "simclr")
    status, out, _ = run("show", "C1", *METHODS)
    assert status == 0
    assert out == run("show", "scorecard:C1", *METHODS)[1]
    assert out.startswith("C1 (Table 1), scale smoke: not run\n")
    assert re.search(r"^MetAug > SimCLR, Digits-M conv +not run +— +— +— +0$", out, re.M)
    assert re.search(rf"^simclr digits_m alexnet {spec.hash} conv top1 +2 trials$", out, re.M)
    assert re.search(r"^metaug digits_m alexnet [0-9a-f]{12} conv top1 +0 trials$", out, re.M)


def test_the_scorecard_lists_all_claims(done, run):
    status, out, _ = run("show", "scorecard", *METHODS)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [claim.id for claim in CLAIMS]


def test_a_point_of_a_figure_leads_to_its_training(done, run):
    place, query = next(iter(done.cells["figure4"].items()))
    address = ":".join(("figure4", *map(str, place)))
    status, out, _ = run("show", address, *METHODS)
    assert status == 0
    assert out.startswith(f"{address}, scale smoke\nours ")
    assert f"spec {query.spec.hash}: " in out


def content(run, *arguments: str) -> dict:
    """What a command says to scripts."""
    status, out, err = run(*arguments, "--json", *METHODS)
    assert (status, err) == (0, "")
    assert "NaN" not in out  # it is no JSON
    return json.loads(out)


def test_a_cell_is_json_for_scripts(done, run):
    (spec,) = (s for s in done.specs_of["table1"] if s.method == "simclr")
    found = content(run, "show", "table1:simclr:digits_m_conv")
    assert found["ours"] == {"mean": 60.5, "ci95": None, "n": 2}
    assert found["published"] is None
    (training,) = found["trainings"]
    assert content(run, "show", spec.hash).items() >= training.items()
    assert training["settings"] == spec.model_dump(mode="json")
    assert [trial["numbers"]["conv top1"] for trial in training["trials"]] == [60.0, 61.0]
    assert [trial["dirty"] for trial in training["trials"]] == [False, True]


def test_artefacts_points_and_claims_are_json_for_scripts(done, run):
    found = content(run, "show", "table1")
    assert (found["address"], found["scale"], found["files"]) == ("table1", "smoke", [])
    assert [training["done"] for training in found["trainings"]] == [2, 2]

    place = next(iter(done.cells["figure4"]))
    found = content(run, "show", ":".join(("figure4", *map(str, place))))
    assert len(found["trainings"]) == 1
    assert found["ours"]["n"] in (0, 2)

    claims = content(run, "show", "scorecard")["claims"]
    assert [claim["claim"] for claim in claims] == [claim.id for claim in CLAIMS]
    found = content(run, "show", "C1")
    assert found["verdict"] == claims[0]["verdict"] == "not run"
    assert {comparison["n"] for comparison in found["comparisons"]} == {0}


def test_what_is_wrong_is_no_json(done, run):
    status, out, err = run("show", "tabel1", "--json", *METHODS)
    assert (status, out) == (2, "")
    assert "did you mean 'table1'" in err


def test_a_table_that_was_rendered_stands_before_its_trainings(done, run):
    write_table(done.render("table1", done.results("table1")), "results/smoke/tables/table1")
    lines = run("show", "table1", *METHODS)[1].splitlines()
    (head,) = (i for i, line in enumerate(lines) if line.startswith("Method "))
    assert "60.00, 61.00" in lines[head + 2]
    assert lines.index("table1, scale smoke: spec, trials done, training") > head


def test_a_figure_without_trainings_says_so(project, run):
    assert run("show", "figure1")[:2] == (
        0,
        "figure1 is drawn from the code: no training is behind it\n",
    )


def shown(address: str, **config: object) -> str:
    """What is shown where all trials of the artefact have been run."""
    plan = load_plan(config)
    for spec in plan.specs_of[address.partition(":")[0]]:
        write_records(plan, spec)
    return show(plan, address)


def specs_in(text: str) -> list[str]:
    return re.findall(r"^spec ([0-9a-f]{12}): ", text, re.M)


def test_an_average_leads_to_all_its_trainings(project):
    config = {"scale": "full", "methods": ["simclr"], "trials": 2}
    text = shown("table2:simclr:average", **config)
    assert specs_in(text) == [spec.hash for spec in load_plan(config).specs_of["table2"]]
    assert "printed    84.19" in text


def test_a_difference_leads_to_both_trainings(project):
    address = "extra1:first_order:conv_difference"
    text = shown(address, methods=["metaug"])
    orders = {
        s.hash: s.hyper["order"] for s in load_plan({"methods": ["metaug"]}).specs_of["extra1"]
    }
    assert [orders[key] for key in specs_in(text)] == ["first_order", "exact"]
    reference = shown("extra1:exact:conv_difference", methods=["metaug"])
    assert "ours       0.0000: the reference that the column's differences are from" in reference


def test_what_the_paper_quotes_is_not_said_to_be_missing(project):
    text = shown("table6:cmc_quoted:l_ab_top1", scale="full", methods=["cmc"], trials=1)
    assert "the paper quotes this number from elsewhere" in text
    assert "printed    64" in text
    assert specs_in(text) == []


def test_one_trial_has_no_interval(project):
    text = shown("table1:simclr:digits_m_conv", methods=["simclr"], trials=1)
    assert re.search(r"^ours       \d+\.\d{4} \(n = 1\)$", text, re.M)
    assert "nan" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "unknown artefact or spec ''; known: C1, "),
        (("nothing",), "unknown artefact or spec 'nothing'; known: C1, "),
        (("scorecard:C16",), "scorecard has no claim 'C16'; it has C1 to C15"),
        (("table1:simclr:digits_m_conv:0",), "ARTEFACT:ROW:COLUMN"),
        (("tabel1:simclr:digits_m_conv",), "did you mean 'table1'"),
        (("table1:simclrr:digits_m_conv",), "did you mean 'simclr'"),
        (("table1:simclr:digits_m_con",), "did you mean 'digits_m_conv'"),
        (("table1:simclr",), "ARTEFACT:ROW:COLUMN"),
        (("figure5:7",), "figure5 has no numbers of these methods and data sets"),
        (("figure1:7",), "figure1 has no numbers: it is drawn from the code"),
        (("table1:byol:digits_m_conv",), "has not been run; snakemake --cores all table1"),
        (("table1", "--scale", "smok"), "did you mean 'smoke'"),
        (("table1", "--config", "trails=3"), "did you mean 'trials'"),
        (("table1", "--config", "trials"), "write KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(done, run, arguments, message):
    given = arguments if "--config" in arguments else (*arguments, *METHODS)
    status, out, err = run("show", *given)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert message in err
    assert len(err) < 400


def test_a_folder_without_a_config_has_that_of_the_suite(tmp_path, monkeypatch, run):
    """`snakemake --directory` works there, too."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run("show", "table1")
    assert (status, err) == (0, "")
    assert out.startswith("table1, scale smoke: ")


def test_without_any_config_the_folder_is_asked_for(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "_CHECKOUT", tmp_path)
    status, _, err = run("show", "table1")
    assert status == 2
    assert "run this in the folder of the Snakefile" in err


@pytest.mark.parametrize("hours", ["-1", "nan", "inf"])
def test_a_budget_that_cannot_be_spent_is_refused(project, run, hours):
    status, out, err = run("plan", "--hours", hours)
    assert (status, out) == (2, "")
    assert "hours" in err


def test_the_command_that_runs_what_is_missing_keeps_the_settings(done, run):
    _, _, err = run(
        "show", "table1:byol:cifar10_conv", "--scale", "lite", "--config", "methods=[byol]"
    )
    assert "snakemake --cores all table1 --config scale=lite 'methods=[\"byol\"]' runs what" in err


def test_records_of_other_images_are_said_not_to_count(done, run, monkeypatch):
    assert done.of_other_images() == ""
    monkeypatch.setattr(Plan, "data_digest", lambda plan, spec: "0" * 64)
    trials = len(done.specs_of["table1"]) * done.grid.trials
    wanted = f"Records of other images than those in data/ do not count: {trials} of digits_m."
    assert done.of_other_images().startswith(wanted)
    _, _, err = run("show", "table1:simclr:digits_m_conv", *METHODS)
    assert wanted in err


def test_bundles_are_exported_by_every_order_of_words(done, capsys, monkeypatch):
    for words in (["--scale", "smoke", "export", "a.zip"], ["export", "b.zip", "--scale", "smoke"]):
        monkeypatch.setattr(sys, "argv", ["metaug", "bundle", *words])
        cli.main()
    assert Path("a.zip").read_bytes() == Path("b.zip").read_bytes()
    monkeypatch.setattr(sys, "argv", ["metaug", "bundle", "import", "a.zip"])
    cli.main()
    assert f"are new in {Path('results').resolve()}" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", BAD)
def test_bad_results_are_refused_wherever_they_are_rendered(done, wrong):
    frame = BAD[wrong](done.frame("table1"))
    with pytest.raises(UserError, match=r"row \d+ of the results"):
        Results(frame)


def test_the_plan_is_printed_before_anything_is_trained(plan, run):
    status, out, err = run("plan", *METHODS)
    assert (status, err) == (0, "")  # a bar is for terminals
    jobs = len(plan.specs_of["table1"])
    pattern = rf"^table1 +4 +8 +{jobs * plan.grid.trials} +{jobs} +\d+\.\d +4\.\d GB +0\.0 GB$"
    assert re.search(pattern, out, re.M)
    assert " core-hours " in out
    assert "The cheapest useful part is on digits_m: 4 trainings, " in out
    distinct = len(plan.specs) * plan.grid.trials
    assert re.search(rf"\d+ \(cell, trial\) pairs need {distinct} distinct trainings", out)
    assert not Path("results").exists()


def test_the_plan_is_json_for_scripts(plan, run):
    found = content(run, "plan")
    assert (found["scale"], found["trials"]) == ("smoke", plan.grid.trials)
    assert set(found["artefacts"]) == set(plan.rendered) & set(plan.artefacts) - {"dots1"}
    trainings = len(plan.specs_of["table1"]) * plan.grid.trials
    assert found["artefacts"]["table1"]["trainings"] == trainings
    assert found["distinct"]["trainings"] == len(plan.specs) * plan.grid.trials
    assert found["distinct"]["hours"] > 0


def test_verify_reads_all_prepared_data_and_names_what_was_changed(project, monkeypatch, capsys):
    for size in (8, 32):
        prepare("digits_m", size, Path(f"data/digits_m-{size}"), None)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["metaug", "verify"])
    cli.main()
    assert capsys.readouterr().out == (
        "data/digits_m-32: every file is as it was written\n"
        "data/digits_m-8: every file is as it was written\n"
    )
    monkeypatch.setattr(sys, "argv", ["metaug", "verify", "data/digits_m-8"])
    with Path("data/digits_m-8/test.npy").open("r+b") as file:
        file.seek(1000)
        file.write(bytes(100))
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: data/digits_m-8/test.npy does not have the SHA-256")
    assert message.count("\n") == 1


def test_verify_says_where_nothing_is_prepared(project, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metaug", "verify"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.startswith("error: no prepared data in data/")


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word():
    ours, theirs = os.pipe()
    os.close(ours)
    found = subprocess.run(
        [sys.executable, "-m", "metaug", "claims"],
        cwd=ROOT,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    assert (found.returncode, found.stderr) == (1, "")
