// What is affordable along depth: a stack of planes is many times a plane.

// How many chunks of a level lie under a box [y0, x0, y1, x1] in pixels of the finest level.
export function chunksUnder(levels, number, [y0, x0, y1, x1]) {
  const { size, chunk, layers } = levels[number].stack;
  const along = (from, to, finest, axis) => {
    const chunks = size[axis] / finest / chunk[axis]; // for one pixel
    const first = Math.floor(Math.max(0, Math.min(from, finest - 1)) * chunks);
    return Math.max(1, Math.ceil(Math.max(0, Math.min(to, finest)) * chunks) - first);
  };
  return layers * along(y0, y1, levels[0].height, 0) * along(x0, x1, levels[0].width, 1);
}

// The finest level, from `first` on, whose chunks are within the budget, and every how manyth
// layer of chunks to read: 1, unless even the coarsest level holds too much. `count` says how many
// chunks of a level are needed of a channel. The layers left out are judged by `whole`, so that
// they stay the same wherever one moves.
export function affordable(levels, first, channels, budget, count, whole = count) {
  const share = (number, needed) => {
    const chunks = channels * needed(number);
    return Math.max((chunks * levels[number].stack.bytes) / budget.bytes, chunks / budget.chunks);
  };
  for (let number = first; number < levels.length; number++) {
    if (share(number, count) <= 1) return { level: number, every: 1 };
  }
  const level = levels.length - 1;
  return { level, every: Math.min(Math.max(1, Math.ceil(share(level, whole))), levels[level].stack.layers) };
}

// In words, how many planes every so manyth layer of chunks holds.
export function planesRead({ planes, layers }, every) {
  const read = Math.min(planes, Math.ceil(layers / every) * Math.ceil(planes / layers));
  return read === planes ? `all ${planes.toLocaleString("en")} planes` : `${read.toLocaleString("en")} of ${planes.toLocaleString("en")} planes`;
}
