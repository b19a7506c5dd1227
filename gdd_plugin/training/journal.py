"""What a training writes while it runs: checkpoints to resume from, log.csv, loss curves; and the loop that all stages share."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torchvision.utils import save_image
from tqdm import tqdm

from benchmark_adapters.types import UserError, one_line
from gdd_plugin.training import plot

LOG_EVERY = 50  # steps
COLUMNS = ("stage", "step", "loss", "value")  # of log.csv


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a full disk, or whatever else keeps ``path`` from being written, into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}; what was saved before is kept: make room and run the same command to continue") from None


class Journal:
    """The folder of one training; the same settings continue what lies there."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], save_every: int) -> None:
        """Opens ``folder``; ``save_every`` is in steps.

        Raises:
            UserError: the folder can't be written, or holds a training with other settings.
        """
        self.folder, self.settings, self.save_every = folder, settings, save_every
        self.accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
        self.seconds: dict[str, float] = {}
        given = folder / "settings.json"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            before = _settings(given)
            if before is None and self.accelerator.is_main_process:
                (folder / "log.csv").unlink(missing_ok=True)  # of an earlier training that is done
                given.write_text(json.dumps(settings, indent=1) + "\n")
        if before is not None and before != json.loads(json.dumps(settings)):
            differing = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
            raise UserError(f"{folder} holds a training with other settings ({', '.join(differing)}); give another folder, or the same settings to continue")

    def checkpoint(self, name: str) -> Path:
        return self.folder / "checkpoints" / f"{name}.pt"

    def seed(self, *what: str | int) -> None:
        """Sets torch's generators from the training's seed, the process and ``what``, so that a resumed step draws what it would have drawn."""
        words = "/".join(map(str, (self.settings["seed"], self.accelerator.process_index, *what)))
        torch.manual_seed(int.from_bytes(hashlib.blake2b(words.encode(), digest_size=7).digest()))

    def clear(self) -> None:
        """Removes what only an unfinished training needs."""
        shutil.rmtree(self.folder / "checkpoints")
        (self.folder / "settings.json").unlink()

    def pictures(self, images: Tensor) -> None:
        """Writes ``samples.png``: images [rows, columns, C, S, S] in [-1, 1]."""
        if self.accelerator.is_main_process:
            path = self.folder / "samples.png"
            with writing(path):
                save_image((images.flatten(0, 1) + 1) / 2, path, nrow=images.shape[1])

    def curves(self) -> None:
        """Writes ``losses.svg`` from log.csv: a panel for each stage."""
        if self.accelerator.is_main_process:
            path = self.folder / "losses.svg"
            with writing(path):
                plot.curves(self.folder / "log.csv", path)


def _settings(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = json.loads(file.read_text()) if file.is_file() else None
    except ValueError:
        raise UserError(f"{file} is damaged; remove its folder to begin again") from None
    return found


class _Trained:
    """The trained parameters alone: of an adapted model, a thousandth."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def state_dict(self) -> dict[str, Any]:
        return {name: parameter.detach() for name, parameter in self.net.named_parameters() if parameter.requires_grad}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.net.load_state_dict(state_dict, strict=False)


class Stage:
    """A loop over steps: ``for step in stage: stage.learn(loss, …)``. It resumes from its checkpoint, and saves it on its way and at its end.

    At its end the network has the moving average of its weights (``ema``), if one is kept.

    Attributes:
        net: the network to call, as accelerate prepared it (several processes, mixed precision).
        sampling: called at every save, for pictures.
    """

    def __init__(
        self,
        journal: Journal,
        name: str,
        steps: int,
        net: nn.Module,
        lr: float,
        weight_decay: float = 0.01,
        ema: float = 0.0,
        others: Mapping[str, Stateful] | None = None,
    ) -> None:
        """Trains ``net`` by AdamW under a one-cycle rate up to ``lr``; ``others`` are saved and resumed with it.

        Raises:
            UserError: there is a checkpoint of this stage, and it can't be continued.
        """
        self.journal, self.name, self.steps, self.accelerator = journal, name, steps, journal.accelerator
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr, betas=(0.9, 0.99), weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=max(0.05, 2 / steps))
        self.net, self.optimizer = self.accelerator.prepare(net, optimizer)
        self.trained, self.schedule = trained, schedule
        self.average = EMAModel(trained, decay=ema) if ema else None
        self.states: dict[str, Stateful] = {"net": _Trained(self.net), "optimizer": self.optimizer, "schedule": schedule, **(others or {})}
        if self.average:
            self.states["average"] = self.average
        self.sampling: Callable[[int], None] = lambda step: None
        self.done = self._load()
        self._forget()

    def __iter__(self) -> Iterator[int]:
        begun = time.monotonic() - self.journal.seconds.get(self.name, 0.0)
        self.bar = tqdm(total=self.steps, initial=self.done, desc=self.name, unit="step", mininterval=5, disable=not self.accelerator.is_main_process)
        try:
            for step in range(self.done, self.steps):
                self.journal.seed(self.name, step)
                yield step
                self.done = step + 1
                self.journal.seconds[self.name] = time.monotonic() - begun
                self.bar.update()
                if self.done % self.journal.save_every == 0 or self.done == self.steps:
                    self._save()
                    self.journal.curves()
                    with self._averaged():
                        self.sampling(self.done)
        finally:
            self.bar.close()
        if self.average:
            self.average.copy_to(self.trained)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if not self.average:
            yield
            return
        self.average.store(self.trained)
        self.average.copy_to(self.trained)
        yield
        self.average.restore(self.trained)

    def learn(self, loss: Tensor, **parts: Tensor) -> None:
        """One step of the optimizer down ``loss``; ``parts`` are logged beside it.

        Raises:
            UserError: a loss is not finite; nothing was changed by this step.
        """
        self.check(loss=loss, **parts)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        if self.average:
            self.average.step(self.trained)
        if self.done % LOG_EVERY == 0:
            self._log({"loss": loss, **parts})

    def check(self, **losses: Tensor) -> None:
        """Raises `UserError` where a loss is not finite."""
        for name, loss in losses.items():
            if not torch.isfinite(loss).all():
                path = self.journal.checkpoint(self.name)
                kept = f"the last good checkpoint is {path}" if path.exists() else "there is no checkpoint of this stage yet"
                advice = "try a lower learning rate or another seed in a new folder"
                raise UserError(f"stage {self.name}, step {self.done}: {name} is {loss.item()}; {kept}; {advice}")

    def _log(self, losses: Mapping[str, Tensor]) -> None:
        if not self.accelerator.is_main_process:
            return
        self.bar.set_postfix(loss=f"{losses['loss'].item():.4f}")
        path = self.journal.folder / "log.csv"
        with writing(path):
            new = not path.exists()
            with path.open("a", newline="") as file:
                rows = csv.writer(file)
                if new:
                    rows.writerow(COLUMNS)
                rows.writerows([self.name, self.done, name, f"{loss.item():.5f}"] for name, loss in losses.items())

    def _forget(self) -> None:
        """Takes rows out of the log that a killed training wrote after its checkpoint."""
        path = self.journal.folder / "log.csv"
        if not path.exists() or not self.accelerator.is_main_process:
            return
        kept = [row for row in csv.DictReader(path.read_text().splitlines()) if row["stage"] != self.name or int(row["step"]) < self.done]
        with path.open("w", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS)
            rows.writeheader()
            rows.writerows(kept)

    def _save(self) -> None:
        """Writes the checkpoint beside the old one and then in its place, so that a full disk or a kill leaves a good one."""
        if not self.accelerator.is_main_process:
            return
        path = self.journal.checkpoint(self.name)
        states = {name: state.state_dict() for name, state in self.states.items()}
        content = io.BytesIO()
        torch.save({"step": self.done, "seconds": self.journal.seconds[self.name], "states": states}, content)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            beside = path.with_suffix(".new")
            beside.write_bytes(content.getbuffer())
            os.replace(beside, path)

    def _load(self) -> int:
        path = self.journal.checkpoint(self.name)
        if not path.exists():
            return 0
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            for name, state in self.states.items():
                state.load_state_dict(found["states"][name])
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UserError(f"checkpoint {path} can't be continued ({one_line(error)}); remove it to begin stage {self.name} again") from None
        self.journal.seconds[self.name] = found["seconds"]
        return int(found["step"])
