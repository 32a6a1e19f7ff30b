// Where things are: which level, which tiles, how long the scale bar is. Nothing here draws.

// The coarsest level with at least one pixel for each screen pixel; `zoomY`, `zoomX` are screen
// pixels for one pixel of the finest level.
export function chooseLevel(levels, zoomY, zoomX) {
  const { height, width } = levels[0];
  let best = 0;
  levels.forEach((level, number) => {
    const enough = 1.0001; // the picture may fit the screen to a rounding error
    if ((zoomY * height) / level.height <= enough && (zoomX * width) / level.width <= enough) {
      best = number;
    }
  });
  return best;
}

// Tiles of a level under a box [y0, x0, y1, x1] in pixels of the finest level, centre first.
export function tilesIn(levels, number, side, [y0, x0, y1, x1]) {
  const level = levels[number];
  const ry = level.height / levels[0].height / side;
  const rx = level.width / levels[0].width / side;
  const last = (size) => Math.ceil(size / side) - 1;
  const found = [];
  const bottom = Math.min(last(level.height), Math.ceil(y1 * ry) - 1);
  const right = Math.min(last(level.width), Math.ceil(x1 * rx) - 1);
  for (let ty = Math.max(0, Math.floor(y0 * ry)); ty <= bottom; ty++) {
    for (let tx = Math.max(0, Math.floor(x0 * rx)); tx <= right; tx++) found.push([ty, tx]);
  }
  const away = ([ty, tx]) =>
    Math.hypot(ty + 0.5 - ((y0 + y1) / 2) * ry, tx + 0.5 - ((x0 + x1) / 2) * rx);
  return found.sort((a, b) => away(a) - away(b));
}

// A round length of at most `most` screen pixels: its length on the screen and its name.
export function scaleBar(micrometres, unknown, zoom, most = 140) {
  const perPixel = micrometres ?? 1;
  const limit = (most / zoom) * perPixel;
  const power = 10 ** Math.floor(Math.log10(limit));
  const round = [5, 2, 1].find((n) => n * power <= limit * 1.000001) * power;
  const length = (round / perPixel) * zoom;
  if (micrometres === null) {
    const count = Number(round.toPrecision(3)).toLocaleString("en");
    return { length, text: `${count} ${round === 1 ? "pixel" : "pixels"}`, why: `size unknown: ${unknown}` };
  }
  return { length, text: inUnits(round), why: "" };
}

// A length in micrometres, in a unit that makes it a handy number.
export function inUnits(micrometres) {
  const [unit, factor] = micrometres >= 1000 ? ["mm", 1e-3] : micrometres >= 1 || !micrometres ? ["µm", 1] : ["nm", 1e3];
  return `${Number((micrometres * factor).toPrecision(3))} ${unit}`;
}

// How large the picture is drawn: 100 % is one screen pixel for one pixel of the finest level.
export function percent(zoom) {
  return `${Number((100 * zoom).toPrecision(zoom < 1 ? 2 : 3)).toLocaleString("en", { maximumFractionDigits: 4 })} %`;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
