"""Records, their store, statistics and tables."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import scipy.stats
from made_records import record, rendered, save
from project import ROOT, TESTS

from leaderboard.analysis import ranking, stats
from leaderboard.records import store
from leaderboard.records.record import SCHEMA, Record
from leaderboard.render import report

# Statistics


@pytest.mark.parametrize("values", [[0.5, 0.6], [0.70, 0.72, 0.74], [0.1, 0.5, 0.3, 0.9, 0.2]])
def test_the_interval_is_scipys_t_interval(values):
    mean, spread, (low, high) = stats.summary(values)
    expected = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=sum(values) / len(values), scale=scipy.stats.sem(values)
    )
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(sum(values) / len(values))
    assert spread == pytest.approx(scipy.stats.tstd(values))


def test_too_few_values_have_no_interval():
    assert stats.summary([]) == (None, None, None)
    assert stats.summary([0.5]) == (0.5, None, None)


def test_ranks_are_shared_where_no_test_tells_the_means_apart():
    clear = [[0.90, 0.91, 0.92], [0.70, 0.71, 0.72], [0.50, 0.51, 0.52]]
    assert stats.ranks(clear) == ["1", "2", "3"]
    assert stats.ranks([[0.90, 0.91, 0.92], [0.895, 0.91, 0.915], [0.50, 0.51, 0.52]]) == [
        "1-2",
        "1-2",
        "3",
    ]
    assert stats.ranks([[0.9], [0.1]]) == ["1-2", "1-2"]  # one value each proves nothing
    assert stats.ranks([[0.5, 0.5], [0.5, 0.5]]) == ["1-2", "1-2"]
    assert (
        stats.ranks([[0.1] * 3, [0.1] * 2, [0.1] * 5]) == ["1-3"] * 3
    )  # whose computed means differ in the last digit
    assert not stats.difference([0.001] * 5, [0.001] * 10).is_one
    assert stats.ranks([]) == []


def test_equal_values_make_no_noise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stats.ranks([[0.5, 0.5, 0.5], [0.7, 0.71, 0.72]]) == ["2", "1"]


# Records


def test_a_record_survives_json():
    one = record(confusion=[[1, 2], [3, 4]], facts={"x": [1]})
    assert Record.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": SCHEMA + 1}, "is newer than"),
        ({"schema": None}, "no record"),
        ({"schema": True}, "no record"),
        ({"schema": 0}, "no record"),
        ({"method": None}, "field method is null, expected str"),
        ({"status": "fine"}, "status 'fine' is none of ok, timeout"),
        ({"comparable": 1}, "field comparable is 1, expected bool"),
        ({"batch": True}, "field batch is true, expected int"),
        ({"given": ["a", 3]}, r"field given is \["),
        ({"accuracy_ci95": ["x", 1]}, "field accuracy_ci95"),
        ({"seconds": {"load": "1"}}, "field seconds"),
        ({"accuracies": [1.5, 0.2, 0.3]}, "not fractions"),
        ({"accuracies": "high"}, "field accuracies"),
        ({"accuracy_mean": 0.99}, "accuracy_mean is not that of the accuracies"),
        ({"accuracy_ci95": [0.1, 0.2]}, "accuracy_ci95 is not that of the accuracies"),
        ({"accuracy_ci95": None}, "accuracy_ci95 is not that of the accuracies"),
        ({"seeds": [1]}, "1 seeds for 3 accuracies"),
        ({"ipc": "many"}, "field ipc"),
        ({"run_id": "../../elsewhere"}, "run_id '../../elsewhere' is no name of a folder"),
        ({"images_per_second": float("inf")}, "Infinity is no number"),
        ({"confusion": [[1, 2], [3]]}, "confusion is not square"),
        ({"confusion": [[1, True], [3, 4]]}, "field confusion"),
        ({"confusion": [[1, -5], [3, 4]]}, "confusion is less than 0"),
        ({"confusion": [[10**400, 1], [3, 4]]}, "field confusion"),
        ({"ipc": 10**400}, "field ipc"),
        ({"ipc": -1}, "ipc is less than 0"),
        ({"images_per_second": 10**400}, "field images_per_second"),
        ({"seconds": {"load": 1e308}}, "field seconds"),
        ({"seconds": {"load": -1.0}}, "seconds.load is less than 0"),
        ({"batch": -7}, "batch is less than 0"),
        ({"cross": {"mlp": [3.0]}}, "not fractions"),
        ({"facts": {"deep": json.loads(100 * "[" + 100 * "]")}}, "field facts"),
        ({"facts": {"large": [1e300]}}, "field facts"),
        ({"options": {"n": float("nan")}}, "NaN is no number"),
        ({"method": " "}, "has no name"),
        ({"run_id": 100 * "\u6d4b"}, "is no name of a folder"),
        ({"images_sha256": "\x1b[0m"}, "images_sha256 is no hash"),
        ({"shard": "x"}, "shard 'x' is not I/N"),
    ],
)
def test_damaged_records_are_refused(change, message):
    values = json.loads(record().to_json()) | change
    with pytest.raises(ValueError, match=message):
        Record.from_json(json.dumps(values))


def test_unknown_fields_are_left_out_and_missing_ones_named():
    values = json.loads(record().to_json())
    assert Record.from_json(json.dumps({**values, "later": 1})) == record()
    del values["method"], values["track"]
    with pytest.raises(ValueError, match="fields are missing: track, method"):
        Record.from_json(json.dumps(values))


def test_half_a_character_is_replaced_and_a_whole_one_kept():
    """They come from names of files that are no UTF-8, and could be written into no page."""
    one = Record.from_json(
        json.dumps(json.loads(record().to_json()) | {"method": "half \ud800, whole \U0001f600"})
    )
    assert one.method == "half ?, whole \U0001f600"


def test_nan_is_no_json():
    with pytest.raises(ValueError, match="Out of range"):
        record(images_per_second=float("nan")).to_json()


# Store


def test_a_run_appears_whole_or_not_at_all(tmp_path):
    with store.new_run(tmp_path, "t", "d", "m") as folder:
        (folder / "record.json").write_text(record().to_json())
        assert list(store.runs_in([tmp_path])) == []
    assert list(store.runs_in([tmp_path])) == [store.final(folder)]
    with pytest.raises(RuntimeError), store.new_run(tmp_path, "t", "d", "m") as folder:
        raise RuntimeError
    assert len(list((tmp_path / "t" / "d" / "m").iterdir())) == 1


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path):
    code = "import sys, time; from pathlib import Path; from leaderboard import store\n"
    code += "with store.new_run(Path(sys.argv[1]), 't', 'd', 'm') as folder: print(folder, flush=True); time.sleep(100)"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        killed, living = (Path(process.stdout.readline().strip()) for process in both)
        both[0].kill()
        both[0].wait()
        with store.new_run(tmp_path, "t", "d", "m"):
            assert killed.is_dir()  # it may be of a process that has not locked it yet
        for folder in (killed, living):
            os.utime(folder, (0, 0))
        with store.new_run(tmp_path, "t", "d", "m") as folder:
            assert living.is_dir()
            assert folder.is_dir()
            assert not killed.exists()
    finally:
        for process in both:
            process.kill()
            process.communicate()


def test_a_reader_never_sees_half_a_record(tmp_path):
    """Beside four processes that write runs at once."""
    code = """
import sys, time
from pathlib import Path
from leaderboard import store
from made_records import record
for number in range(25):
    with store.new_run(Path(sys.argv[1]), "t", "d", "m") as folder:
        text = record(run_id=store.run_id(folder), confusion=[[9] * 100] * 100).to_json()
        with (folder / "record.json").open("w") as file:
            for start in range(0, len(text), 5000):
                file.write(text[start : start + 5000])
                file.flush()
"""
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "support")}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)
        for _ in range(4)
    ]
    seen = []
    while any(writer.poll() is None for writer in writers):
        entries, problems = store.entries([tmp_path])
        assert problems == []
        seen.append(len(entries))
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(store.entries([tmp_path])[0]) == 100
    assert len(set(seen)) > 3  # it did read while they wrote
    assert seen == sorted(seen)


def test_an_enormous_record_is_not_read(tmp_path):
    folder = save(tmp_path, record())
    with (folder / "record.json").open("r+b") as file:
        file.truncate(2**40)
    assert "larger than 32 MiB" in store.entries([tmp_path])[1][0]


def test_records_of_the_first_schema_are_read():
    values = json.loads(record().to_json()) | {"schema": 1, "facts": {"processes": 4}}
    del values["repeats"], values["processes"]
    one = Record.from_json(json.dumps(values))
    assert (one.schema, one.repeats, one.processes, one.facts) == (SCHEMA, 3, 4, {})


def test_the_committed_runs_are_read():
    """They were made by earlier versions."""
    entries, problems = store.entries([ROOT / "docs" / "runs"])
    assert len(entries) >= 7
    assert problems == []


def test_damaged_records_are_named_and_the_others_read(tmp_path):
    good, bad = save(tmp_path, record()), save(tmp_path, record(method="two"))
    (bad / "record.json").write_text("[" * 100_000)
    entries, problems = store.entries([tmp_path])
    assert [folder for folder, _ in entries] == [good]
    assert len(problems) == 1
    assert str(bad / "record.json") in problems[0]


def test_what_is_no_file_is_not_waited_for(tmp_path):
    folder = save(tmp_path, record())
    (folder / "record.json").unlink()
    os.mkfifo(folder / "record.json")
    assert "no ordinary file" in store.entries([tmp_path])[1][0]


def test_a_run_in_two_stores_is_found_as_one(tmp_path):
    first = save(tmp_path / "a", record())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert store.find(first.name, [tmp_path / "a", tmp_path / "b"]) == first
    (tmp_path / "b" / first.relative_to(tmp_path / "a") / "record.json").write_text("changed")
    with pytest.raises(ValueError, match="2 runs"):
        store.find(first.name, [tmp_path / "a", tmp_path / "b"])


def test_runs_are_found_by_folder_id_or_beginning(tmp_path):
    first = save(tmp_path, record())
    save(tmp_path, record())
    assert store.find(str(first), []) == first
    assert store.find(first.name, [tmp_path]) == first
    with pytest.raises(ValueError, match="2 runs '20'"):
        store.find("20", [tmp_path])
    for unknown in ("nothing", ""):
        with pytest.raises(ValueError, match="no run"):
            store.find(unknown, [tmp_path])


# Tables


def test_best_first_with_rank_and_n():
    rows = ranking.rows(
        [
            record(run_id="a", accuracies=[0.5, 0.51, 0.52]),
            record(run_id="b", method="two", accuracies=[0.8, 0.81, 0.82]),
        ]
    )
    assert [(row["run_id"], row["rank"], row["n"]) for row in rows] == [
        ("b", "1", 3),
        ("a", "2", 3),
    ]


def test_the_same_run_counts_once():
    same = {"images_sha256": "x" * 64}
    runs = [
        record(run_id="a", **same),
        record(run_id="b", **same, created="2026-02-01T00:00:00Z"),
        record(run_id="c"),
    ]
    assert {row["run_id"] for row in ranking.rows(runs)} == {"a", "c"}
    other_seeds = dataclasses.replace(runs[1], seeds=[3, 4, 5])
    other_recipe = dataclasses.replace(runs[1], run_id="d", recipe_sha256="s" * 64)
    assert len(ranking.rows([runs[0], other_seeds, other_recipe])) == 3


def test_a_run_that_another_stands_for_with_other_accuracies_is_named():
    """A record with somebody else's hash of images can't take the place of the other's row in silence."""
    theirs = record(run_id="a", method="honest")
    copied = record(
        run_id="b",
        method="thief",
        accuracies=[0.1, 0.1, 0.1],
        images_sha256="a",
        created="2000-01-01T00:00:00Z",
    )
    (line,) = ranking.conflicts([theirs, copied])
    assert line.startswith(
        "a (honest, 72.00 %) is no row, since b (thief, 10.00 %) has the same images, recipe and seeds"
    )
    assert ranking.conflicts([theirs, dataclasses.replace(theirs, run_id="c")]) == []
    failed = [
        record(
            run_id="a",
            track=track,
            status="error",
            accuracies=[],
            images_sha256=None,
            comparable=False,
        )
        for track in ("one", "two")
    ]
    assert len(ranking.rows(failed)) == 2


def test_what_scored_nothing_is_above_what_has_no_score():
    rows = ranking.rows(
        [
            record(run_id="a", accuracies=[], status="error", comparable=False),
            record(run_id="b", accuracies=[0.0, 0.0, 0.0]),
        ]
    )
    assert [row["run_id"] for row in rows] == ["b", "a"]


def test_of_equal_runs_the_comparable_one_counts_and_tracks_count_apart():
    same = {"images_sha256": "x" * 64}
    late = record(run_id="b", **same, created="2026-02-01T00:00:00Z")
    rows = ranking.rows(
        [
            record(run_id="a", comparable=False, **same),
            late,
            record(run_id="c", track="other", **same),
        ]
    )
    assert [(row["run_id"], row["rank"]) for row in rows] == [("c", "1"), ("b", "1")]


def test_failed_runs_are_rows_without_rank_and_are_never_merged():
    failed = [
        record(run_id=name, status="error", accuracies=[], images_sha256=None, comparable=False)
        for name in "ab"
    ]
    rows = ranking.rows([*failed, record(run_id="c")])
    assert [(row["run_id"], row["rank"]) for row in rows] == [("c", "1"), ("a", ""), ("b", "")]


@pytest.mark.parametrize("change", [{"comparable": False}, {"status": "timeout"}])
def test_only_comparable_runs_are_ranked(change):
    rows = ranking.rows(
        [record(run_id="a", accuracies=[0.9, 0.91, 0.92], **change), record(run_id="b")]
    )
    assert [(row["run_id"], row["rank"]) for row in rows] == [("a", ""), ("b", "1")]


def test_divisions_and_tracks_are_ranked_apart():
    runs = [
        record(run_id="a"),
        record(run_id="b", division="IPC 1", ipc=1),
        record(run_id="c", track="other"),
    ]
    assert [row["rank"] for row in ranking.rows(runs)] == ["1", "1", "1"]
    assert [row["run_id"] for row in ranking.rows(runs, "other")] == ["c"]


RUNS = [
    record(
        run_id="20260101T000000Z-aaaaaa",
        method="one|<b>",
        model="turbo-mini",
        images_per_second=300.04,
        device="cpu",
    ),
    record(
        run_id="20260102T000000Z-bbbbbb",
        method="two",
        accuracies=[0.5, 0.5, 0.5],
        comparable=False,
        not_comparable_because=["IPC 3 instead of 20"],
    ),
]


def test_github_table():
    text = rendered(RUNS)
    lines = text.splitlines()
    assert lines[0] == "### quickstart, fashion-mnist"
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]][:8] == [
        "rank",
        "method",
        "IPC",
        "accuracy %",
        "95 % interval",
        "n",
        "images/s",
        "time s",
    ]
    assert "| one\\|&lt;b> " in lines[4]
    assert "| 72.00 " in lines[4]
    assert "| 67.03 to 76.97 " in lines[4]
    assert "ok, not comparable: IPC 3 instead of 20" in lines[5]


def test_other_formats():
    assert [row["run_id"] for row in json.loads(rendered(RUNS, "json"))] == [
        "20260101T000000Z-aaaaaa",
        "20260102T000000Z-bbbbbb",
    ]
    csv = rendered(RUNS, "csv").splitlines()
    assert csv[0].startswith("track,dataset,rank,method,IPC")
    assert csv[1].startswith("quickstart,fashion-mnist,1,one|<b>,20,72.00,67.03 to 76.97,3,300.0")
    assert r"\toprule" in rendered(RUNS, "latex")
    assert "quickstart, fashion-mnist" in rendered(RUNS, "plain")


def test_names_from_strangers_stay_names():
    rows = [record(method="=cmd|x ![a](http://b) <script>", limit_enforced=False)]
    assert "=cmd\\|x !\\[a](http://b) &lt;script>" in rendered(rows)
    assert "'=cmd|x ![a]" in rendered(rows, "csv")


@pytest.mark.parametrize("style", ["github", "plain", "csv", "latex"])
def test_names_from_strangers_do_not_write_on_the_terminal(tmp_path, style):
    one = record(method="a\x1b[31m\nrun: forged\u202e", message="b\x1b[0m\nstatus: forged")
    for text in (rendered([one], style), report.describe(one, tmp_path)):
        assert not set("\x1b\u202e") & set(text)
        assert not any(line.startswith(("run: ", "status: ")) for line in text.splitlines())


def test_an_empty_table_says_how_to_fill_it():
    assert "ddbench run" in rendered([])
    assert rendered([], "json") == "[]"


def test_files_whose_limit_is_declared_are_ranked_apart():
    """However good they are, they have no influence on the ranks of runs whose limit was enforced."""
    good = {"accuracies": [0.9, 0.91, 0.92], "limit_enforced": False}
    runs = [
        record(run_id="file", **good),
        record(run_id="run"),
        record(run_id="worse-file", limit_enforced=False, images_sha256="c"),
    ]
    rows = ranking.rows(runs)
    assert [(row["run_id"], row["rank"]) for row in rows] == [
        ("run", "1"),
        ("file", "1"),
        ("worse-file", "2"),
    ]
    first, second = rendered(runs).split(
        "### quickstart, fashion-mnist: sets from files, time limit declared"
    )
    assert "60 (declared)" in second
    assert "declared" not in first


def test_report_tells_the_story(tmp_path):
    folder = save(tmp_path, record())
    one = dataclasses.replace(store.read(folder), confusion=[[8, 2], [5, 5]], message="all well")
    (folder / "manifest.json").write_text(json.dumps({"class_names": ["Bag", "Shirt"]}))
    text = report.describe(one, folder)
    assert "72.00 %, 95 % interval 67.03 to 76.97, n = 3 (70.00 72.00 74.00)" in text
    assert "Bag      80.0          Shirt (2)" in text


def test_report_tells_of_a_scored_file(tmp_path):
    official = {"correct": 0.25, "datasets": ["cifar100", "tiny-imagenet"]}
    facts = {"official": official, "checks": ["note: class order: fine"]}
    one = record(facts=facts, limit_enforced=False, cross={"mlp": [0.5, 0.6], "vgg11": []})
    text = " ".join(report.describe(one, tmp_path).split())
    assert "official evaluator 25.00 % on cifar100, tiny-imagenet" in text
    assert "other students mlp 55.00 % (n = 2)" in text
    assert "checks note: class order: fine" in text
    assert "time limit declared" in text
    failed = dataclasses.replace(
        one, facts={"official": {"error": "no GPU", "datasets": ["cifar100"]}}
    )
    assert "no score on cifar100: no GPU" in report.describe(failed, tmp_path)


def test_it_imports_neither_torch_nor_the_project():
    code = (
        "import sys\n"
        "from leaderboard import page, ranking, record, report, stats, store, table\n"
        "stats.ranks([[.1, .2], [.3, .4]]); stats.summary([.1, .2])\n"
        "print([m for m in ('torch', 'benchmark_adapters', 'gdd_plugin') if m in sys.modules])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    assert (
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout.strip()
        == "[]"
    )
