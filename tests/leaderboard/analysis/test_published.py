"""Published results: the bundled file, and which results are shown next to which runs."""

from leaderboard.analysis import published


def test_matching_selects_by_dataset_ipc_and_track():
    known = published.load()
    found = published.matching("fashion-mnist", "fashion-mnist", [10], known)
    assert {result.method for result in found} == {
        "DC",
        "DSA",
        "DM",
        "MTT",
        "IDC",
        "herding",
        "random real images",
        "whole training set",
    }
    assert [result.ipc for result in found] == [10] * 7 + [None]
    assert published.matching("quickstart", "fashion-mnist", [20], known) == []
    of_challenge = {
        result.method for result in published.matching("eccv2024-fixed", "cifar100", [10], known)
    }
    assert "M-DATM, first place in the fixed track" in of_challenge
    assert "M-DATM, first place in the fixed track" not in {
        result.method for result in published.matching("ddranking", "cifar100", [10], known)
    }


def test_published_results_have_a_protocol_and_if_verified_a_source():
    results = published.load()
    assert all(0 < result.accuracy < 1 and result.student and result.protocol for result in results)
    verified = [result for result in results if result.verified]
    assert all(result.source and result.url.startswith("https://") for result in verified)
