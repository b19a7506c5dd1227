"""Published results, for orientation: with their source, never ranked among runs."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Reference:
    """A published accuracy.

    ``ipc`` None: the whole training set. ``accuracy`` is a fraction. ``tracks``: those whose evaluation it followed, as its source says;
    empty: another one, which ``protocol`` describes. ``verified``: somebody read it in the source itself.
    """

    dataset: str
    method: str
    ipc: int | None
    accuracy: float
    student: str
    protocol: str
    source: str
    url: str
    verified: bool
    tracks: tuple[str, ...] = ()


@cache
def load(path: Path = FILE) -> tuple[Reference, ...]:
    """All published results in ``path``, a TOML file of tables by source and dataset."""
    found = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["published"]:
        common = {
            key: entry.get(key, default) for key, default in (("url", ""), ("verified", False))
        }
        common |= {key: entry[key] for key in ("dataset", "student", "protocol", "source")} | {
            "tracks": tuple(entry.get("tracks", ()))
        }
        for method, values in entry["percent"].items():
            for ipc, value in zip(entry["ipc"], values, strict=True):
                if not math.isnan(value):
                    found.append(
                        Reference(method=method, ipc=ipc or None, accuracy=value / 100, **common)
                    )
    return tuple(found)


def beside(
    track: str, dataset: str, ipcs: Iterable[int], known: Iterable[Reference] | None = None
) -> list[Reference]:
    """The results that belong beside runs of ``track`` on ``dataset`` with one of ``ipcs`` images per class; best first for each IPC.

    With the whole training set's, where there are others.
    """
    wanted = set(ipcs)
    of_dataset = [
        one
        for one in (load() if known is None else known)
        if one.dataset == dataset and (not one.tracks or track in one.tracks)
    ]
    if not any(one.ipc in wanted for one in of_dataset):
        return []
    chosen = [one for one in of_dataset if one.ipc is None or one.ipc in wanted]
    return sorted(chosen, key=lambda one: (one.ipc or math.inf, -one.accuracy, one.method))
