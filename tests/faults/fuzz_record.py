"""Fuzz the reader of records, and every table, text and page that is made of those it reads.

``python tests/faults/fuzz_record.py CORPUS -max_total_time=60 ...`` takes libFuzzer's options, and
``... FILE`` repeats what it found. Run it with ``tests/support`` in ``PYTHONPATH``.
"""

from __future__ import annotations

import contextlib
import json
import sys
import zlib
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import atheris

# ruff: noqa: E402
# Of the packages that are imported here, libFuzzer learns which branches of these are taken.
OURS = {"include": ["benchmark_adapters", "leaderboard"]}
with atheris.instrument_imports(**OURS):
    import shown_records

    from leaderboard import stats
    from leaderboard.records import store
    from leaderboard.records.record import Record

import fuzz_mutations
import psutil
from fuzz_watch import Watch
from hostile_files import MAX_MEGABYTES
from made_records import COMPARED, FULL, TWO_DATASETS
from project import ROOT

MAX_CASE = 100_000
MAX_RECORDS = 6
# Plots take a hundred times as long as text.
PAGES_EVERY = 40
# What earlier schemas held.
OLD = {
    "facts": {
        "processes": 2,
        "scored_on": {"device": "cpu", "threads": 2},
        "official": {"correct": 0.5, "seconds": 9.0, "error": None, "datasets": ["cifar100"]},
        "checks": ["warning: odd", "fine"],
        "shards": [{"run_id": "one"}],
        "file": "images.pt",
    },
    "not_comparable_because": ["IPC 3 instead of 20", "student mlp"],
    "given": ["a=b"],
    "cross": {"mlp": [0.5]},
}
WATCH = Watch()


def one_input(data: bytes, has_pages: bool | None = None) -> None:
    """Read a list of records as they are on the disk, and show those that can be read."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        values = None
    texts = list(map(_text, values)) if isinstance(values, list) else [data]
    with TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        for number, text in enumerate(texts):
            run = runs / "track" / "dataset" / "method" / str(number)
            run.mkdir(parents=True)
            (run / store.RECORD).write_bytes(text)
        with WATCH.within(Path(folder)):
            entries, problems = store.entries([runs])
            assert len(entries) + len(problems) == len(texts)
            assert all("\n" not in problem for problem in problems), problems
            for _, record in entries:
                assert Record.from_json(record.to_json()) == record
            if entries:
                for text in shown_records.texts(entries):
                    text.encode()
                if has_pages if has_pages is not None else zlib.crc32(data) % PAGES_EVERY == 0:
                    shown_records.write_pages(entries, Path(folder))


def _text(value: Any) -> bytes:
    """Return a record as JSON, or text as it is, since that need not be JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="surrogatepass")


def changed(data: bytes, max_size: int, seed: int) -> bytes:
    """Change values of the records, or which records there are. libFuzzer calls this."""
    random = Random(seed)
    values: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads(data)
    if not isinstance(values, list) or not values:
        values = random.sample(seeds(), 2)
    at = random.randrange(len(values))
    kind = random.random()
    if kind < 0.04:
        text = json.dumps(values[at]) if isinstance(values[at], dict) else str(values[at])
        values[at] = atheris.Mutate(text.encode(errors="replace"), len(text) + 20).decode(
            errors="replace"
        )
    elif kind < 0.15:
        values.append(random.choice([*seeds(), *values]))
    elif kind < 0.2:
        del values[at]
    else:
        with contextlib.suppress(RecursionError):
            values[at] = fuzz_mutations.json_value(random, values[at])
    if isinstance(values, list) and random.random() < 0.95:
        values = [consistent(value) for value in values[-MAX_RECORDS:]]
    new = json.dumps(values).encode()
    return new if len(new) <= max_size else data


def consistent(value: Any) -> Any:
    """Return a record whose seeds and summary fit its accuracies, as far as it has some."""
    if not isinstance(value, dict) or not isinstance(value.get("accuracies"), list):
        return value
    scores = [one for one in value["accuracies"] if isinstance(one, float) and 0 <= one <= 1]
    mean, spread, interval = stats.summary(scores)
    seeds = value.get("seeds")
    known = [one for one in seeds if isinstance(one, int)] if isinstance(seeds, list) else []
    return value | {
        "accuracies": scores,
        "seeds": [*known, *range(len(scores))][: len(scores)],
        "accuracy_mean": mean,
        "accuracy_std": spread,
        "accuracy_ci95": interval,
    }


@cache
def seeds() -> list[dict[str, Any]]:
    """Return good records: those in docs, and those with which tests are made."""
    made = [json.loads(one.to_json()) for one in (*TWO_DATASETS, *COMPARED, FULL)]
    made += [{**one, **OLD, "schema": schema} for schema in (1, 2) for one in made[:2]]
    return made + [json.loads(one.read_text()) for one in (ROOT / "docs/runs").rglob(store.RECORD)]


def main() -> None:
    """Show all seeds, so that what is imported is imported, and begin."""
    with atheris.instrument_imports(**OURS):
        for one in seeds():
            one_input(json.dumps([one]).encode(), has_pages=False)
        for batch in (seeds()[:12], seeds()[12:]):
            one_input(json.dumps(batch).encode(), has_pages=True)
    folder = Path(sys.argv[1])
    for number in range(len(seeds()) if folder.is_dir() else 0):
        some = json.dumps(seeds()[number : number + 3])
        (folder / f"seed-{number}").write_text(some)
    WATCH.is_on = True
    used = psutil.Process().memory_info().rss // 2**20
    limits = [f"-rss_limit_mb={used + MAX_MEGABYTES}", f"-max_len={MAX_CASE}", "-len_control=0"]
    atheris.Setup([*sys.argv, *limits, "-cross_over=0"], one_input, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
