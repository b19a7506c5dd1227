"""What a folder of pictures holds, whatever its layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark_adapters.pictures import Picture
from benchmark_adapters.types import Split, UserError

# Classes that a message names.
MAX_NAMED = 3


@dataclass(frozen=True)
class Contents:
    """The pictures of a dataset, not yet decoded.

    Attributes:
        class_names: in label order.
        splits: the pictures of each split, or all of them as ``train`` if a share of them is to be
            held out.
        prompts: text for each class that a text-to-image model gets; empty: the class names.
        ignored: number of other files by the ending of their name.
    """

    class_names: tuple[str, ...]
    splits: Mapping[Split, Sequence[Picture]]
    prompts: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    def check(self, where: object) -> None:
        """Check that every split has pictures of every class.

        Raises:
            UserError: it hasn't, there are fewer than two classes, or a label is not one of them.
        """
        count = len(self.class_names)
        if count < 2:
            raise UserError(f"{where} has {count} class; a dataset needs at least two")
        for split, pictures in self.splits.items():
            counts = Counter(picture.label for picture in pictures)
            for picture in pictures:
                if not 0 <= picture.label < count:
                    raise UserError(
                        f"{where}: {picture.name} has label {picture.label}, expected 0 "
                        f"to {count - 1}; use a split whose labels are known, or --test-split 0.2"
                    )
            missing = [name for label, name in enumerate(self.class_names) if not counts[label]]
            if missing:
                raise UserError(f"{where}: no pictures of {few(missing)} in {split}")

    def divided(self, share: float) -> Contents:
        """Hold out a share of the pictures of each class, at random but always the same.

        Raises:
            UserError: a class has a single picture.
        """
        import numpy as np

        rng = np.random.default_rng(0)
        splits: dict[Split, list[Picture]] = {"train": [], "test": []}
        for label, name in enumerate(self.class_names):
            members = [one for one in self.splits["train"] if one.label == label]
            if len(members) < 2:
                raise UserError(f"class {name} has one picture, so none can be held out")
            count = min(max(1, round(share * len(members))), len(members) - 1)
            tested = set(rng.permutation(len(members))[:count].tolist())
            for index, picture in enumerate(members):
                splits["test" if index in tested else "train"].append(picture)
        return replace(self, splits=splits)


def few(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(names[:MAX_NAMED])}{more}"
