// What the page says of the picture: the level, the tiles, what is missing, the scale.

import { scaleBar } from "./geometry.js";
import { keyOf } from "./state.js";

export function installReport(v) {
  const { facts, failed, parts } = v;
  const { levels } = facts;
  const say = (part, text) => { // a change is read aloud, so only where there is one
    if (part.textContent !== text) part.textContent = text;
  };

  v.drawn.push(() => {
    const { level, wanted, missing, drawn, errors, lookKey } = v.shown;
    const failing = missing.filter((tile) => failed.has(keyOf(lookKey, level, ...tile))).length;
    const waiting = missing.length - failing;
    const state = failing ? "error" : waiting ? "loading" : "ready";
    const path = levels[level].path;
    const [error] = errors;
    const centre = `${Math.round(v.view.y)},${Math.round(v.view.x)}`;
    Object.assign(parts.root.dataset, { state, level: path, tiles: drawn, received: v.received, centre, error: error ?? "" });
    let text = `Level ${path} of ${levels.length} (0 is the finest), ${drawn} of ${wanted.length} tiles`;
    if (waiting && v.quiet) text += "; waiting for the kernel, which may be busy with a cell, or for the network";
    say(parts.status, text);
    const count = failing === 1 ? "1 tile is" : `${failing} tiles are`;
    say(parts.trouble, failing ? `${count} missing; the viewer asks again by itself. ${error}` : v.received ? "" : facts.trouble);
    const bar = scaleBar(facts.micrometres, facts.unknown, v.view.zoom);
    parts.bar.textContent = bar.text;
    parts.bar.style.setProperty("--length", `${bar.length}px`);
  });
}
