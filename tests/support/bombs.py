"""Small chunks that unpack to a gigabyte, or say so, and JSON that fills memory."""

import bz2
import gzip
import lzma
import zlib

GIGABYTE = 10**9
PIECE = bytes(10**6)


def zstd_frame(size, said=True):
    """A frame of zeros; `said` is whether its header gives the size."""
    head = bytes([3 << 6 | 1 << 5]) + size.to_bytes(8, "little") if said else bytes([0, 7 << 3])
    blocks, block = [], 128 * 1024
    for start in range(0, size, block):
        here = min(block, size - start)
        blocks.append((here << 3 | 1 << 1 | (start + here >= size)).to_bytes(3, "little") + b"\0")
    return b"\x28\xb5\x2f\xfd" + head + b"".join(blocks)


def zlib_stream(pieces):
    """A stream of as many pieces of zeros, made without packing each."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(PIECE) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\x9c" + piece * pieces


def blosc_frame(size):
    """A frame that says to hold so many bytes."""
    data = bytes(64)
    sizes = (size, size, 16 + len(data))
    return bytes([2, 1, 0x21, 1]) + b"".join(n.to_bytes(4, "little") for n in sizes) + data


BOMBS = {
    "zstd": lambda: zstd_frame(GIGABYTE),
    "zstd, size unsaid": lambda: zstd_frame(GIGABYTE, said=False),
    "zstd, many frames": lambda: zstd_frame(5000) + zstd_frame(60 * 2**20, said=False) * 16,
    "blosc": lambda: blosc_frame(GIGABYTE),
    "lz4": lambda: GIGABYTE.to_bytes(4, "little") + bytes(64),
    "gzip": lambda: gzip.compress(PIECE) * 1000,
    "zlib": lambda: zlib_stream(1000),
    "bz2": lambda: bz2.compress(PIECE * 10) * 100,
    "lzma": lambda: lzma.compress(PIECE * 10) * 100,
}
