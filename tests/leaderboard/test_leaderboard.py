"""Records, their store, statistics and tables."""

import dataclasses
import json
import os
import subprocess
import sys
import warnings

import pytest
import scipy.stats
from made_records import record, rendered, save

from leaderboard.analysis import ranking, stats
from leaderboard.records import store
from leaderboard.records.record import Finding, OfficialScore, Reason
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
        record(run_id="b", category="IPC 1", ipc=1),
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
        not_comparable_because=[Reason("ipc", "IPC 3 instead of 20")],
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
    one = record(
        official=OfficialScore(["cifar100", "tiny-imagenet"], 0.25),
        checks=[Finding("note", text="class order: fine")],
        limit_enforced=False,
        other_students={"mlp": [0.5, 0.6], "vgg11": []},
    )
    text = " ".join(report.describe(one, tmp_path).split())
    assert "official evaluator 25.00 % on cifar100, tiny-imagenet" in text
    assert "other students mlp 55.00 % (n = 2)" in text
    assert "checks note: class order: fine" in text
    assert "time limit declared" in text
    failed = dataclasses.replace(one, official=OfficialScore(["cifar100"], error="no GPU"))
    assert "no score on cifar100: no GPU" in report.describe(failed, tmp_path)


def test_it_imports_neither_torch_nor_the_project():
    code = (
        "import sys\n"
        "from leaderboard.analysis import ranking, stats; from leaderboard.records import store; from leaderboard.render import pages, report, tables\n"
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
