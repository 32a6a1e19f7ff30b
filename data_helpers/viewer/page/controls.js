// Sliders for time and depth.

import { element, slider } from "./elements.js";

export function installControls(v) {
  const { facts, look, parts } = v;
  v.sliders = {};
  const row = element("div", { className: "ozv-row" });
  for (const [axis, text] of [["t", "time t"], ["z", "depth z"]]) {
    if (facts.sizes[axis] < 2) continue;
    const made = slider(axis, text, [0, facts.sizes[axis] - 1], 1, look[axis], (value) => {
      look[axis] = value;
      if (axis === "z") v.project(false); // who turns to a plane wants to see it
      v.changed();
      return value;
    });
    const set = (value) => {
      const input = made.querySelector("input");
      input.value = value;
      input.dispatchEvent(new Event("input"));
    };
    v.sliders[axis] = { element: made, set };
    row.append(made);
  }
  parts.depth = row;
  if (row.children.length) parts.controls.append(row);
}
