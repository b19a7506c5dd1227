"""Usage errors of the commands that work on existing sets."""

import pytest

SETTINGS = ("--format", "eccv2024", "--track", "few", "--name", "T")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["check", "absent.pt", "--format", "eccv2024", "--dataset", "cifar10"],
            "absent.pt is missing",
        ),
        (["check", "team", "--format", "gif", "--dataset", "cifar10"], "unknown format 'gif'"),
        (["score", "team", "--format", "eccv2024", "--name", "T"], "name the track"),
        (["score", "team", "--format", "eccv2024", "--track", "few"], "name the team with --name"),
        (["score", "absent", *SETTINGS], "absent is missing"),
        (["score", "nothing"], "no run 'nothing'"),
        (["score", "team", *SETTINGS, "--max-memory", "-1"], "--max-memory -1: expected GiB"),
        (["score", "team", *SETTINGS, "--recipe", "few/9"], "unknown recipe"),
        (["export", "nothing", "--format", "mtt", "--output", "out"], "no run 'nothing'"),
        (["leaderboard", "--columns", "rank,colour"], "unknown column 'colour'"),
        (["leaderboard", "--columns", "rank", "--format", "json"], "--columns selects"),
        (["leaderboard", "--rows", "5", "--format", "csv"], "--format csv has all rows"),
        (["runs", "--last", "-1"], "--last"),
    ],
)
def test_usage_errors_print_one_line(ddbench, example_folder, submission, arguments, message):
    done = ddbench(*arguments, path=[example_folder])
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_plugin_adds_a_command_and_cannot_replace_one(ddbench, example_folder):
    done = ddbench("greet", path=[example_folder])
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert "Say hello." in ddbench("--help", path=[example_folder]).stdout
    assert "--time-limit" in ddbench("run", "--help", path=[example_folder]).stdout


def test_broken_command_of_a_plugin_stops_no_other_command(ddbench, example_folder):
    done = ddbench("--help", path=[example_folder])
    assert done.returncode == 0
    assert done.stderr.startswith("command broken skipped because its import failed: ")
    done = ddbench("broken", path=[example_folder])
    assert done.returncode == 2
    assert "No such command 'broken'" in done.stderr
    assert "Traceback" not in done.stderr
