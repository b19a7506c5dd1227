"""The time budget of a method."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """The time allowed for generating one distilled set.

    The parent process kills the method's process at ``deadline``, even if the method ignores it.

    Attributes:
        limit: seconds from the start of the method's process, including imports and model loading.
        deadline: value of ``time.monotonic`` at which the limit expires. All processes on a
            machine share this clock.
    """

    limit: float
    deadline: float

    def remaining(self) -> float:
        """Return the seconds left until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())
