"""Fashion-MNIST's file format."""

import struct

import numpy as np


def idx(array):
    """Return the content of an IDX file that holds an array of bytes."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()
