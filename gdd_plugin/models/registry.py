"""Models that are known by name, with settings from their model cards. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BUNDLED = {"turbo-mini": Path(__file__).parent.parent / "turbo_mini"}


@dataclass(frozen=True)
class SchedulerSpec:
    """A scheduler: the name of its class in diffusers, and the settings to change."""

    class_name: str
    settings: Mapping[str, str]


@dataclass(frozen=True)
class HubFile:
    """A file in a repository on the Hugging Face Hub."""

    repository: str
    name: str


TURBO_SCHEDULER = SchedulerSpec("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"})


@dataclass(frozen=True)
class ModelSpec:
    """A model that is known by name.

    Attributes:
        pipeline: Hub ID of the pipeline.
        licence: licence stated in the model card.
        unet: weights that replace those of the pipeline's UNet.
        scheduler: scheduler that replaces the pipeline's own.
        timesteps: the timestep of the single step, if the scheduler would choose another.
    """

    pipeline: str
    licence: str
    unet: HubFile | None = None
    scheduler: SchedulerSpec = TURBO_SCHEDULER
    timesteps: tuple[int, ...] = ()

    @property
    def has_one_step(self) -> bool:
        """Whether the model was made for a single step. The others can take more."""
        return self.unet is not None


_STABILITY = "non-commercial; commercial use needs an agreement with Stability AI"
_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"

KNOWN = {
    "sdxl-turbo": ModelSpec("stabilityai/sdxl-turbo", _STABILITY),
    "sd-turbo": ModelSpec("stabilityai/sd-turbo", _STABILITY),
    "sdxl-lightning": ModelSpec(
        _SDXL,
        "CreativeML Open RAIL++-M",
        unet=HubFile("ByteDance/SDXL-Lightning", "sdxl_lightning_1step_unet_x0.safetensors"),
        scheduler=SchedulerSpec(
            "EulerDiscreteScheduler",
            {"timestep_spacing": "trailing", "prediction_type": "sample"},
        ),
    ),
    "hyper-sd": ModelSpec(
        _SDXL,
        "see the model card of ByteDance/Hyper-SD; base model: CreativeML Open RAIL++-M",
        unet=HubFile("ByteDance/Hyper-SD", "Hyper-SDXL-1step-Unet.safetensors"),
        scheduler=SchedulerSpec("LCMScheduler", {}),
        timesteps=(800,),
    ),
    "dmd2": ModelSpec(
        _SDXL,
        "CC BY-NC 4.0; base model: CreativeML Open RAIL++-M",
        unet=HubFile("tianweiy/DMD2", "dmd2_sdxl_1step_unet_fp16.bin"),
        scheduler=SchedulerSpec("LCMScheduler", {}),
        timesteps=(399,),
    ),
}


def find_spec(name: str) -> ModelSpec | None:
    """Return the spec of the model with this name or Hub ID, or None if it is unknown."""
    by_hub_id = (spec for spec in KNOWN.values() if spec.pipeline == name and not spec.unet)
    return KNOWN.get(name) or next(by_hub_id, None)
