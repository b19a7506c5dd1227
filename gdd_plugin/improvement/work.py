"""How much work each phase does: as much as the time allows, or fixed numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmark_adapters.types import UserError

AUTO, NONE = "auto", "none"
# Larger sets are selected but not refined by default: the time would suffice for a few steps.
MAX_REFINED = 1000


@dataclass(frozen=True)
class Work:
    """The phases of a run and their amounts of work.

    Attributes:
        select: ``none``, ``kmeans``, ``regression``, or ``auto`` before `decide`.
        refine: ``none``, ``pixels``, ``latents``, or ``auto`` before `decide`.
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
        return self.select == self.refine == NONE

    def decide(self, track: str, images: int, obstacle: str) -> Work:
        """Return the work without ``auto``, and with the fixed counts of the track.

        Args:
            track: name of the track.
            images: number of images in the set.
            obstacle: why nothing but sampling is possible; empty: it is.

        Raises:
            UserError: a phase was requested in spite of the obstacle.
        """
        phases = {"select": self.select, "refine": self.refine}
        requested = [
            f"{name}={value}" for name, value in phases.items() if value not in (AUTO, NONE)
        ]
        if obstacle and requested:
            raise UserError(f"--option {requested[0]} {obstacle}")
        if obstacle:
            return replace(self, select=NONE, refine=NONE)
        refine = "pixels" if images <= MAX_REFINED else NONE
        fixed = FIXED.get(track, self)
        return replace(
            self,
            select="regression" if self.select == AUTO else self.select,
            refine=refine if self.refine == AUTO else self.refine,
            pool=self.pool or fixed.pool,
            sweeps=self.sweeps or fixed.sweeps,
            visits=self.visits or fixed.visits,
        )


# Where the counts are fixed, a seed gives the same images on every machine that is fast enough.
FIXED = {"quickstart": Work(AUTO, AUTO, pool=200, sweeps=3, visits=8)}


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
