"""Distilled decoders, diffusers' `AutoencoderTiny`."""

from __future__ import annotations

import hashlib
from typing import Any

from diffusers import AutoencoderTiny

from benchmark_adapters.types import UserError, one_line
from gdd_plugin.decoders.exact import decoder_of
from gdd_plugin.decoders.images import Decoder, OutputSpec


def load_tiny(pipe: Any, name: str) -> Any:
    """Load the network ``name``, a folder or hub id, on the device and in the dtype of ``pipe``.

    Raises:
        UserError: it can't be found or loaded, or is for other latents.
    """
    unet = pipe.unet
    try:
        network = AutoencoderTiny.from_pretrained(name, dtype=unet.dtype).to(unet.device).eval()
    except Exception as error:  # no network, a damaged file: the libraries raise many kinds
        raise UserError(
            f"the tiny decoder {name} can't be loaded ({one_line(error, 150)}); "
            "give its folder with --option tiny=DIR"
        ) from None
    channels = network.config.latent_channels
    if channels != unet.config.in_channels:
        raise UserError(
            f"the tiny decoder {name} is for {channels} latent channels, "
            f"the model has {unet.config.in_channels}"
        )
    return network


def tiny_decoder(network: Any, output: OutputSpec) -> Decoder:
    """Return the decoder by ``network``, which `load_tiny` gave."""
    return decoder_of(network, output)


def weights_sha256(network: Any) -> str:
    """Return the hash of all weights as float32."""
    digest = hashlib.sha256()
    for weights in network.state_dict().values():
        digest.update(weights.float().cpu().numpy().tobytes())
    return digest.hexdigest()
