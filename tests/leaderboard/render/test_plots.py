"""Plots as SVG."""

from made_records import record

from leaderboard.analysis import sections
from leaderboard.render import plots


def test_plots_follow_the_theme_and_tell_methods_apart():
    (section,) = sections.build(
        [
            record(run_id="a"),
            record(
                run_id="b",
                method=r"<script>$\frac{x}$",
                ipc=50,
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
        assert "\\frac" in svg  # as it stands, no formula
    assert plots.accuracy(section.rows, plots.SECONDS) == plots.accuracy(
        section.rows, plots.SECONDS
    )


def test_without_scores_there_is_no_plot():
    (section,) = sections.build(
        [record(accuracies=[], status="error", comparable=False)], published=()
    )
    assert plots.accuracy(section.rows, plots.IPC) is None
