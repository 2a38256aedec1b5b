"""How far a job is, by what it would go on from."""

from pathlib import Path

from metaug.suite.progress import progress
from metaug.training.checkpoint import save_checkpoint


def test_progress_grows_with_steps_and_finished_trials(tmp_path: Path) -> None:
    output, work = tmp_path / "output", tmp_path / "work"
    seen = [progress([0, 1], output, work)]
    for step in (3, 7):
        save_checkpoint(work / "trial_000/0123/checkpoint.safetensors", {"step": step})
        seen.append(progress([0, 1], output, work))
    output.mkdir()
    (output / "trial_000.json").touch()
    seen.append(progress([0, 1], output, work))
    save_checkpoint(work / "trial_001/0123/checkpoint.safetensors", {"step": 1})
    seen.append(progress([0, 1], output, work))
    assert seen[0] == 0
    assert seen == sorted(set(seen))


def test_a_trial_that_failed_counts_as_finished(tmp_path: Path) -> None:
    (tmp_path / "trial_000.json").touch()
    recorded = progress([0], tmp_path, tmp_path / "work")
    (tmp_path / "trial_000.json").rename(tmp_path / "failed_000.json")
    assert progress([0], tmp_path, tmp_path / "work") == recorded


def test_the_trials_of_other_jobs_do_not_count(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "trial_001/0123/checkpoint.safetensors", {"step": 3})
    assert progress([0], tmp_path / "output", tmp_path) == 0


def test_a_damaged_checkpoint_is_no_progress(tmp_path: Path) -> None:
    checkpoint = tmp_path / "trial_000/0123/checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"\x08\x00")
    assert progress([0], tmp_path / "output", tmp_path) == 0
