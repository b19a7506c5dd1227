"""How much work each phase does: as much as the time allows, or fixed numbers."""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"


@dataclass(frozen=True)
class Work:
    """The phases of a run and their amounts of work.

    Attributes:
        select: ``none``, ``kmeans`` or ``regression``.
        refine: ``none`` or ``pixels``.
        pool: images per class to select from; None: as many as suit the IPC and the time.
        sweeps: sweeps of the selection; None: as many as the time allows.
        visits: visits of the refinement that are planned; None: as many as the time allows. The
            learning rate depends on this number.
        last_visit: visits after which the refinement ends, if that is earlier.
    """

    select: str
    refine: str
    pool: int | None = None
    sweeps: int | None = None
    visits: int | None = None
    last_visit: int | None = None

    @property
    def is_sampling_alone(self) -> bool:
        """Return whether sampled images become the set as they are."""
        return self.select == "none" and self.refine == "none"


def parse_count(text: str) -> int | None:
    """Return the number that an option holds, or None for ``auto``.

    Raises:
        ValueError: it is neither.
    """
    if text == AUTO:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("expected auto, or a number from 1")
    return int(text)


def parse_visits(text: str) -> tuple[int | None, int | None]:
    """Return the planned visits and the last one, from ``auto``, ``N`` or ``LAST/N``.

    Raises:
        ValueError: it is none of these.
    """
    last, separator, planned = text.partition("/")
    if not separator:
        return parse_count(text), None
    return parse_count(planned), parse_count(last)
