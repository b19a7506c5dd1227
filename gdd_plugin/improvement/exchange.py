"""Exchange images of a set for those of a pool from which a regression learns more.

To add or remove an image changes the regression's matrix by one outer product, so its inverse can
be updated instead of computed again (Sherman & Morrison, Ann. Math. Stat. 21, 1950). One update
serves all candidates of a class. The regression is solved again only for each class, and after
`MAX_EXCHANGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

RIDGE = 0.1
# Exchanges after which the regression is solved again, because rounding errors add up.
MAX_EXCHANGES = 200


@dataclass(frozen=True)
class PoolFeatures:
    """Features of a pool, and sums over real images that determine the regression's loss on them.

    Attributes:
        pool: features x of the pool, float32 [n, r]. Those of real images have a mean square of 1.
        targets: targets y of the pool, float32 [n, classes].
        second_moment: the sum of x x' over the real images, float32 [r, r].
        cross_moment: the sum of x y' over the real images, float32 [r, classes].
    """

    pool: Tensor
    targets: Tensor
    second_moment: Tensor
    cross_moment: Tensor


def exchange(
    features: PoolFeatures, selected: Sequence[int], seed: int, is_over: Callable[[], bool]
) -> Iterator[list[int]]:
    """Exchange images of the set for better ones of the same class; yield the set after each sweep.

    A sweep goes through every image of the set once, class by class. Among all images of its class
    in the pool, the one with the lowest regression loss on the real images takes its place. The
    iterator ends when a sweep changes nothing or when ``is_over``.

    Args:
        features: the features of the pool.
        selected: indices of the images in the set.
        seed: determines the order within a sweep.
        is_over: returns whether the time is over; asked before each exchange.
    """
    rng = np.random.default_rng([seed, 1])
    classes = features.targets.argmax(1).cpu()
    current = np.array(selected)
    while True:
        before = current.copy()
        for label in rng.permutation(features.targets.shape[1]):
            slots = rng.permutation(np.flatnonzero(classes.numpy()[current] == label))
            candidates = torch.where(classes == label)[0]
            for start in range(0, len(slots), MAX_EXCHANGES):
                state = _Candidates(features, current.tolist(), candidates)
                for slot in slots[start : start + MAX_EXCHANGES]:
                    if is_over():
                        return
                    current[slot] = state.exchange(int(current[slot]))
        yield current.tolist()
        if (current == before).all():
            return


class _Candidates:
    """The candidates of one class, while images of that class leave the set and enter it.

    With the features X [s, r] and the targets Y of the set, the regression's weights are
    W = P X' Y, where P is the inverse of X' X + ridge. With x and y of a candidate, S and C the
    moments of the real images, the attributes hold for each candidate:

        solved: x P, [c, r]
        leverage: x P x', [c]
        spread: x P S P x', [c]
        residual: y - x W, [c, classes]
        slope: x P (S W - C), half the gradient of the loss along x P, [c, classes]
    """

    def __init__(self, features: PoolFeatures, selected: Sequence[int], candidates: Tensor) -> None:
        """Solve the regression for the set ``selected``."""
        self.moment = features.second_moment
        self.candidates = candidates.tolist()
        rows, targets = features.pool[list(selected)], features.targets[list(selected)]
        ridge = RIDGE * torch.eye(rows.shape[1], device=rows.device)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(rows.t() @ rows + ridge))
        weights = inverse @ (rows.t() @ targets)
        self.inputs = features.pool[candidates]
        self.solved = self.inputs @ inverse
        self.leverage = (self.solved * self.inputs).sum(1)
        self.spread = ((self.solved @ self.moment) * self.solved).sum(1)
        self.residual = features.targets[candidates] - self.inputs @ weights
        self.gradient = self.moment @ weights - features.cross_moment
        self.slope = self.solved @ self.gradient
        self.is_used = torch.isin(candidates, torch.tensor(selected)).to(rows.device)

    def exchange(self, image: int) -> int:
        """Take ``image`` out of the set, put the best candidate in, and return that one."""
        removed = self.candidates.index(image)
        self._update(removed, -1)
        divisor = 1 + self.leverage
        linear = 2 * (self.slope * self.residual).sum(1) / divisor
        change = linear + self.spread * self.residual.square().sum(1) / divisor.square()
        change[self.is_used] = float("inf")
        best = int(change.argmin())
        self._update(best, 1)
        return self.candidates[best]

    def _update(self, index: int, sign: int) -> None:
        """Add (``sign`` 1) or remove (-1) a candidate: P and W change by one outer product."""
        solved, residual = self.solved[index].clone(), self.residual[index].clone()
        divisor = sign + self.leverage[index].clone()
        moment = self.moment @ solved
        common = self.inputs @ solved / divisor
        along = self.solved @ moment
        self.slope += torch.outer(along - common * (solved @ moment), residual / divisor)
        self.slope -= torch.outer(common, solved @ self.gradient)
        self.gradient += torch.outer(moment, residual / divisor)
        self.spread += common * (common * (solved @ moment) - 2 * along)
        self.leverage -= common.square() * divisor
        self.residual -= torch.outer(common, residual)
        self.solved -= torch.outer(common, solved)
        self.is_used[index] = sign > 0
