"""Files of models on the Hugging Face Hub: from its cache, or downloaded if they are missing.

What is in the cache is used without asking the Hub, which may be slow or out of reach.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from benchmark_adapters.types import UserError
from gdd_plugin.models.registry import KNOWN, HubFile

INDEX = "model_index.json"
# Files of a component besides its weights: configuration and vocabulary.
TEXTS = (".json", ".txt", ".model")
# The weights that diffusers and transformers load: whole or in shards, perhaps in half precision.
WEIGHTS = re.compile(r"(diffusion_pytorch_)?model(?P<half>\.fp16)?(-\d+-of-\d+)?\.safetensors")
# The networks of the pipelines whose checkpoints may be a single file.
NETWORKS = ("unet", "vae", "text_encoder", "text_encoder_2")
# The configuration of a network. Other components have other names for theirs.
CONFIGURATION = "config.json"
# A network that pipelines are loaded without.
UNUSED = "safety_checker"
# Seconds to wait for an answer of the Hub.
TIMEOUT = 10.0


def find_pipeline(repository: str, replaced: Sequence[str] = ()) -> Path:
    """Return the folder of a pipeline in the Hub's cache, and download what is missing.

    The weights of the networks in ``replaced`` are not needed.

    Raises:
        UserError: the files cannot be downloaded.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    if cached := cached_pipeline(repository, replaced):
        return cached
    try:
        listing = HfApi().model_info(repository, timeout=TIMEOUT).siblings or []
        index = Path(hf_hub_download(repository, INDEX, etag_timeout=TIMEOUT))
        wanted = wanted_files([file.rfilename for file in listing], components(index), replaced)
        return Path(snapshot_download(repository, allow_patterns=wanted, etag_timeout=TIMEOUT))
    except Exception as error:
        raise _download_error(repository, download_command(repository, replaced), error) from None


def cached_pipeline(repository: str, replaced: Sequence[str] = ()) -> Path | None:
    """Return the folder of a pipeline in the Hub's cache, if it is complete."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, INDEX)
    if isinstance(cached, str) and is_complete(Path(cached).parent, replaced):
        return Path(cached).parent
    return None


def download_command(repository: str, replaced: Sequence[str] = ()) -> str:
    """Return the command that downloads what a pipeline is loaded from.

    The weights of the networks in ``replaced`` are not needed.
    """
    # The known repositories have half-precision weights beside twice as large ones.
    is_known = repository in (spec.pipeline for spec in KNOWN.values())
    kinds = ("*.json", "*.txt", "*.fp16.safetensors" if is_known else "*.safetensors")
    includes = " ".join(f'--include "{kind}"' for kind in kinds)
    excludes = "".join(f' --exclude "{network}/*.safetensors"' for network in replaced)
    return f"hf download {repository} {includes}{excludes}"


def find_file(file: HubFile) -> Path:
    """Return the path of ``file`` in the Hub's cache, and download it first if necessary.

    Raises:
        UserError: the file cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download

    if cached := cached_file(file):
        return cached
    try:
        return Path(hf_hub_download(file.repository, file.name, etag_timeout=TIMEOUT))
    except Exception as error:
        command = f"hf download {file.repository} {file.name}"
        raise _download_error(file.repository, command, error) from None


def cached_file(file: HubFile) -> Path | None:
    """Return the path of ``file`` in the Hub's cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(file.repository, file.name)
    return Path(cached) if isinstance(cached, str) else None


def components(index: Path) -> list[str]:
    """Return the names of the components in a ``model_index.json`` that are loaded."""
    entries = json.loads(index.read_text(encoding="utf-8"))
    return [
        name
        for name, kind in entries.items()
        if isinstance(kind, list) and kind[0] and name != UNUSED
    ]


def wanted_files(
    files: Sequence[str], components: Sequence[str], replaced: Sequence[str] = ()
) -> list[str]:
    """Return the files of a repository that a pipeline with these components is loaded from.

    Weights in half precision are preferred. Those of the networks in ``replaced`` are left out, but
    not their configuration.
    """
    wanted = [INDEX]
    for component in components:
        inside = [name for name in files if str(PurePosixPath(name).parent) == component]
        wanted += [name for name in inside if name.endswith(TEXTS)]
        if component not in replaced:
            wanted += _preferred(inside)
    return wanted


def _preferred(files: Sequence[str]) -> list[str]:
    """Return the weights in half precision, or else all weights."""
    matches = {name: WEIGHTS.fullmatch(PurePosixPath(name).name) for name in files}
    weights = {name: match["half"] for name, match in matches.items() if match}
    return [name for name, half in weights.items() if half] or list(weights)


def is_complete(folder: Path, replaced: Sequence[str] = ()) -> bool:
    """Return whether a folder of the cache has all components, with weights and configuration."""
    try:
        names = components(folder / INDEX)
    except (OSError, ValueError):
        return False
    return all(
        any((folder / name).glob("*.json")) and (name in replaced or _has_weights(folder / name))
        for name in names
    )


def _has_weights(folder: Path) -> bool:
    """Return whether the weights of a network are in ``folder``, all shards of them.

    Components that are not networks have none.
    """
    if not (folder / CONFIGURATION).exists():
        return not list(folder.glob("*.safetensors*"))
    indices = list(folder.glob("*.safetensors.index*.json"))
    if not indices:
        return bool(_preferred([path.name for path in folder.glob("*.safetensors")]))
    shards = json.loads(indices[0].read_text(encoding="utf-8"))["weight_map"].values()
    return all((folder / shard).exists() for shard in shards)


def _download_error(repository: str, command: str, error: Exception) -> UserError:
    """Return the error for a failed download, whatever the library raised."""
    return UserError(
        f"could not download {repository} from the Hugging Face Hub ({type(error).__name__}), "
        "and it is neither a folder nor in the Hub cache; "
        f"run `{command}` with internet access, "
        "or use a folder with --option model=DIR"
    )
