"""The cache of seed results."""

import json

import msgspec

from benchmark_adapters.scoring.seed_cache import Score, SeedCache, SeedResult

RESULT = SeedResult(0.75, [[3, 1], [1, 3]], 1.5, "fused", None, "a" * 64)


def test_cache_returns_stored_result(tmp_path):
    SeedCache(tmp_path / "cache").put(RESULT)
    assert SeedCache(tmp_path / "cache").get("a" * 64) == RESULT
    assert SeedCache(tmp_path / "cache").get("b" * 64) is None
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_cache_ignores_damaged_and_foreign_results(tmp_path):
    cache = SeedCache(tmp_path)
    cache.put(RESULT)
    (path,) = tmp_path.iterdir()
    good = json.loads(path.read_text())
    for content in (
        "",
        "junk",
        json.dumps({**good, "accuracy": "0.75"}),
        json.dumps({**good, "backend": "unknown"}),
        json.dumps({**good, "cache_key": "b" * 64}),
        json.dumps({key: value for key, value in good.items() if key != "fallback"}),
    ):
        path.write_text(content)
        assert cache.get("a" * 64) is None


def test_score_sums_confusion_counts():
    other = msgspec.structs.replace(RESULT, accuracy=0.5, confusion=[[2, 2], [2, 2]])
    assert Score.of([RESULT, other]) == Score([0.75, 0.5], [[5, 3], [3, 5]])
