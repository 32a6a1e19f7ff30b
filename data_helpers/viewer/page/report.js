// What the page says of the picture: the level, the tiles, what is missing, the scale.

import { percent, scaleBar } from "./geometry.js";
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
    const finest = levels.length > 1 ? ` of ${levels.length} (${levels[0].path} is the finest)` : "";
    let text = `Showing level ${path}${finest} at ${percent(v.view.zoom)}`;
    const stack = v.stackWords();
    if (stack) text += `: ${stack}`;
    if (missing.length) text += `, ${drawn} of ${wanted.length} tiles`;
    if (waiting && v.quiet) text += "; waiting for the kernel, which may be busy with a cell, or for the network";
    say(parts.status, text);
    const count = failing === 1 ? "1 tile is" : `${failing} tiles are`;
    say(parts.trouble, failing ? `${count} missing; the viewer asks again by itself. ${error}` : v.received ? "" : facts.trouble);
    const bar = scaleBar(facts.micrometres, facts.unknown, v.view.zoom);
    say(parts.bar, bar.text);
    parts.bar.title = bar.why;
    parts.bar.setAttribute("aria-label", `scale bar: ${[bar.text, bar.why].filter(Boolean).join(", ")}`);
    parts.bar.style.setProperty("--length", `${bar.length}px`);
  });
}
