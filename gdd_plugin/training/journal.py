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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Schedule:
    """A stage's length, images per step, highest learning rate, and the decay of its weights' moving average (0: none)."""

    steps: int
    batch: int
    lr: float
    ema: float = 0.0


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a full disk, or whatever else keeps ``path`` from being written, into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} can't be written: {error.strerror}; what was saved before is kept: make room and run the same command to continue"
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, beside ``path`` and then in its place, so that a full disk or a kill leaves a whole file."""
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        yield beside
        os.replace(beside, path)


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """As `writing`, for libraries that raise errors of their own kinds on a full disk."""
    try:
        yield
    except Exception as error:
        raise UserError(
            f"{folder} can't be written: {one_line(error)}; make room and run the same command to continue"
        ) from None


class Journal:
    """The folder of one training; the same settings continue what lies there."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], save_every: int) -> None:
        """Opens ``folder``; ``save_every`` is in steps.

        Raises:
            UserError: the folder can't be written, or holds a training with other settings.
        """
        self.accelerator = Accelerator(
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
        )
        self.folder, self.save_every = folder, save_every
        # Each process draws its own batch. Through JSON, to compare equal to what is read.
        self.settings: dict[str, Any] = json.loads(
            json.dumps({**settings, "processes": self.accelerator.num_processes})
        )
        self.seconds: dict[str, float] = {}
        with self.accelerator.main_process_first(), writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            before = self._begun()
        if before != self.settings:
            differing = sorted(
                key
                for key in {*before, *self.settings}
                if before.get(key) != self.settings.get(key)
            )
            raise UserError(
                f"{folder} holds a training with other settings ({', '.join(differing)}); give another folder, or the same settings to continue"
            )

    def _begun(self) -> dict[str, Any]:
        """The settings of the training that lies in the folder, which is this one where there is none."""
        file = self.folder / "settings.json"
        if not file.is_file():
            (self.folder / "log.csv").unlink(missing_ok=True)  # of an earlier training that is done
            with replacing(file) as beside:
                beside.write_text(json.dumps(self.settings, indent=1) + "\n")
        try:
            found = json.loads(file.read_text())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UserError(f"{file} is damaged; remove {self.folder} to begin again")
        return found

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


class _Trained:
    """The trained parameters alone: of an adapted model, a thousandth."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def state_dict(self) -> dict[str, Any]:
        return {
            name: parameter.detach()
            for name, parameter in self.net.named_parameters()
            if parameter.requires_grad
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict.keys() != self.state_dict().keys():
            raise ValueError("it is of another network")
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
        self.journal, self.name, self.steps, self.accelerator = (
            journal,
            name,
            steps,
            journal.accelerator,
        )
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr, betas=(0.9, 0.99), weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, lr, total_steps=steps, pct_start=max(0.05, 2 / steps)
        )
        self.net, self.optimizer = self.accelerator.prepare(net, optimizer)
        self.trained, self.schedule = trained, schedule
        self.average = EMAModel(trained, decay=ema) if ema else None
        self.states: dict[str, Stateful] = {
            "net": _Trained(net),
            "optimizer": self.optimizer,
            "schedule": schedule,
            **(others or {}),
        }
        if self.average:
            self.states["average"] = self.average
        if self.accelerator.scaler:  # of losses in float16
            self.states["scaler"] = self.accelerator.scaler
        self.sampling: Callable[[], None] = lambda: None
        self.done = self._load()
        self._forget()

    def __iter__(self) -> Iterator[int]:
        begun = time.monotonic() - self.journal.seconds.get(self.name, 0.0)
        self.bar = tqdm(
            total=self.steps,
            initial=self.done,
            desc=self.name,
            unit="step",
            mininterval=5,
            disable=not self.accelerator.is_main_process,
        )
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
                        self.sampling()
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
            UserError: a loss or its gradient is not finite; the network is unchanged by this step.
        """
        self.check(loss=loss, **parts)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.unscale_gradients(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
        if not self.accelerator.scaler:  # which leaves out such a step and goes on
            self.check(gradient=norm)
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
                kept = (
                    f"the last good checkpoint is {path}"
                    if path.exists()
                    else "there is no checkpoint of this stage yet"
                )
                advice = "try a lower learning rate or another seed in a new folder"
                raise UserError(
                    f"stage {self.name}, step {self.done}: {name} is {loss.item()}; {kept}; {advice}"
                )

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
                rows.writerows(
                    [self.name, self.done, name, f"{loss.item():.5f}"]
                    for name, loss in losses.items()
                )

    def _forget(self) -> None:
        """Takes rows out of the log that a killed training wrote after its checkpoint."""
        path = self.journal.folder / "log.csv"
        if not path.exists() or not self.accelerator.is_main_process:
            return
        whole = [
            row for row in csv.DictReader(path.read_text().splitlines()) if row["value"]
        ]  # a full disk may have cut the last one
        with replacing(path) as beside, beside.open("w", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS)
            rows.writeheader()
            rows.writerows(
                row for row in whole if row["stage"] != self.name or int(row["step"]) < self.done
            )

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        path = self.journal.checkpoint(self.name)
        states = {name: state.state_dict() for name, state in self.states.items()}
        content = io.BytesIO()
        torch.save(
            {"step": self.done, "seconds": self.journal.seconds[self.name], "states": states},
            content,
        )
        with replacing(path) as beside:
            beside.write_bytes(content.getbuffer())

    def _load(self) -> int:
        path = self.journal.checkpoint(self.name)
        if not path.exists():
            return 0
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            for name, state in self.states.items():
                state.load_state_dict(found["states"][name])
            self.journal.seconds[self.name], done = float(found["seconds"]), int(found["step"])
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UserError(
                f"checkpoint {path} can't be continued ({one_line(error)}); remove it, and those of later stages, to begin again there"
            ) from None
        if self.average:
            self.average.to(self.accelerator.device)
        return done
