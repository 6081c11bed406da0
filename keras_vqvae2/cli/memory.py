"""How the program uses memory."""

import ctypes
import os

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory():
    """Let the C library, if it is glibc, keep what is freed rather than give it back.

    A step on a CPU frees blocks of many megabytes and asks for them again. Fresh from the system
    they come page by page, which took a tenth of a prior's step. TensorFlow itself sets the
    threshold of giving back, to 128 KiB, where a dataset is a Python generator, as those of `fit`
    are: the room to be kept holds all the same.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 1 << 28)
