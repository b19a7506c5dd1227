"""LRS and ARS: values computed by hand, and the command applied to records."""

import json
from dataclasses import replace

import pytest
from made_records import record

from leaderboard.analysis import ddranking


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        # e = 2.718282, 1/e = 0.367879, e - 1/e = 2.350402
        ((1.0, 1.0, 1.0, 0.0), 0.544946),  # a = 0.5: (1.648721 - 0.367879) / 2.350402
        ((0.5, 0.5, 0.5, 0.5), 0.268941),  # a = 0: (1 - 0.367879) / 2.350402
        ((1.0, 0.0, 0.0, 1.0), 0.0),  # a = -1, the minimum
        ((0.848, 0.31, 0.31, 0.31), 0.168594),  # a = -0.269: (0.764143 - 0.367879) / 2.350402
    ],
)
def test_lrs_agrees_with_values_computed_by_hand(accuracies, expected):
    assert ddranking.lrs(*accuracies) == pytest.approx(expected, abs=1e-5)


def test_lrs_weights_ior_and_hlr():
    # HLR = 0.8 - 0.5 = 0.3, IOR = 0.6 - 0.4 = 0.2
    # w = 0.5: a = -0.05: (0.951229 - 0.367879) / 2.350402 = 0.248192
    # w = 1: a = 0.2: (1.221403 - 0.367879) / 2.350402 = 0.363140
    assert ddranking.lrs(0.8, 0.5, 0.6, 0.4) == pytest.approx(0.248192, abs=1e-5)
    assert ddranking.lrs(0.8, 0.5, 0.6, 0.4, w=1) == pytest.approx(0.363140, abs=1e-5)


def test_ars_agrees_with_values_computed_by_hand():
    # g = 0.5: a = 0.5 * (0.7 - 0.6) + 0.5 * (0.5 - 0.6) = 0: 0.268941
    # g = 1: a = 0.1: (1.105171 - 0.367879) / 2.350402 = 0.313687
    assert ddranking.ars(0.7, 0.6, 0.5, 0.6) == pytest.approx(0.268941, abs=1e-5)
    assert ddranking.ars(0.7, 0.6, 0.5, 0.6, g=1) == pytest.approx(0.313687, abs=1e-5)


REAL = {"method": "random-real"}


@pytest.fixture
def keep(tmp_path):
    """Return a function that saves a record in the runs folder and returns its run id."""

    def keep(name, mean, **other):
        made = replace(record(run_id=f"20260101T000000Z-{name}", accuracies=[mean] * 3), **other)
        folder = tmp_path / "runs" / made.track / made.dataset / made.method / made.run_id
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(made.to_json())
        return made.run_id

    return keep


def test_robustness_accepts_runs_and_published_figures(ddbench, keep):
    own, random, whole = (
        keep("aaaaaa", 0.5),
        keep("bbbbbb", 0.4, **REAL),
        keep("cccccc", 0.8, ipc=6000, **REAL),
    )
    plain = keep(
        "dddddd", 0.3, recipe="ddranking-plain/1", recipe_sha256="other", images_sha256=own
    )
    random_plain = keep("eeeeee", 0.2, recipe="ddranking-plain/1", recipe_sha256="other", **REAL)
    arguments = (
        "--random",
        random,
        "--whole",
        whole,
        "--plain",
        plain,
        "--random-plain",
        random_plain,
        "--json",
    )
    found = json.loads(ddbench("robustness", own, *arguments).stdout)
    assert found["LRS"] == pytest.approx(ddranking.lrs(0.8, 0.5, 0.5, 0.4))
    assert found["ARS"] == pytest.approx(ddranking.ars(0.5, 0.4, 0.3, 0.2))
    assert found["whole_source"] == f"run {whole}"
    text = ddbench(
        "robustness", own, "--random", random, "--whole", "0.8", "--source", "a table"
    ).stdout
    assert "whole training set                   0.8000  (a table)" in text
    assert f"LRS                                  {found['LRS']:.4f}" in text


def test_robustness_refuses_runs_that_are_not_comparable(ddbench, keep):
    own, random = keep("aaaaaa", 0.5), keep("bbbbbb", 0.4, ipc=1, **REAL)
    failed, right = keep("cccccc", 0.4, status="timeout", **REAL), keep("dddddd", 0.4, **REAL)
    for arguments, message in [
        (
            ("--random", random, "--whole", "0.8", "--source", "x"),
            f"--random {random} can't be compared with {own}: different ipc",
        ),
        (
            ("--random", failed, "--whole", "0.8", "--source", "x"),
            f"--random {failed} has no score",
        ),
        (("--random", right, "--whole", "80", "--source", "x"), "--whole 80: expected a fraction"),
        (("--random", right, "--whole", "0.8"), "--source TEXT"),
        (("--random", own), "LRS needs --whole"),
        (
            ("--random", own, "--whole", "0.8", "--source", "x"),
            f"--random {own} is a run of one: choose a run of random-real",
        ),
        (
            ("--random", right, "--whole", right),
            f"--whole {right} does not use the whole training set",
        ),
        (
            ("--random", right, "--plain", own, "--random-plain", right),
            f"--plain {own} was scored with quickstart/1, expected ddranking-plain/1",
        ),
        (("--random", right, "--plain", own), "both --plain and --random-plain"),
        (
            ("--random", right, "--plain", random, "--random-plain", random),
            f"--plain {random} does not have the images of {own}",
        ),
    ]:
        done = ddbench("robustness", own, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
