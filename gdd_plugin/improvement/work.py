"""How much work each phase does: as much as the time allows, or fixed numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmark_adapters.types import UserError

AUTO, NONE = "auto", "none"
# Larger sets are selected but not refined by default: the time would suffice for a few steps.
MAX_REFINED = 5000


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
        last_visit: visits after which the refinement ends, without a choice between states; None:
            after all of them, with a choice.
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
            obstacle: why the set can't be improved; empty: it can.

        Raises:
            UserError: an option asks for a phase that can't run, or for work in a phase that does
                not run.
        """
        if obstacle:
            for name, value in (("select", self.select), ("refine", self.refine)):
                if value not in (AUTO, NONE):
                    raise UserError(f"--option {name}={value} {obstacle}")
            work = replace(self, select=NONE, refine=NONE)
        else:
            pixels = "pixels" if images <= MAX_REFINED else NONE
            work = replace(
                self,
                select="regression" if self.select == AUTO else self.select,
                refine=pixels if self.refine == AUTO else self.refine,
            )
        work._check_counts()
        fixed = FIXED.get(track, self)
        return replace(
            work,
            pool=fixed.pool if self.pool is None else self.pool,
            sweeps=fixed.sweeps if self.sweeps is None else self.sweeps,
            visits=fixed.visits if self.visits is None else self.visits,
        )

    def _check_counts(self) -> None:
        """Raise `UserError` if the work of a phase is given that does not run."""
        checks = (
            ("pool", self.pool, self.select != NONE, "select"),
            ("sweeps", self.sweeps, self.select == "regression", "select=regression"),
            ("visits", self.visits, self.refine != NONE, "refine"),
        )
        for name, count, runs, phase in checks:
            if count is not None and not runs:
                raise UserError(f"--option {name}={count} has no effect without {phase}")


# With fixed counts, every machine that is fast enough does the same work.
FIXED = {"quickstart": Work(AUTO, AUTO, pool=200, sweeps=3, visits=6)}


def parse_count(text: str, low: int = 1) -> int | None:
    """Return the number that an option holds, at least ``low``, or None for ``auto``.

    Raises:
        ValueError: it is neither.
    """
    if text == AUTO:
        return None
    if not text.isdecimal() or int(text) < low:
        raise ValueError(f"expected auto, or a number from {low}")
    return int(text)


def parse_sweeps(text: str) -> int | None:
    """Return the number of sweeps, or None for ``auto``.

    Raises:
        ValueError: it is neither.
    """
    return parse_count(text, low=0)


def parse_visits(text: str) -> tuple[int | None, int | None]:
    """Return the planned visits and the last one, from ``auto``, ``N`` or ``LAST/N``.

    Raises:
        ValueError: it is none of these.
    """
    last, separator, planned = text.partition("/")
    if not separator:
        return parse_count(text), None
    return parse_count(planned), parse_count(last, low=0)
