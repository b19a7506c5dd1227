"""Show the progress of a run on stderr: one line per phase and, on a terminal, a progress bar."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from benchmark_adapters.types import Recipe
from leaderboard.text import plural


@contextlib.contextmanager
def sampling(title: str, ipc: int | None, limit: float) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of images per class so far."""
    from tqdm import tqdm

    wanted = "as many images per class as possible"
    if ipc is not None:
        wanted = f"{ipc} {plural(ipc, 'image')} per class"
    print(f"{title}: sampling {wanted} in at most {limit:g} s", file=sys.stderr, flush=True)
    with tqdm(total=ipc, desc="sampling", unit=" per class", leave=False, disable=None) as bar:

        def on_batch(count: int) -> None:
            bar.update(count - bar.n)

        yield on_batch


@contextlib.contextmanager
def scoring(student: str, recipe: Recipe, seeds: int) -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function to call with (index of the seed, done, total)."""
    from tqdm import tqdm

    print(
        f"scoring: {student} with recipe {recipe.name}, {seeds} {plural(seeds, 'seed')}",
        file=sys.stderr,
        flush=True,
    )
    with tqdm(
        desc="training",
        unit=" steps" if recipe.steps else " epochs",
        leave=False,
        disable=None,
        mininterval=0.2,
    ) as bar:

        def report(index: int, done: int, total: int) -> None:
            bar.total = seeds * total
            bar.set_description(f"seed {index + 1} of {seeds}", refresh=False)
            bar.update(index * total + done - bar.n)

        yield report
