import json
import zipfile
from pathlib import Path

import pytest

from metaug.errors import UserError
from metaug.paper import table1
from metaug.reporting.tables import write_table
from metaug.spec import TrialSpec
from metaug.suite.bundle import DESCRIPTION, RECORDS, Imported, import_bundle, write_bundle
from metaug.suite.record import record_path, write_record
from metaug.suite.schedule import Schedule
from tests.paper.synthetic import plan_of, record_of

PLAN = plan_of("lite")
SPECS = [PLAN.grid.spec(method, "cifar10") for method in ("simclr", "cmc")]
TRIALS = 3


@pytest.fixture(name="project", autouse=True)
def project_fixture(tmp_path, monkeypatch) -> Path:
    """A folder with the records of two trainings."""
    monkeypatch.chdir(tmp_path)
    for spec in SPECS:
        for trial in range(TRIALS):
            write(spec, trial)
    return tmp_path


def write(spec, trial, results="results", **changes) -> Path:
    path = record_path(Path(results) / spec.scale / "trials" / spec.hash, trial)
    write_record(path, spec, trial, "0" * 64, record_of(spec, trial, TRIALS) | changes)
    return path


def rewritten(change, sums_too=False) -> Path:
    """A bundle whose records were changed line by line, with or without the sum."""
    write_bundle("lite", Path("bundle.zip"))
    with zipfile.ZipFile("bundle.zip") as bundle:
        description, records = bundle.read(DESCRIPTION).decode(), bundle.read(RECORDS).decode()
    lines = [json.dumps(change(json.loads(line))) for line in records.splitlines()]
    data = "".join(f"{line}\n" for line in lines).encode()
    if sums_too:
        import hashlib

        graph = json.loads(description)
        for entity in graph["@graph"]:
            if entity["@id"] == RECORDS:
                entity["sha256"] = hashlib.sha256(data).hexdigest()
        description = json.dumps(graph)
    with zipfile.ZipFile("changed.zip", "w") as bundle:
        bundle.writestr(DESCRIPTION, description)
        bundle.writestr(RECORDS, data)
    return Path("changed.zip")


def test_records_come_back_as_they_were(project):
    assert write_bundle("lite", Path("bundle.zip")) == 2 * TRIALS
    assert import_bundle(Path("bundle.zip"), Path("elsewhere")) == Imported(2 * TRIALS, 0, 0)
    for path in Path("results").rglob("*.json"):
        theirs = Path("elsewhere") / path.relative_to("results")
        assert json.loads(theirs.read_text()) == json.loads(path.read_text())


def test_equal_records_give_equal_bytes():
    for name in ("a.zip", "b.zip"):
        write_bundle("lite", Path(name))
    assert Path("a.zip").read_bytes() == Path("b.zip").read_bytes()


def test_what_is_there_already_is_left_alone():
    write_bundle("lite", Path("bundle.zip"))
    before = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*.json")}
    assert import_bundle(Path("bundle.zip")) == Imported(0, 2 * TRIALS, 0)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_trials_of_two_laboratories_are_pooled():
    write_bundle("lite", Path("bundle.zip"))
    path = write(SPECS[0], 0, results="theirs")
    assert import_bundle(Path("bundle.zip"), Path("theirs")) == Imported(2 * TRIALS - 1, 1, 0)
    assert path.exists()


def test_no_data_are_asked_for_where_every_trial_has_its_record():
    plan = plan_of("lite", trials=TRIALS)
    assert plan.training_data(SPECS[0].hash) == []
    path = record_path(plan.folder(SPECS[0]), 1)
    path.unlink()
    (manifest,) = plan.training_data(SPECS[0].hash)
    assert manifest == Path("data/cifar10-32/manifest.json")


def test_the_data_are_asked_for_where_a_budget_trains_more_than_the_bundle_has():
    """Trials 0 to 3 came from elsewhere; a run with a budget trains number 4."""
    plan = plan_of("lite", trials=None, hours=1)
    spec = SPECS[0].hash
    manifest = Path("data/cifar10-32/manifest.json")
    plan.schedule = Schedule(hours=1.0, trials={spec: [*range(TRIALS), TRIALS]}, planned_hours=0.1)
    assert plan.training_data(spec) == [manifest]
    plan.schedule = Schedule(hours=1.0, trials={spec: [*range(TRIALS)]}, planned_hours=0.1)
    assert plan.training_data(spec) == []
    plan.schedule = Schedule(hours=1.0, trials={}, planned_hours=0.0)
    assert plan.training_data(spec) == []


def test_another_checkout_has_nothing_left_to_train_and_the_same_table(project, monkeypatch):
    def table() -> str:
        write_table(table1.render(PLAN.grid, PLAN.results("table1")), "table1")
        return Path("table1.csv").read_text()

    write_bundle("lite", project / "bundle.zip")
    ours = table()
    elsewhere = project / "other" / "folder"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert table() != ours
    import_bundle(project / "bundle.zip")
    assert table() == ours
    assert [PLAN.done(spec) for spec in SPECS] == [frozenset(range(TRIALS))] * len(SPECS)


def test_records_that_contradict_ours_are_refused_by_name_and_nothing_is_written():
    write_bundle("lite", Path("bundle.zip"))
    rows = [{"probe": "conv", "setting": "", "metric": "top1", "value": 1.0}]
    write(SPECS[1], 2, results="ours", rows=rows)
    with pytest.raises(UserError, match=rf"trial 2 of cmc on cifar10 \(spec {SPECS[1].hash}\) has"):
        import_bundle(Path("bundle.zip"), Path("ours"))
    assert len([*Path("ours").rglob("*.json")]) == 1


def test_all_that_contradict_ours_are_named_at_once():
    write_bundle("lite", Path("bundle.zip"))
    rows = [{"probe": "conv", "setting": "", "metric": "top1", "value": 1.0}]
    ours = [str(write(SPECS[1], trial, results="ours", rows=rows)) for trial in (1, 2)]
    with pytest.raises(UserError, match=f"and so have 1 more; .* remove {' '.join(ours)}$"):
        import_bundle(Path("bundle.zip"), Path("ours"))


def test_a_bundle_with_other_numbers_than_ours_is_not_written_over():
    write_bundle("lite", Path("bundle.zip"))
    before = Path("bundle.zip").read_bytes()
    rows = [{"probe": "conv", "setting": "", "metric": "top1", "value": 1.0}]
    write(SPECS[1], 2, rows=rows)
    text = rf"other numbers than ours in 1 record \(the first is trial 2 of spec {SPECS[1].hash}\)"
    with pytest.raises(UserError, match=text):
        write_bundle("lite", Path("bundle.zip"))
    assert Path("bundle.zip").read_bytes() == before


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_changed_byte_of_a_bundle_is_one_line(place):
    write_bundle("lite", Path("bundle.zip"))
    content = bytearray(Path("bundle.zip").read_bytes())
    content[int(place * len(content))] ^= 255
    Path("bundle.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"^bundle.zip"):
        import_bundle(Path("bundle.zip"), Path("elsewhere"))
    assert not Path("elsewhere").exists()


def test_another_run_of_the_same_trial_contradicts_nothing_by_its_times():
    write_bundle("lite", Path("bundle.zip"))
    rows = record_of(SPECS[0], 0, TRIALS)["rows"]
    times = [row for row in rows if row["metric"] == "train_seconds"]
    assert times
    for row in times:
        row["value"] *= 2
    write(SPECS[0], 0, results="ours", rows=rows)
    assert import_bundle(Path("bundle.zip"), Path("ours")) == Imported(2 * TRIALS - 1, 1, 0)


def test_a_tampered_bundle_is_refused():
    def better(record):
        record["rows"][0]["value"] += 1
        return record

    with pytest.raises(UserError, match=r"records.jsonl does not have its SHA-256 sum"):
        import_bundle(rewritten(better))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record | {"hash": "0" * 12},
        lambda record: record | {"trial": -1},
        lambda record: record | {"trial": "../../../evil"},
        lambda record: record | {"spec": record["spec"] | {"scale": "../../evil"}},
        lambda record: record | {"spec": record["spec"] | {"epochs": 1}},
        lambda record: record | {"format": 99},
        lambda record: {"hash": record["hash"]},
        lambda record: [],
    ],
)
def test_a_record_that_is_not_what_it_says_is_refused_and_nothing_is_written(change, project):
    path = rewritten(change, sums_too=True)
    with pytest.raises(UserError, match=r"^changed.zip: "):
        import_bundle(path, Path("elsewhere"))
    assert not Path("elsewhere").exists()
    assert not (project.parent / "evil").exists()


@pytest.mark.parametrize("key", ["method_version", "protocol_version"])
def test_records_of_a_superseded_version_are_counted_and_left_out(key):
    old = SPECS[0].model_copy(update={key: 99})
    write(old, 0)
    assert write_bundle("lite", Path("bundle.zip")) == 2 * TRIALS
    path = rewritten(
        lambda record: record | {"spec": old.model_dump(mode="json"), "hash": old.hash}, True
    )
    assert import_bundle(path, Path("elsewhere")) == Imported(0, 0, 2 * TRIALS)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../evil": b""}, "is no bundle: it holds ../evil"),
        ({DESCRIPTION: b"{}", RECORDS: b"", "more": b""}, "is no bundle: it holds more"),
        ({DESCRIPTION: b"not JSON", RECORDS: b""}, "is no bundle: "),
    ],
)
def test_another_zip_file_is_no_bundle(members, message):
    with zipfile.ZipFile("other.zip", "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    with pytest.raises(UserError, match=message):
        import_bundle(Path("other.zip"))


def test_an_export_loses_no_records_and_no_other_file(project):
    write_bundle("lite", Path("bundle.zip"))
    lost = next(Path("results/lite/trials").glob("*/trial_001.json"))
    record = lost.read_text()
    lost.unlink()
    before = Path("bundle.zip").read_bytes()
    with pytest.raises(UserError, match=r"bundle.zip has 1 records that are not here .* import"):
        write_bundle("lite", Path("bundle.zip"))
    assert Path("bundle.zip").read_bytes() == before
    lost.write_text(record)
    assert write_bundle("lite", Path("bundle.zip")) == 2 * TRIALS
    Path("notes.md").write_text("precious")
    with pytest.raises(UserError, match=r"notes.md is no bundle: .* name another file"):
        write_bundle("lite", Path("notes.md"))
    assert Path("notes.md").read_text() == "precious"


def test_another_file_or_none_is_no_bundle():
    Path("text.zip").write_text("hello")
    with pytest.raises(UserError, match=r"text.zip is no bundle: "):
        import_bundle(Path("text.zip"))
    with pytest.raises(UserError, match=r"no file missing.zip"):
        import_bundle(Path("missing.zip"))
    with pytest.raises(UserError, match="no records of scale 'full'"):
        write_bundle("full", Path("bundle.zip"))


def test_a_scale_that_leads_out_of_the_results_is_refused(project):
    def evil(record):
        spec = TrialSpec.model_validate(record["spec"] | {"scale": "../../evil"})
        return record | {"spec": spec.model_dump(mode="json"), "hash": spec.hash}

    with pytest.raises(UserError, match="is not what it says it is"):
        import_bundle(rewritten(evil, sums_too=True), Path("elsewhere"))
    assert not (project.parent / "evil").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"metric": "top1", "value": 1.0}], r"is damaged \(rows.0.probe: Field required\)"),
        ([{"probe": "conv", "setting": "", "metric": "top1", "value": 150.0}], "150.0 % is impo"),
        ([], "is damaged"),
    ],
)
def test_a_record_that_could_not_be_read_later_is_refused(rows, message):
    with pytest.raises(UserError, match=message):
        import_bundle(rewritten(lambda r: r | {"rows": rows}, sums_too=True), Path("elsewhere"))
    assert not Path("elsewhere").exists()
