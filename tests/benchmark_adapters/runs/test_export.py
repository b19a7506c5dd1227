"""Exports of runs to other formats."""

from small_runs import only


def test_export_overwrites_nothing_and_leaves_no_partial_output(
    ddbench, example_folder, real_runs, submission, tmp_path
):
    run = only(real_runs, "few")
    again = ddbench("export", run, "--format", "mtt", "--output", "team", path=[example_folder])
    assert (again.returncode, "team exists and is not empty" in again.stderr) == (2, True)
    truth = ddbench(
        "export", run, "--format", "mtt", "--output", "out", "--truth", path=[example_folder]
    )
    assert "format mtt does not support real test images" in truth.stderr
    twice = ddbench("export", run, run, "--format", "mtt", "--output", "out", path=[example_folder])
    assert "a run on few was already given" in twice.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["team"]
    whole = ddbench(
        "export", run, "--format", "eccv2024", "--truth", "--output", "out", path=[example_folder]
    )
    assert whole.stdout.split() == ["out/few.pt", "out/few_test.pt"]
