"""Sampling that was interrupted goes on with the images and the time that are left."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import kept

from benchmark_adapters.execution import journal, supervisor
from benchmark_adapters.execution.batches import write_batch
from benchmark_adapters.execution.outcome import Outcome
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.runs.sources import sessions
from benchmark_adapters.types import UserError

# A method that changes the notes on its session.
TAMPERS = """
import time
from pathlib import Path
import numpy as np
def distill(task, budget):
    yield np.full((10, 1, 28, 28), 7, np.uint8), np.arange(10)
    (notes,) = Path(RUNS).glob(".unfinished/*/1/events.jsonl")
    while "batch" not in notes.read_text():
        time.sleep(0.01)
    if KIND == "overwrites":
        with notes.open("r+") as file:
            file.write('{"seconds":0}')
    elif KIND == "links":
        notes.unlink()
        notes.symlink_to(TARGET)
    else:
        text = notes.read_text()
        notes.unlink()
        notes.write_text(text)
    while True:
        yield np.full((10, 1, 28, 28), 8, np.uint8), np.arange(10)
"""


def images_of(folder):
    return load_file(folder / "images.safetensors")["images"]


def test_interrupted_sampling_goes_on_with_the_missing_images(
    run, go_on, interrupt_after, tmp_path
):
    interrupt_after(3)
    old_folder, old = run("naps", ipc=5)
    assert (old.status, old.ipc, old.failed_stage) == ("error", 3, "sampling")
    assert old.seconds.used >= old.seconds.load + old.seconds.generate
    folder, new = go_on()
    assert (new.status, new.ipc, new.sampled, new.n) == ("ok", 5, 50, 2)
    assert new.origin.resumes == old.run_id
    first, second = new.sessions
    assert (first.stage, first.seed, second.stage) == ("sampling", 0, "sampling")
    assert second.seed not in (None, 0)
    assert new.seconds.used == pytest.approx(first.used + second.used)
    assert first.used == pytest.approx(old.seconds.used, abs=0.01)
    # Those that existed are kept, and no image repeats.
    by_class = images_of(folder).reshape(10, 5, -1)
    assert np.array_equal(by_class[:, :3], images_of(old_folder).reshape(10, 3, -1))
    assert len(np.unique(by_class.reshape(50, -1), axis=0)) == 50
    assert "session 2" in (folder / "log.txt").read_text()
    assert kept(tmp_path) == []


def test_the_time_limit_covers_all_sessions(run, go_on, interrupt_after, tmp_path):
    """A hundredth of a second is left, in which no process can start."""
    interrupt_after(4)
    run("slow", ipc=50, repeats=0)
    spend(tmp_path, 28.99)
    _, record = go_on()
    assert (record.status, record.ipc, record.seconds.used) == ("timeout", 4, 30)
    # A killed process may have used a second more than it noted.
    assert [one.used for one in record.sessions] == pytest.approx([29.99, 0.01])


def spend(tmp_path, seconds):
    """Note that a run was killed after that many seconds."""
    (work,) = kept(tmp_path)
    with (work / "1" / journal.NAME).open("ab") as file:
        file.write(json.dumps({"seconds": seconds}).encode() + b"\n")


def test_a_run_whose_time_is_used_up_only_collects_its_images(
    run, go_on, interrupt_after, tmp_path
):
    interrupt_after(3)
    run("naps", ipc=50, repeats=0)
    spend(tmp_path, 29.5)
    _, record = go_on()
    assert (record.status, record.message) == (
        "timeout",
        "3 of 50 images per class by the time limit",
    )
    assert (record.seconds.used, record.sessions) == (30, [])


def test_as_many_images_as_fit_go_on_in_the_time_that_is_left(run, go_on, clock, interrupt_after):
    interrupt_after(3)
    old = run("naps", ipc="max", repeats=0)[1]
    clock.jump_after(batches=5)
    _, new = go_on()
    assert (old.ipc, new.status, new.ipc, new.seconds.used) == (3, "ok", 8, 30)


def test_a_complete_replacement_is_the_set(run, go_on, interrupt_after):
    interrupt_after(2)
    run("improves")
    folder, record = go_on()
    assert (record.status, record.ipc) == ("ok", 2)
    # The method may have finished its last set before it was stopped.
    assert set(images_of(folder).ravel()) in ({2}, {3})


def test_every_process_goes_on(run, go_on, interrupt_after):
    interrupt_after(2)
    run("divided", ipc=12, processes=2, repeats=0)
    folder, record = go_on()
    assert (record.status, record.ipc, record.processes) == ("ok", 12, 2)
    assert images_of(folder).shape == (120, 1, 28, 28)


def test_a_damaged_batch_is_left_out(run, go_on, interrupt_after, tmp_path):
    interrupt_after(3)
    run("naps", ipc=4, repeats=0)
    (work,) = kept(tmp_path)
    sorted(work.rglob("*.safetensors"))[1].write_bytes(b"\0" * 100)
    _, record = go_on()
    assert (record.status, record.ipc, record.sampled) == ("ok", 4, 50)


def test_batches_of_other_classes_sizes_or_numbers_are_left_out(
    run, go_on, interrupt_after, tmp_path
):
    interrupt_after(3)
    run("naps", ipc=4, repeats=0)
    (work,) = kept(tmp_path)
    first, second, third = sorted(work.rglob("*.safetensors"))
    marks = np.ones(10, bool)
    # Others than were reported.
    write_batch(third, np.zeros((20, 1, 28, 28), np.uint8), np.arange(20) // 2, np.ones(20, bool))
    write_batch(first, np.zeros((10, 1, 28, 28), np.uint8), np.arange(1, 11), marks)
    write_batch(second, np.zeros((10, 1, 32, 32), np.uint8), np.arange(10), marks)
    folder, record = go_on()
    assert (record.status, record.ipc) == ("ok", 4)
    assert images_of(folder).any((1, 2, 3)).all()


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_run_without_notes_of_its_time_is_not_resumed(
    run, go_on, interrupt_after, tmp_path, is_linked
):
    interrupt_after(1)
    run("good", repeats=0)
    (work,) = kept(tmp_path)
    notes = (work / "1" / journal.NAME).rename(tmp_path / "notes")
    if is_linked:
        (work / "1" / journal.NAME).symlink_to(notes)
    with pytest.raises(UserError, match="notes on session 1 of the run are missing"):
        go_on()
    # It can still be looked at, or removed.
    assert kept(tmp_path) == [work]


@pytest.mark.parametrize("kind", ["overwrites", "links", "replaces"])
def test_a_method_cant_change_the_notes_on_its_time(run, go_on, interrupt_after, tmp_path, kind):
    target = tmp_path / "precious"
    target.write_text("precious")
    names = {"RUNS": str(tmp_path / "runs"), "KIND": kind, "TARGET": str(target)}
    text = TAMPERS
    for name, value in names.items():
        text = text.replace(name, repr(value))
    (tmp_path / "tampers.py").write_text(text)
    interrupt_after(2)
    _, record = run(str(tmp_path / "tampers.py"), ipc=50, repeats=0)
    assert (record.status, record.interrupted) == ("error", True)
    assert target.read_text() == "precious"
    with pytest.raises(UserError, match="notes on session 1 of the run are missing"):
        go_on()


def test_a_session_that_ends_before_its_method_starts_costs_nothing(
    run, go_on, interrupt_after, tmp_path, monkeypatch
):
    class Killed(BaseException):
        """It ends the process at once."""

    def killed(*arguments, **named):
        raise Killed

    interrupt_after(3)
    run("naps", ipc=5)
    (work,) = kept(tmp_path)
    for place in ((supervisor, "supervise"), (Path, "touch")):
        with monkeypatch.context() as patch:
            patch.setattr(*place, killed)
            with pytest.raises(Killed):
                go_on()
        # What is being written when a process is killed stays.
        (work / ".ddbench-0123abcd-3" / "new").mkdir(parents=True, exist_ok=True)
    _, record = go_on()
    assert (record.status, record.ipc, record.sampled) == ("ok", 5, 50)
    assert [one.used for one in record.sessions[1:2]] == [journal.BEAT]


def test_an_incomplete_last_note_is_ignored(tmp_path):
    (tmp_path / journal.NAME).write_bytes(b'{"seconds":1.0}\n{"seconds":2.0}\n{"seco')
    assert [entry.seconds for entry in journal.read(tmp_path)] == [1, 2]


def test_seeds_of_sessions_differ_and_suit_every_generator(example_plugins):
    (plan,) = plan_runs(Request("good", track="few", device="cpu"), example_plugins)
    earlier = [sessions.Sampled(None, Outcome(images=10), (10, 10))] * 2
    seeds = [sessions.seed(plan.sampling, earlier[:count]) for count in range(3)]
    assert len({*seeds}) == 3
    assert seeds[0] == 0
    assert max(seeds) < 2**28
    # Without images, nothing can repeat.
    nothing = sessions.Sampled(None, Outcome(), (0, 0))
    assert sessions.seed(plan.sampling, [nothing]) == 0
