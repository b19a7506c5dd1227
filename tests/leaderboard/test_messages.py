"""No message is a protocol: rewording the texts of a record changes only the texts shown."""

from dataclasses import replace

import pytest
from made_records import built, compared, record

from leaderboard.analysis import comparison, ranking
from leaderboard.records import store
from leaderboard.records.record import Finding, OfficialScore, Origin, Reason, ScoringRuntime
from leaderboard.render import comparison_tables, pages, report, tables

# Phrases that earlier versions parsed.
OTHER = (
    "scoring failed, interrupted: status error, student mlp, limit 1 s instead of 2 s, shard 0 of 2"
)
TEXTS = {}


def text(words):
    """Return a text for a record, and register a reworded version of it."""
    TEXTS[words] = f"({len(TEXTS)}) {OTHER}"
    return words


RECORDS = [
    record(run_id="good", accuracies=[0.8, 0.81, 0.82], message=text("one process was lost")),
    record(run_id="same", method="two", accuracies=[0.79, 0.8, 0.83]),
    record(
        run_id="other-ipc",
        comparable=False,
        not_comparable_because=[
            Reason("ipc", text("IPC 3 instead of 20")),
            Reason("time-limit", text("limit 5 s instead of 60 s")),
        ],
        origin=Origin("run", run_id="good"),
        scoring=ScoringRuntime(
            "cpu", 2, "fast", {"convnet3": "plain"}, text("no compiler was found")
        ),
    ),
    record(
        run_id="file",
        limit_enforced=False,
        origin=Origin("file", file="team.pt", format="mtt"),
        checks=[Finding("warning", "range", text("values look odd")), Finding("note")],
        official=OfficialScore(["cifar100"], error=text("the evaluator crashed")),
    ),
    record(
        run_id="interrupted",
        accuracies=[],
        status="error",
        message=text("scoring failed, the images are kept: interrupted"),
        failed_stage="scoring",
        interrupted=True,
        comparable=False,
        not_comparable_because=[Reason("status", text("status error"))],
    ),
    record(
        run_id="invalid",
        accuracies=[],
        status="invalid",
        message=text("not readable, or not safetensors"),
        failed_stage="reading",
        comparable=False,
        images_sha256=None,
        origin=Origin("shards"),
    ),
]


def reworded(original):
    """Return the record with all of its texts reworded."""

    def other(words):
        return TEXTS.get(words, words)

    official, scoring = original.official, original.scoring
    reasons = original.not_comparable_because
    return replace(
        original,
        message=other(original.message),
        not_comparable_because=[Reason(reason.code, other(reason.text)) for reason in reasons],
        checks=[replace(check, text=other(check.text)) for check in original.checks],
        official=official and replace(official, error=other(official.error)),
        scoring=scoring and replace(scoring, fallback=other(scoring.fallback)),
    )


def restored(shown):
    """Return ``shown`` with the original texts instead of the reworded ones."""
    for words, others in TEXTS.items():
        shown = shown.replace(others, words)
    return shown


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return the records as read from one runs folder, and reworded from another."""
    entries = []
    for records in (RECORDS, [reworded(original) for original in RECORDS]):
        runs = tmp_path_factory.mktemp("messages")
        for saved in records:
            folder = runs / saved.track / saved.dataset / saved.method / saved.run_id
            folder.mkdir(parents=True)
            (folder / store.RECORD).write_text(saved.to_json())
        found, problems = store.entries([runs])
        assert problems == []
        entries.append(found)
    return entries


def test_rewording_changes_every_record_with_a_text(both):
    for original, other in zip(*both, strict=True):
        assert (original[1] == other[1]) == (original[1].run_id == "same")


def test_ranks_do_not_depend_on_texts(both):
    ranks, others = (
        [(row.record.run_id, row.rank) for row in ranking.rows(record for _, record in entries)]
        for entries in both
    )
    assert ranks == others
    assert {rank for _, rank in ranks} > {"", "1-2"}


@pytest.mark.parametrize("style", ["csv", "json"])
def test_tables_differ_only_in_the_texts(both, style):
    """The other formats pad their columns to the width of the texts."""
    table, other = (
        tables.render(built([record for _, record in entries], published=()), style)
        for entries in both
    )
    assert table != other
    assert table == restored(other)


def test_pages_differ_only_in_the_texts(both, tmp_path):
    written = []
    for entries in both:
        pages.write(entries, tmp_path / str(len(written)))
        folder = tmp_path / str(len(written))
        written.append({path.relative_to(folder): path for path in folder.rglob("*.html")})
    assert written[0].keys() == written[1].keys()
    for name, path in written[0].items():
        assert path.read_text() == restored(written[1][name].read_text())


def test_reports_differ_only_in_the_texts(both):
    for (folder, original), (_, other) in zip(*both, strict=True):
        assert report.describe(original, folder) == restored(report.describe(other, folder))
        assert report.command(original) == report.command(other)


def test_comparisons_do_not_depend_on_texts(both):
    first, other = (compared(*(record for _, record in entries)) for entries in both)
    assert comparison.to_json(first) == comparison.to_json(other)
    assert comparison_tables.describe(first) == comparison_tables.describe(other)
