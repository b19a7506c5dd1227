"""SVG plots."""

from made_records import built, record

from leaderboard.analysis.published import PublishedResult
from leaderboard.records.record import Seconds
from leaderboard.render import plots


def test_plots_follow_the_theme_and_escape_names():
    (section,) = built(
        [
            record(run_id="a"),
            record(
                run_id="b",
                method=r"<script>$\frac{x}$",
                ipc=50,
                seconds=Seconds(load=1.0, generate=2.0, limit=60.0),
                images_sha256="b",
                comparable=False,
            ),
        ],
        published=(),
    )
    for against in (plots.IPC, plots.SECONDS):
        svg = plots.accuracy(section.rows, against)
        assert "prefers-color-scheme: dark" in svg
        assert "var(--ink)" in svg
        assert plots.INK not in svg
        assert "<script" not in svg
        # The name is shown as it is, not as a formula.
        assert "\\frac" in svg
    assert plots.accuracy(section.rows, plots.SECONDS) == plots.accuracy(
        section.rows, plots.SECONDS
    )


def test_there_is_no_plot_without_scores():
    (section,) = built([record(accuracies=[], status="error", comparable=False)], published=())
    assert plots.accuracy(section.rows, plots.IPC) is None


def test_there_is_no_plot_of_time_without_measured_times():
    (section,) = built([record(seconds=Seconds(limit=60.0))], published=())
    assert plots.accuracy(section.rows, plots.SECONDS) is None


def test_there_is_no_plot_with_all_marks_at_one_place():
    records = [record(run_id="a"), record(run_id="b", method="b")]
    (section,) = built(records, published=())
    assert plots.accuracy(section.rows, plots.IPC) is None
    assert plots.accuracy(section.rows, plots.SECONDS) is None
    published = PublishedResult("fashion-mnist", "DM", 10, 0.8, "a", "b", "c", "", True)
    assert "published" in plots.accuracy(section.rows, plots.IPC, [published])
