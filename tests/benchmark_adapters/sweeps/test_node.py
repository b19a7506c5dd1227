"""The check of a machine before it gets work."""

import pytest

from benchmark_adapters import environment
from benchmark_adapters.runs import unfinished
from benchmark_adapters.runs.request import Request
from benchmark_adapters.sweeps import node
from benchmark_adapters.sweeps.engines import machines
from benchmark_adapters.sweeps.node import Node

GOOD = Request("random-real", device="cpu")


@pytest.fixture
def probe(tmp_path):
    (tmp_path / "probe").write_text("token")
    return tmp_path / "probe"


@pytest.mark.slow
def test_a_machine_with_everything_lacks_nothing_and_names_what_it_has(probe, tmp_path):
    found = node.check([GOOD], str(tmp_path), probe, "token")
    assert found.environment == unfinished.here()
    assert (found.lacks, "model turbo-mini" in found.has) == ("", True)


@pytest.mark.parametrize(
    ("request_", "folder", "token", "message"),
    [
        (GOOD, "nowhere", "token", "a sweep needs a shared file system"),
        (GOOD, "", "other", "a sweep needs a shared file system"),
        (Request("godo"), "", "token", "unknown method 'godo'"),
        (Request("herding", track="eccv2024-fixed"), "", "token", "cifar100"),
    ],
)
def test_what_a_machine_lacks_is_one_line(
    probe, tmp_path, monkeypatch, request_, folder, token, message
):
    monkeypatch.setenv("DDBENCH_DATA", str(tmp_path))
    found = node.check([request_], str(tmp_path / folder), probe, token)
    assert message in found.lacks
    assert "\n" not in found.lacks


def test_the_largest_group_of_like_machines_gets_the_work():
    def machine(cpus, gpus=0, **environment):
        return machines.Machine("a name", cpus, gpus, Node(environment))

    found = {
        "a": machine(4, cpu="old"),
        "b": machine(4, cpu="new"),
        "c": machine(8, cpu="new"),
        "d": machine(4, cpu="new"),
        "e": machine(64, gpus=2, cpu="new"),
    }
    assert machines.largest(found, wants_gpu=False) == ["b", "d"]
    assert machines.largest(found, wants_gpu=True) == ["e"]
    assert machines.largest({}, wants_gpu=True) == []


def test_other_versions_and_missing_models_are_told():
    here = {**unfinished.here()}
    assert machines.lacking(Node(here, frozenset({"model a"})), {"model a"}) == ""
    other = Node({**here, "torch": "1.0"})
    ours = environment.versions()["torch"]
    assert machines.lacking(other, set()) == f"torch 1.0 instead of {ours}"
    text = machines.lacking(Node(here), {"model a", "compiler"})
    assert text == "it lacks what others have: compiler, model a"
