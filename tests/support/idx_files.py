"""Fashion-MNIST's file format."""

import struct

import numpy as np


def idx(array):
    """An array of bytes as the content of an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()
