"""Random numbers of single images."""

import hashlib

import torch


def seeded_generator(seed: int, label: int, index: int) -> torch.Generator:
    """Return the random generator for image ``index`` of class ``label``.

    It does not depend on any other image.
    """
    digest = hashlib.blake2b(f"{seed}/{label}/{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
