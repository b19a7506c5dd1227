"""Distilled decoders: diffusers' `AutoencoderTiny`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from diffusers import AutoencoderTiny

from benchmark_adapters.types import UserError, one_line
from gdd_plugin.decoders.exact import decoder_of
from gdd_plugin.decoders.images import Decoder, OutputSpec

# The files of a network on the Hub.
FILES = ("config.json", "diffusion_pytorch_model.safetensors")


def load_tiny(pipe: Any, name: str) -> Any:
    """Load the network ``name``, a folder or Hub ID, with the device and dtype of ``pipe``.

    Raises:
        UserError: the network cannot be found or loaded, or it expects other latents.
    """
    unet = pipe.unet
    try:
        network = AutoencoderTiny.from_pretrained(
            name, dtype=unet.dtype, local_files_only=is_cached(name), use_safetensors=True
        )
        network = network.to(unet.device).eval()
    except Exception as error:
        # Without internet access or with damaged files, the libraries raise errors of many kinds.
        raise UserError(
            f"could not load the tiny decoder {name} ({one_line(error, 150)}); "
            "set its folder with --option tiny=DIR"
        ) from None
    channels = network.config.latent_channels
    if channels != unet.config.in_channels:
        raise UserError(
            f"the tiny decoder {name} expects {channels} latent channels, "
            f"but the model has {unet.config.in_channels}"
        )
    return network


def is_cached(name: str) -> bool:
    """Return whether the network ``name``, a folder or Hub ID, is on this machine."""
    if Path(name).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache

    return all(isinstance(try_to_load_from_cache(name, file), str) for file in FILES)


def tiny_decoder(network: Any, output: OutputSpec) -> Decoder:
    """Return a decoder that uses ``network`` from `load_tiny`."""
    return decoder_of(network, output)


def weights_sha256(network: Any) -> str:
    """Return the SHA-256 of all weights, converted to float32."""
    digest = hashlib.sha256()
    for weights in network.state_dict().values():
        digest.update(weights.float().cpu().numpy().tobytes())
    return digest.hexdigest()
