"""Settings of the C library's memory allocator."""

import contextlib
import ctypes

# Bytes of freed memory to keep. A microbatch of convnet3 takes about 100 MB.
KEPT_BYTES = 512 * 2**20
# The largest block that glibc versions before 2.36 can keep.
KEPT_BYTES_OLD_GLIBC = 32 * 2**20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for this process.

    By default, glibc returns large blocks to the system at once, so that each batch and each
    training step waits for thousands of new pages. Other C libraries are left unchanged.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) or mallopt(M_MMAP_THRESHOLD, KEPT_BYTES_OLD_GLIBC):
            mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
