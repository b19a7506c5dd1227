"""No program depends on messages: whatever the texts of a record say, behaviour is the same."""

import json
import shutil
from dataclasses import replace

import pytest

from benchmark_adapters.runs import pipeline
from benchmark_adapters.runs.request import Request, plan_runs
from leaderboard.records import store
from leaderboard.records.record import Finding, OfficialScore, Reason

pytestmark = pytest.mark.usefixtures("untrained_probe")
# Fields that differ between two runs with the same settings.
OF_THE_MOMENT = ("run_id", "created", "seconds", "images_per_second", "message", "checks")


@pytest.fixture
def runs(example_plugins, tmp_path, monkeypatch, clock):
    """Return a folder with runs that ended in every way, and these runs by how they ended."""
    folder = tmp_path / "runs"

    def make(method="good", **values):
        settings = {"track": "few", "device": "cpu", "repeats": 1, "students": ("mlp",)}
        request = Request(method, runs=folder, **settings | values)
        (plan,) = plan_runs(request, example_plugins)
        return pipeline.run(plan)

    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    by_end = {
        "ok": make(repeats=2),
        "other limit": make(seed=1, time_limit=20),
        "invalid": make("too-few"),
        "broken": make("raises"),
    }
    # The other methods yield fewer batches.
    clock.jump_after(batches=3)
    by_end["late"] = make("slow", ipc=5)
    with monkeypatch.context() as patch:
        patch.setattr("benchmark_adapters.scoring.training.train", interrupt)
        by_end["interrupted"] = make(seed=2)
    return folder, by_end


def reworded(record):
    """Return the record with all its texts replaced."""
    reasons = [replace(reason, text="Lorem") for reason in record.not_comparable_because]
    official = record.official and replace(record.official, error="Lorem")
    scoring = record.scoring and replace(record.scoring, fallback="Lorem")
    return replace(
        record,
        message="Lorem ipsum: dolor sit amet" if record.message else "",
        not_comparable_because=reasons,
        checks=[replace(finding, text="Lorem") for finding in record.checks],
        official=official,
        scoring=scoring,
    )


def reword_all(folder):
    for run in store.runs_in([folder]):
        (run / "record.json").write_text(reworded(store.read(run)).to_json())


def without_texts(document):
    """Return a record's document without its texts and without fields that differ in every run."""
    document = {key: value for key, value in document.items() if key not in OF_THE_MOMENT}
    reasons = [reason["code"] for reason in document["not_comparable_because"]]
    scoring = document["scoring"] and {**document["scoring"], "fallback": None}
    return {**document, "not_comparable_because": reasons, "scoring": scoring}


def behaviour(ddbench, example_folder, folder, by_end):
    """Return what every command does with each run, apart from texts."""

    def call(*words):
        return ddbench(*words, "--runs", folder, path=[example_folder])

    table = json.loads(call("leaderboard", "--format", "json").stdout)
    results = {"leaderboard": [(row["rank"], row["n"], without_texts(row)) for row in table]}
    for name, run in by_end.items():
        shown = call("show", run.name).stdout
        results["show", name] = [line.split()[0] for line in shown.splitlines() if line.strip()]
        scored = call("score", run.name, "--device", "cpu", "--repeats", "1", "--json")
        document = without_texts(json.loads(scored.stdout)) if scored.stdout else None
        results["score", name] = scored.returncode, document
        again = call("rerun", run.name, "--json")
        document = json.loads(again.stdout) if again.stdout else None
        agreement = document and (document["agrees"], without_texts(document["record"]))
        results["rerun", name] = again.returncode, agreement
    return results


@pytest.mark.slow
def test_rewording_records_changes_no_behaviour(runs, ddbench, example_folder, tmp_path):
    folder, by_end = runs
    copy = tmp_path / "reworded"
    shutil.copytree(folder, copy)
    reword_all(copy)
    before = behaviour(ddbench, example_folder, folder, by_end)
    after = behaviour(ddbench, example_folder, copy, by_end)
    assert before.keys() == after.keys()
    for key, result in before.items():
        assert after[key] == result, key
    assert before["score", "interrupted"][0] == 0
    assert before["score", "broken"][0] == before["score", "invalid"][0] == 2
    reasons = before["score", "other limit"][1]["not_comparable_because"]
    assert reasons == ["time-limit", "repeats"]


def test_reworded_covers_every_text_of_a_record(runs):
    """A new text in the record must be added to this test."""
    _, by_end = runs
    record = replace(
        store.read(by_end["other limit"]),
        message="some words",
        checks=[Finding("note", "class-order", "some words")],
        official=OfficialScore(["few"], error="some words"),
        not_comparable_because=[Reason("ipc", "some words")],
    )
    record = replace(record, scoring=replace(record.scoring, fallback="some words"))
    assert "some words" not in reworded(record).to_json()
