"""Every table format, compared with its golden file.

`PYTHONPATH=tests/support python tests/leaderboard/render/test_tables.py` rewrites the golden files.
"""

import json

import pytest
from made_records import PAIR, TWO_DATASETS, built, pair_record, record, rendered
from project import TESTS

from leaderboard.analysis import sections
from leaderboard.analysis.published import PublishedResult
from leaderboard.records.record import Origin, Reason, ShardOrigin
from leaderboard.render import report, tables

GOLDEN = TESTS / "golden" / "tables"


FILES = {
    "github": "table.md",
    "plain": "table.txt",
    "csv": "table.csv",
    "latex": "table.tex",
    "json": "table.json",
}


PUBLISHED = PublishedResult(
    "cifar100", "DM", 10, 0.297, "ConvNet-3", "hard labels", "a paper", "https://example.org", True
)


def rendered_golden(style):
    shown = built(TWO_DATASETS, datasets=PAIR, published=[PUBLISHED])
    return tables.render(shown, style) + "\n"


@pytest.mark.parametrize("style", FILES)
def test_tables_equal_their_golden_files(style):
    assert rendered_golden(style) == (GOLDEN / FILES[style]).read_text()


@pytest.mark.parametrize("style", ["github", "csv"])
def test_selected_columns_are_shown_in_the_given_order(style):
    shown = built(TWO_DATASETS, datasets=PAIR, published=[PUBLISHED])
    lines = tables.render(shown, style, ["ipc", "method", "mean"]).splitlines()
    headings = [line.strip("| ").replace("|", ",").split(",") for line in lines if "method" in line]
    shown = {tuple(heading.strip() for heading in row) for row in headings}
    means = set() if style == "csv" else {("IPC", "method", "mean %")}
    assert shown == {("IPC", "method"), *means}


def test_every_format_has_a_golden_file():
    assert set(FILES) == set(tables.FORMATS)


def test_published_results_are_marked_and_never_ranked():
    text = tables.render(built([record(track="fashion-mnist", ipc=10)]))
    own, published = text.split(
        "### fashion-mnist, fashion-mnist: published results, for reference and not ranked"
    )
    assert "rank" in own
    assert "rank" not in published
    assert "| MTT " in published
    assert published.count("unverified") == 5


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


def test_github_table_has_headings_and_escaped_cells():
    text = rendered(RUNS)
    lines = text.splitlines()
    assert lines[0] == "### quickstart, fashion-mnist"
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]][:8] == [
        "rank",
        "method",
        "IPC",
        "images",
        "accuracy %",
        "95 % interval",
        "n",
        "images/s",
    ]
    assert "| one\\|&lt;b> " in lines[4]
    assert "| 72.00 " in lines[4]
    assert "| 67.03 to 76.97 " in lines[4]
    assert "ok, not comparable: IPC 3 instead of 20" in lines[5]


def test_a_table_says_what_the_images_are():
    sampled = {"model": "sdxl-turbo", "generated_per_class": 20}
    rows = [
        record(run_id="a", **sampled),
        record(run_id="b", **sampled | {"generated_per_class": 10}),
        record(run_id="c", metadata={"images": "refined in pixels"}),
        record(run_id="d", metadata={"images": ["no", "text"]}),
    ]
    csv = {line.split(",")[-1]: line.split(",")[5] for line in rendered(rows, "csv").splitlines()}
    assert csv == {
        "run": "images",
        "a": "sampled",
        "b": "sampled and augmented",
        "c": "refined in pixels",
        "d": "",
    }


def test_other_formats_contain_the_same_runs():
    assert [row["run_id"] for row in json.loads(rendered(RUNS, "json"))] == [
        "20260101T000000Z-aaaaaa",
        "20260102T000000Z-bbbbbb",
    ]
    csv = rendered(RUNS, "csv").splitlines()
    assert csv[0].startswith("track,dataset,rank,method,IPC")
    assert csv[1].startswith("quickstart,fashion-mnist,1,one|<b>,20,,72.00,67.03 to 76.97,3,300.0")
    assert r"\toprule" in rendered(RUNS, "latex")
    assert "quickstart, fashion-mnist" in rendered(RUNS, "plain")


def test_lines_for_a_terminal_have_at_most_80_characters():
    """Long names of options, messages and teams are wrapped."""
    options = [f"{name}=value" for name in ("preset", "select", "refine", "decoder", "model")]
    rows = [record(explicit_options=options), record(status="timeout", message=40 * "so late ")]
    for text in (rendered(rows, "plain"), rendered_golden("plain")):
        tables_only = [line for line in text.splitlines() if ": sets from files" not in line]
        assert max(map(len, tables_only)) <= 80
    shown = built(rows, published=())
    assert "hardware" in tables.render(shown, "plain", is_wide=True)


@pytest.mark.parametrize("style", ["plain", "github", "latex"])
def test_long_tables_show_the_first_rows_of_each_ranking(style):
    """The ranks are those among all runs."""
    many = [
        record(
            run_id=f"{ipc}-{number}",
            method=f"m{number}",
            ipc=ipc,
            category=f"IPC {ipc}",
            images_sha256=f"{ipc}-{number}",
            accuracies=[0.5 + number / 100, 0.501 + number / 100, 0.502 + number / 100],
        )
        for ipc in (1, 10)
        for number in range(9)
    ]
    whole = built(many, published=())[0].rows
    (section,) = built(many, published=(), selection=sections.Selection(most=3))
    best = [row for row in whole if row.record.method in ("m8", "m7", "m6")]
    assert [(row.record.run_id, row.rank) for row in section.rows] == [
        (row.record.run_id, row.rank) for row in best
    ]
    text = tables.render([section], style)
    hint = "12 more rows are not shown; `ddbench leaderboard --rows 0` shows all"
    assert text.splitlines()[-1] == ("% " if style == "latex" else "") + hint
    enough = built(many, published=(), selection=sections.Selection(most=9))
    assert tables.render(enough, style) == tables.render(built(many, published=()), style)


def test_long_tables_of_means_show_the_first_rows():
    many = [
        pair_record(dataset, f"{dataset}-{number}", f"m{number}", images_sha256=f"{number}")
        for dataset in PAIR["pair"]
        for number in range(5)
    ]
    (section,) = built(many, datasets=PAIR, published=(), selection=sections.Selection(most=2))
    assert [row.rank for row in section.means] == ["1-5", "1-5"]
    assert tables.render([section]).count("3 more rows are not shown") == 3


def test_a_run_to_keep_is_shown_however_bad_it_is():
    runs = [record(run_id=str(n), method=f"m{n}", accuracies=[n / 9] * 3) for n in range(9)]
    own = sections.Selection(keeps=lambda run: run.method == "m2", most=2)
    (section,) = built(runs, published=(), selection=own)
    assert [row.record.method for row in section.rows] == ["m8", "m7", "m2"]
    assert [row.rank for row in section.rows] == ["1", "2", "7"]


def test_failed_runs_are_counted():
    rows = [
        record(run_id="20260101T000000Z-aaaaaa"),
        record(run_id="20260102T000000Z-bbbbbb", status="error", accuracies=[]),
        record(status="invalid", accuracies=[], limit_enforced=False, method="team"),
    ]
    shown = built(rows, published=(), selection=sections.Selection(hides=sections.is_failed))
    for style, prefix in (("github", ""), ("plain", ""), ("latex", "% ")):
        text = tables.render(shown, style)
        hint = "1 run failed and is not shown; `ddbench leaderboard --all` lists them"
        assert text.endswith(f"{prefix}{hint}")
    lines = tables.render(shown, "csv").splitlines()
    assert [line.split(",")[3] for line in lines] == ["method", "one", "team"]


def test_a_shard_that_claims_to_be_its_own_set_stops_no_table():
    origin = Origin("shards", shards=[ShardOrigin("a")])
    forged = record(run_id="a", track="forged", shard="0/1", origin=origin)
    text = rendered([forged, record(run_id="b")])
    assert "quickstart" in text
    assert "forged" not in text


def test_latex_for_a_paper_has_the_best_in_bold():
    """Two runs share rank 1, and a third is not ranked."""
    rows = [
        record(run_id="a", method="a_1"),
        record(run_id="b", method="b", accuracies=[0.71, 0.73, 0.7]),
        record(run_id="c", method="c", accuracies=[0.31, 0.33, 0.3]),
        record(run_id="d", method="d", comparable=False),
    ]
    lines = rendered(rows, "latex").splitlines()
    assert lines[5:8] == [
        r"a\_1 & 20 & \textbf{72.00 $\pm$ 4.97} \\",
        r"b & 20 & \textbf{71.33 $\pm$ 3.79} \\",
        r"c & 20 & 31.33 $\pm$ 3.79 \\",
    ]
    assert lines[-1] == "% 1 row is not ranked"


def test_untrusted_names_are_escaped():
    rows = [record(method="=cmd|x ![a](http://b) <script>", limit_enforced=False)]
    assert "=cmd\\|x !\\[a](http://b) &lt;script>" in rendered(rows)
    assert "'=cmd|x ![a]" in rendered(rows, "csv")


@pytest.mark.parametrize("style", ["github", "plain", "csv", "latex"])
def test_untrusted_names_can_not_control_the_terminal(tmp_path, style):
    forged = record(method="a\x1b[31m\nrun: forged\u202e", message="b\x1b[0m\nstatus: forged")
    for text in (rendered([forged], style), report.describe(forged, tmp_path)):
        assert not set("\x1b\u202e") & set(text)
        assert not any(line.startswith(("run: ", "status: ")) for line in text.splitlines())


def test_declared_limits_have_a_separate_table():
    declared = record(run_id="file", accuracies=[0.9, 0.91, 0.92], limit_enforced=False)
    first, second = rendered([declared, record(run_id="run")]).split(
        "### quickstart, fashion-mnist: sets from files, time limit declared"
    )
    assert "60 (declared)" in second
    assert "declared" not in first


def test_an_empty_table_explains_how_to_create_a_run():
    assert "ddbench run" in rendered([])
    assert rendered([], "json") == "[]"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for style, file in FILES.items():
        (GOLDEN / file).write_text(rendered_golden(style))
