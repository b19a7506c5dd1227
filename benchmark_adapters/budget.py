"""The time that a method has left."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Time for one distilled set.

    The parent process kills the method's process at ``deadline``, whatever this says.

    Attributes:
        limit: seconds from the start of the method's process, imports and model loading counted.
        deadline: on the clock of ``time.monotonic``, which all processes of a machine share.
    """

    limit: float
    deadline: float

    def remaining(self) -> float:
        """Seconds until the limit, never negative."""
        return max(0.0, self.deadline - time.monotonic())
