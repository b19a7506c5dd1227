"""The training loop that all stages share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from benchmark_adapters.types import UserError
from gdd_plugin.training.checkpoints import (
    Progress,
    Stateful,
    TrainedParameters,
    load_checkpoint,
    save_checkpoint,
)
from gdd_plugin.training.run import TrainingRun

# Losses are logged once in this many steps.
LOG_EVERY = 50


class TrainingLoop:
    """A loop over the steps of a stage: ``for step in loop: loop.update(loss, ...)``.

    It continues from the stage's checkpoint, and saves checkpoints during the stage and at its end.
    If a moving average of the weights is kept, the network has these weights at the end.

    Attributes:
        network: the network to call, as prepared by accelerate.
        on_save: called at every save, while the network has the averaged weights.
        step: number of finished steps.
    """

    def __init__(
        self,
        run: TrainingRun,
        stage: str,
        steps: int,
        network: nn.Module,
        lr: float,
        weight_decay: float = 0.01,
        ema: float = 0.0,
        others: Mapping[str, Stateful] | None = None,
    ) -> None:
        """Prepare training with AdamW and a one-cycle learning rate.

        Args:
            run: the training run.
            stage: name of the stage.
            steps: total number of steps.
            network: the network to train; only parameters that require gradients are trained.
            lr: peak learning rate.
            weight_decay: weight decay of AdamW.
            ema: decay of the moving average of the weights; 0: keep no average.
            others: additional parts to save in checkpoints, by name.

        Raises:
            UserError: the checkpoint of the stage cannot be loaded.
        """
        self.run, self.stage, self.steps = run, stage, steps
        self.accelerator = run.accelerator
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr, betas=(0.9, 0.99), weight_decay=weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, lr, total_steps=steps, pct_start=max(0.05, 2 / steps)
        )
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.trained = trained
        self.average = EMAModel(trained, decay=ema) if ema else None
        self.on_save: Callable[[], None] = lambda: None
        self.parts = self._checkpoint_parts(network, others or {})
        progress = load_checkpoint(run.checkpoint(stage), self.parts)
        if progress:
            run.seconds[stage] = progress.seconds
            if self.average:
                self.average.to(self.accelerator.device)
        self.step = progress.step if progress else 0
        if run.is_main_process:
            run.log.truncate(stage, self.step)

    def _checkpoint_parts(
        self, network: nn.Module, others: Mapping[str, Stateful]
    ) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {
            "net": TrainedParameters(network),
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            **others,
        }
        if self.average:
            parts["average"] = self.average
        # Training in float16 scales the losses.
        if self.accelerator.scaler:
            parts["scaler"] = self.accelerator.scaler
        return parts

    def __iter__(self) -> Iterator[int]:
        start = time.monotonic() - self.run.seconds.get(self.stage, 0.0)
        self.bar = tqdm(
            total=self.steps,
            initial=self.step,
            desc=self.stage,
            unit="step",
            mininterval=5,
            disable=not self.run.is_main_process,
        )
        try:
            for step in range(self.step, self.steps):
                self.run.seed(self.stage, step)
                yield step
                self.step = step + 1
                self.run.seconds[self.stage] = time.monotonic() - start
                self.bar.update()
                if self.step % self.run.save_every == 0 or self.step == self.steps:
                    self._save()
        finally:
            self.bar.close()
        if self.average:
            self.average.copy_to(self.trained)

    def _save(self) -> None:
        if self.run.is_main_process:
            progress = Progress(self.step, self.run.seconds[self.stage])
            save_checkpoint(self.run.checkpoint(self.stage), progress, self.parts)
        self.run.plot_losses()
        with self._averaged():
            self.on_save()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Give the network the moving average of its weights within the block."""
        if not self.average:
            yield
            return
        self.average.store(self.trained)
        self.average.copy_to(self.trained)
        yield
        self.average.restore(self.trained)

    def update(self, loss: Tensor, **loss_terms: Tensor) -> None:
        """Take one optimizer step to reduce ``loss``; ``loss_terms`` are only logged.

        Raises:
            UserError: a loss or the gradient is not finite. The network is left unchanged.
        """
        self._check_finite({"loss": loss, **loss_terms})
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.unscale_gradients(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
        # A scaler skips steps whose gradient is not finite, and continues.
        if not self.accelerator.scaler:
            self._check_finite({"gradient": norm})
        self.optimizer.step()
        self.schedule.step()
        if self.average:
            self.average.step(self.trained)
        if self.step % LOG_EVERY == 0 and self.run.is_main_process:
            self.bar.set_postfix(loss=f"{loss.item():.4f}")
            losses = {"loss": loss, **loss_terms}
            values = {name: value.item() for name, value in losses.items()}
            self.run.log.append(self.stage, self.step, values)

    def _check_finite(self, losses: Mapping[str, Tensor]) -> None:
        for name, loss in losses.items():
            if not torch.isfinite(loss).all():
                path = self.run.checkpoint(self.stage)
                kept = (
                    f"the last good checkpoint is {path}"
                    if path.exists()
                    else "there is no checkpoint of this stage yet"
                )
                raise UserError(
                    f"stage {self.stage}, step {self.step}: {name} is {loss.item()}; {kept}; "
                    "try a lower learning rate or another seed, with a new output folder"
                )
