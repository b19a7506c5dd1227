"""Load the images of runs."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.types import UserError
from ddbench.board import Folders
from leaderboard.records.record import Record

if TYPE_CHECKING:
    import torch
    from torch.utils.data import Dataset

    from benchmark_adapters.types import Array, Normalisation


@dataclass(frozen=True)
class LoadedSet:
    """The distilled set of a run.

    Attributes:
        images: uint8 [N, C, H, W], memory-mapped; float32, normalised, if the set was scored from a
            file with such images.
        labels: int64 [N].
        class_names: in label order.
        record: the record of the run.
        folder: the folder of the run.
        normalisation: mean and standard deviation per channel of float32 images; None for uint8.
    """

    images: Array
    labels: Array
    class_names: tuple[str, ...]
    record: Record
    folder: Path
    normalisation: Normalisation | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def torch_dataset(self) -> Dataset[tuple[torch.Tensor, ...]]:
        """Return the set for a `torch.utils.data.DataLoader`.

        An item is an image, float32 [C, H, W] with pixels in [0, 1], and its label, int64. Float
        images are scaled back to pixels, some of which may lie outside [0, 1].
        """
        import torch
        from torch.utils.data import TensorDataset

        images = torch.tensor(self.images)
        if self.normalisation is None:
            pixels = images.float() / 255
        else:
            mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in self.normalisation)
            pixels = images * std + mean
        return TensorDataset(pixels, torch.from_numpy(self.labels))


def load(run: Record | str | PathLike[str], runs: Folders = "runs") -> LoadedSet:
    """Return the images, labels and class names of a run.

    Args:
        run: its record, its folder, or the beginning of its id.
        runs: one or more folders where runs are saved.

    Raises:
        UserError: there is no such run, it has no images, or its files are damaged.
    """
    from benchmark_adapters.formats import native
    from benchmark_adapters.runs import derived, read

    roots = [runs] if isinstance(runs, str | PathLike) else runs
    name = run.run_id if isinstance(run, Record) else str(run)
    folder = read.find_run(name, [Path(root) for root in roots])
    record = read.read_record(folder)
    if record.images_sha256 is None:
        raise UserError(f"{folder} has no images: its status is {record.status}")
    read.require_whole(folder, record)
    derived.restore(folder, record)
    contents = native.read_run(folder)
    return LoadedSet(
        contents.images,
        contents.labels,
        contents.class_names,
        record,
        folder,
        contents.normalisation,
    )
