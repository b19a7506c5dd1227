"""What ranks need of a run."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from leaderboard.records.parts import TrackRules
from leaderboard.records.record import Record
from leaderboard.text import name_key


class Standing(msgspec.Struct, array_like=True):
    """The fields of a judged record that decide on its rank.

    Attributes:
        demands_sha256: hash of the demands that the run was judged by; empty: there are none.
        shards: IDs of the runs that it was merged from.
        folder: the folder of the run, or another text that no other run has.
    """

    run_id: str
    status: str
    track: str
    dataset: str
    method: str
    explicit_options: tuple[str, ...]
    model: str | None
    seed: int
    created: str
    category: str
    ipc: int
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    accuracy_mean: float | None
    student: str
    recipe_sha256: str
    data_sha256: str | None
    images_sha256: str | None
    rules: TrackRules | None
    limit_enforced: bool
    comparable: bool
    shard: str | None
    shards: tuple[str, ...] = ()
    demands_sha256: str = ""
    folder: str = ""

    @property
    def is_comparable(self) -> bool:
        """Return whether the run succeeded and followed all rules of its track."""
        return self.comparable and self.status == "ok"

    @property
    def maker(self) -> str:
        """Return what runs of one method or team share."""
        return name_key(self.method)

    @property
    def table(self) -> tuple[str, bool]:
        """Return what runs in one table of their track share."""
        return self.dataset, self.limit_enforced

    @property
    def images(self) -> Hashable:
        """Return what runs with the same images share."""
        return self.track, self.dataset, self.images_sha256

    @property
    def result(self) -> Hashable:
        """Return what runs with the same images and scoring share.

        A run that was not scored shares it only with its own copies.
        """
        if not (self.images_sha256 and self.accuracies):
            return self.run_id, self.track, self.dataset, self.method
        scoring = self.recipe_sha256, self.data_sha256, self.student, tuple(sorted(self.seeds))
        images = self.track, self.dataset, self.images_sha256
        return *images, self._rules_sha256, *scoring

    @property
    def entry(self) -> Hashable:
        """Return what the runs of one entry share: a team, or a method as it was set."""
        return self.method, self.explicit_options, self.model, self.seed, *self.rules_and_group

    @property
    def contest(self) -> Hashable:
        """Return what runs that are ranked together share."""
        return self.dataset, self.data_sha256, *self.rules_and_group

    @property
    def rules_and_group(self) -> tuple[Hashable, ...]:
        """Return the rules and the group that entries which are ranked together share."""
        rules = self.track, self._rules_sha256, self.recipe_sha256
        return *rules, self.category, self.limit_enforced

    @property
    def hashes(self) -> dict[str, str | None]:
        """Return the hashes of what runs must share to be ranked together."""
        return {
            "rules": self._rules_sha256,
            "recipe": self.recipe_sha256,
            "test images": self.data_sha256,
        }

    @property
    def _rules_sha256(self) -> str | None:
        return self.rules.sha256 if self.rules else None


DERIVED = ("shards", "demands_sha256", "folder")
NAMES = [name for name in Standing.__struct_fields__ if name not in DERIVED]


def of(record: Record, demands_sha256: str = "", folder: str = "") -> Standing:
    """Return the standing of a judged record."""
    values = {name: getattr(record, name) for name in NAMES}
    for name in ("explicit_options", "seeds", "accuracies"):
        values[name] = tuple(values[name])
    shards = tuple(one.run_id for one in record.origin.shards)
    return Standing(**values, shards=shards, demands_sha256=demands_sha256, folder=folder)


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Standing).decode
