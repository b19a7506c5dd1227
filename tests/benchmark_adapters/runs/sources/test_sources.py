"""Each source provides a set and its origin. Everything else is the same for all sources."""

import dataclasses

import pytest
from small_runs import run

from benchmark_adapters.execution.sandbox import Limits
from benchmark_adapters.formats import native
from benchmark_adapters.runs import pipeline
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.runs.sources.method import MethodSource
from benchmark_adapters.runs.sources.shards import ShardsSource
from benchmark_adapters.runs.sources.stored import FileSource, RunSource
from leaderboard.records import store

pytestmark = pytest.mark.usefixtures("methods_here", "untrained_probe")
KINDS = ("method", "file", "run", "shards")


class Sources:
    """One source of each kind: shards use the method ``divided``, all others random-real."""

    def __init__(self, plugins, tmp_path):
        self.plugins, self.tmp_path = plugins, tmp_path
        request = {"track": "few", "runs": tmp_path / "runs", "device": "cpu", "repeats": 1}
        (self.plan,) = plan_runs(Request("random-real", students=("mlp",), **request), plugins)
        (self.shards_plan,) = plan_runs(Request("divided", **request), plugins)
        self.dataset = self.plan.scoring.dataset

    def make(self, kind):
        return getattr(self, kind)()

    def complete(self, source):
        """Score the source's set; return the folder and the record."""
        folder = pipeline.complete(self.plan.scoring, source)
        return folder, store.read(folder)

    def method(self):
        return MethodSource(self.plan.sampling)

    def file(self):
        folder, _ = self.run_elsewhere("random-real")
        (folder / "record.json").unlink()
        return FileSource("team", folder, "native", self.dataset, 0, 30.0, Limits())

    def run(self):
        return RunSource(*self.run_elsewhere("random-real"), self.dataset, Limits())

    def shards(self):
        shards = {
            number: self.run_elsewhere("divided", shard=f"{number}/2", ipc=4) for number in range(2)
        }
        return ShardsSource(dataclasses.replace(self.shards_plan.sampling, ipc=4), shards, 2)

    def run_elsewhere(self, method, **values):
        runs = self.tmp_path / "elsewhere"
        return run(self.plugins, self.tmp_path, method, runs=runs, repeats=0, **values)


@pytest.fixture
def sources(example_plugins, tmp_path):
    return Sources(example_plugins, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_yields_a_scored_record(sources, tmp_path, kind):
    source = sources.make(kind)
    folder, record = sources.complete(source)
    assert (record.status, record.origin.kind, record.n) == ("ok", kind, 1)
    assert record.ipc == (4 if kind == "shards" else 2)
    assert folder.relative_to(tmp_path).parts[:-1] == ("runs", "few", "few", source.name)
    files = {"record.json", "manifest.json", "images.safetensors", "grid.png", "log.txt"}
    assert {path.name for path in folder.iterdir()} == files
    assert native.read(folder, sources.dataset).sha256 == record.images_sha256
    assert record.limit_enforced == (kind != "file")
    assert record.scoring.backends == {"mlp": "plain"}


def test_equal_images_score_the_same_from_every_source(sources):
    records = [sources.complete(sources.make(kind))[1] for kind in ("method", "file", "run")]
    assert len({record.images_sha256 for record in records}) == 1
    assert records[0].accuracies == records[1].accuracies == records[2].accuracies


def test_records_name_the_origin_of_their_images(sources):
    run_source, shards_source = sources.run(), sources.shards()
    _, scored_again = sources.complete(run_source)
    assert scored_again.origin.run_id == run_source.record.run_id
    _, joined = sources.complete(shards_source)
    runs = [record.run_id for _, record in shards_source.shards.values()]
    assert [shard.run_id for shard in joined.origin.shards] == runs
    file_source = sources.file()
    _, read = sources.complete(file_source)
    assert (read.origin.file, read.origin.format) == (file_source.path.name, "native")


def test_a_run_that_is_scored_again_keeps_its_speed(sources):
    """The method ``improves`` reports that it sampled 500 images in 0.25 seconds."""
    folder, record = sources.run_elsewhere("improves")
    assert record.images_per_second == 2000
    _, again = sources.complete(RunSource(folder, record, sources.dataset, Limits()))
    assert (again.sampled, again.images_per_second) == (500, 2000)


def test_images_from_files_stay_untrusted(sources):
    assert [sources.make(kind).is_untrusted for kind in KINDS] == [False, True, False, False]
    folder, record = sources.complete(sources.file())
    assert RunSource(folder, record, sources.dataset, Limits()).is_untrusted


def test_unreadable_file_leaves_a_record_without_images(sources, tmp_path):
    (tmp_path / "set").mkdir()
    source = FileSource("team", tmp_path / "set", "native", sources.dataset, 0, 30.0, Limits())
    folder, record = sources.complete(source)
    assert (record.status, record.failed_stage) == ("invalid", "reading")
    assert record.origin.kind == "file"
    assert {path.name for path in folder.iterdir()} == {"record.json", "log.txt"}
