"""Chunks cut by content (FastCDC), in an environment of their own: what a variant needs of them.

Arguments: the base, the variant, and the mean size of a chunk in bytes. Prints how many bytes of
the variant are in chunks that the base does not have.
"""

import hashlib
import sys
from pathlib import Path

import pyfastcdc


def chunks_of(data: bytes, mean_bytes: int) -> dict[bytes, int]:
    """The size of each chunk, by its digest."""
    view = memoryview(data)
    cuts = pyfastcdc.FastCDC(mean_bytes).cut_buf(data)
    return {
        hashlib.blake2b(view[cut.offset : cut.offset + cut.length]).digest(): cut.length
        for cut in cuts
    }


def main() -> None:
    """Cut both, and compare."""
    base, variant, mean_bytes = sys.argv[1:]
    held = chunks_of(Path(base).read_bytes(), int(mean_bytes))
    wanted = chunks_of(Path(variant).read_bytes(), int(mean_bytes))
    print(sum(size for digest, size in wanted.items() if digest not in held))


if __name__ == "__main__":
    main()
