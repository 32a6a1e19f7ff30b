"""How a volume is cut into blocks that overlap."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Block:
    """One part of a volume.

    Attributes
    ----------
    at : tuple of int
        Position among the blocks, along z, y and x.
    start, stop : tuple of int
        The voxels that belong to this block and to no other.
    padded_start, padded_stop : tuple of int
        The voxels that are read: the block and its overlap, within the volume.
    """

    at: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]
    padded_start: tuple[int, ...]
    padded_stop: tuple[int, ...]

    @property
    def name(self) -> str:
        """Such as "0.1.2"."""
        return ".".join(map(str, self.at))

    @property
    def core(self) -> tuple[slice, ...]:
        """The block within the volume."""
        return slices(self.start, self.stop)

    @property
    def padded(self) -> tuple[slice, ...]:
        """The block and its overlap within the volume."""
        return slices(self.padded_start, self.padded_stop)

    def inside(self, start: Sequence[int], stop: Sequence[int]) -> tuple[slice, ...]:
        """A box of the volume as it lies within the pixels read for this block."""
        return slices(
            [a - f for a, f in zip(start, self.padded_start, strict=True)],
            [b - f for b, f in zip(stop, self.padded_start, strict=True)],
        )


def plan_blocks(
    shape: Sequence[int], block_shape: Sequence[int], overlap: Sequence[int]
) -> list[Block]:
    """Cut a volume into blocks that overlap.

    Parameters
    ----------
    shape, block_shape, overlap : sequence of int
        Voxels along z, y and x: of the volume, of a block, and added on each side of a block.
        Half the size of the largest object is a good overlap.

    Returns
    -------
    list of Block
        Their cores cover each voxel exactly once.
    """
    starts = [range(0, size, step) for size, step in zip(shape, block_shape, strict=True)]
    blocks = []
    for start in itertools.product(*starts):
        stop = [min(a + b, size) for a, b, size in zip(start, block_shape, shape, strict=True)]
        padded_start = [max(a - extra, 0) for a, extra in zip(start, overlap, strict=True)]
        padded_stop = [
            min(b + extra, size) for b, extra, size in zip(stop, overlap, shape, strict=True)
        ]
        at = tuple(a // b for a, b in zip(start, block_shape, strict=True))
        blocks.append(Block(at, start, tuple(stop), tuple(padded_start), tuple(padded_stop)))
    return blocks


def neighbours_of(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    """Pairs of blocks that share a face, as numbers in `blocks`."""
    number = {block.at: n for n, block in enumerate(blocks)}
    following = (
        (n, next_position(block.at, axis)) for n, block in enumerate(blocks) for axis in range(3)
    )
    return [(n, number[at]) for n, at in following if at in number]


def shared_box(one: Block, other: Block) -> tuple[list[int], list[int]]:
    """The box in which two neighbouring blocks are compared."""
    start = [max(a, b) for a, b in zip(one.padded_start, other.padded_start, strict=True)]
    stop = [min(a, b) for a, b in zip(one.padded_stop, other.padded_stop, strict=True)]
    [axis] = [n for n, (a, b) in enumerate(zip(one.at, other.at, strict=True)) if a != b]
    cut = one.stop[axis]
    start[axis] = cut - (cut - start[axis] + 1) // 2
    stop[axis] = cut + (stop[axis] - cut + 1) // 2
    return start, stop


def slices(start: Sequence[int], stop: Sequence[int]) -> tuple[slice, ...]:
    """A box, as an index."""
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def next_position(at: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The position of the next block along an axis."""
    return tuple(n + (number == axis) for number, n in enumerate(at))
