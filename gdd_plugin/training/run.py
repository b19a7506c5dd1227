"""The folder of a training run, and the state that its stages share."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor
from torchvision.utils import save_image

from benchmark_adapters.types import UserError
from gdd_plugin.training.files import replacing, reporting_errors
from gdd_plugin.training.loss_log import LossLog


class TrainingRun:
    """A training run. With the same settings, it continues from the checkpoints in its folder.

    Attributes:
        accelerator: accelerate's interface to the device, processes and mixed precision.
        save_every: steps between checkpoints.
        settings: the settings as JSON values, including the number of processes.
        seconds: time spent in each stage so far.
        log: the log of the losses.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], save_every: int) -> None:
        """Open or create ``folder``.

        Raises:
            UserError: the folder cannot be written, its settings file is damaged, or it contains a
                training run with different settings.
        """
        self.accelerator = Accelerator(
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
        )
        self.folder, self.save_every = folder, save_every
        self.log = LossLog(folder / "log.csv")
        # Each process draws its own batch, so the number of processes matters. The conversion to
        # JSON and back makes the settings comparable with those that are read from the file.
        self.settings: dict[str, Any] = json.loads(
            json.dumps({**settings, "processes": self.accelerator.num_processes})
        )
        self.seconds: dict[str, float] = {}
        with self.accelerator.main_process_first(), reporting_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            before = self._begin_or_continue()
        different = sorted(
            key for key in {*before, *self.settings} if before.get(key) != self.settings.get(key)
        )
        if different:
            raise UserError(
                f"{folder} contains a training run with different settings "
                f"({', '.join(different)}); choose another folder, or use the same settings to "
                "continue"
            )

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"

    def _begin_or_continue(self) -> dict[str, Any]:
        """Return the settings in the folder. If there are none, write those of this run first."""
        if not self._settings_file.is_file():
            # A log without settings belongs to an earlier run that is finished.
            self.log.path.unlink(missing_ok=True)
            with replacing(self._settings_file) as temporary:
                temporary.write_text(json.dumps(self.settings, indent=1) + "\n")
        try:
            settings = json.loads(self._settings_file.read_text())
        except ValueError:
            settings = None
        if not isinstance(settings, dict):
            raise UserError(
                f"{self._settings_file} is damaged; delete {self.folder} to start again"
            )
        return settings

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the files."""
        return bool(self.accelerator.is_main_process)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self.accelerator.device
        return device

    def checkpoint(self, stage: str) -> Path:
        """Return the path of a stage's checkpoint."""
        return self.folder / "checkpoints" / f"{stage}.pt"

    def seed(self, *purpose: str | int) -> None:
        """Seed torch's generators for ``purpose`` and this process.

        A step that is repeated after an interruption therefore draws the same numbers.
        """
        words = (self.settings["seed"], self.accelerator.process_index, *purpose)
        digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=7).digest()
        torch.manual_seed(int.from_bytes(digest))

    def clear(self) -> None:
        """Delete the files that only an unfinished run needs."""
        shutil.rmtree(self.folder / "checkpoints")
        self._settings_file.unlink()

    def save_samples(self, images: Tensor) -> None:
        """Write ``samples.png`` from images [rows, columns, C, S, S] in [-1, 1]."""
        if self.is_main_process:
            path = self.folder / "samples.png"
            with reporting_errors(path):
                save_image((images.flatten(0, 1) + 1) / 2, path, nrow=images.shape[1])

    def plot_losses(self) -> None:
        """Write ``losses.svg``."""
        if self.is_main_process:
            path = self.folder / "losses.svg"
            with reporting_errors(path):
                self.log.plot(path)
