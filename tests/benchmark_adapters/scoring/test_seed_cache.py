"""The results of finished seeds that are kept on disk."""

import json
import os

import msgspec
import pytest

from benchmark_adapters.scoring import seed_cache
from benchmark_adapters.scoring.seed_cache import Score, SeedCache, SeedResult

RESULT = SeedResult(0.75, [[3, 1], [1, 3]], 1.5, "fused", None, "a" * 64, "mlp", 0)
SIZES = [4, 4]


@pytest.fixture
def stored(tmp_path):
    """Return a cache, and the file in it with a result."""
    cache = SeedCache(tmp_path / "cache")
    cache.put(RESULT)
    (path,) = cache.folder.iterdir()
    return cache, path


def test_cache_returns_stored_result(stored):
    cache, _ = stored
    assert cache.get("a" * 64, SIZES) == RESULT
    assert cache.get("b" * 64, SIZES) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy": "0.75"},
        {"accuracy": 0.76},
        {"accuracy": -0.75},
        {"accuracy": 1.5},
        {"accuracy": None},
        {"confusion": [[4, 0], [0, 4]]},
        {"confusion": [[3, 1], [1, 4]]},
        {"confusion": [[4, 1], [1, 2]]},
        {"confusion": [[5, -1], [1, 3]]},
        {"confusion": [[3, 1, 0], [1, 3, 0]]},
        {"confusion": [[3, 1]]},
        {"confusion": [[3, 1], [1, 3], []]},
        {"confusion": [[3, 1], [1, 3.0]]},
        {"confusion": []},
        {"seconds": -1},
        {"seconds": 1e300},
        {"backend": "unknown"},
        {"fallback": "x" * 2000},
        {"cache_key": "b" * 64},
    ],
)
def test_a_forged_or_damaged_field_is_noticed(stored, changes):
    cache, path = stored
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert cache.get("a" * 64, SIZES) is None


@pytest.mark.parametrize("content", ["", "junk", "[" * 100_000, '{"accuracy": NaN}', "1e999"])
def test_a_file_that_is_no_result_is_ignored(stored, content):
    cache, path = stored
    path.write_text(content)
    assert cache.get("a" * 64, SIZES) is None


def test_a_result_with_a_missing_field_is_ignored(stored):
    cache, path = stored
    good = json.loads(path.read_text())
    for name in good:
        path.write_text(json.dumps({key: value for key, value in good.items() if key != name}))
        assert cache.get("a" * 64, SIZES) is None


def test_links_pipes_and_enormous_files_are_not_read(stored, tmp_path, monkeypatch):
    cache, path = stored
    elsewhere = path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(elsewhere)
    assert cache.get("a" * 64, SIZES) is None
    path.unlink()
    os.mkfifo(path)
    assert cache.get("a" * 64, SIZES) is None
    path.unlink()
    elsewhere.rename(path)
    monkeypatch.setattr(seed_cache, "MAX_BYTES", 10)
    assert cache.get("a" * 64, SIZES) is None
    monkeypatch.undo()
    folder = cache.folder.rename(tmp_path / "moved")
    cache.folder.symlink_to(folder)
    assert cache.get("a" * 64, SIZES) is None


def test_score_sums_confusion_counts():
    other = msgspec.structs.replace(RESULT, accuracy=0.5, confusion=[[2, 2], [2, 2]])
    assert Score.of([RESULT, other]) == Score([0.75, 0.5], [[5, 3], [3, 5]])
