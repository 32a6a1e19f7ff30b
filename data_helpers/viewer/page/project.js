// Maximum projection over depth of what is in view, at a level that is affordable.

import { checkbox } from "./elements.js";
import { chooseLevel } from "./geometry.js";
import { affordable, chunksUnder, planesRead } from "./stacks.js";

export function installProject(v) {
  const { facts, look, parts } = v;
  const { levels, budget, tile } = facts;
  if (facts.sizes.z < 2) return;
  const whole = (number) => chunksUnder(levels, number, [0, 0, levels[0].height, levels[0].width]);
  const onScreen = () => chooseLevel(levels, v.zoomY() * v.size.ratio, v.view.zoom * v.size.ratio);

  // The chunks under the tiles in view.
  const tiles = (number) => {
    const high = (tile * levels[0].height) / levels[number].height;
    const wide = (tile * levels[0].width) / levels[number].width;
    const [y0, x0, y1, x1] = v.box();
    return chunksUnder(levels, number, [Math.floor(y0 / high) * high, Math.floor(x0 / wide) * wide, Math.ceil(y1 / high) * high, Math.ceil(x1 / wide) * wide]);
  };
  v.stack = () => {
    if (!v.view.zoom) return { level: levels.length - 1, every: 1 };
    const on = Math.max(1, look.channels.filter((c) => c.on).length);
    return affordable(levels, onScreen(), on, budget, tiles, whole);
  };
  v.stackWords = () => {
    if (!look.project) return "";
    const { level, every } = v.stack();
    const coarser = level > onScreen() ? ", since a finer level is too large to project" : "";
    return `maximum over ${planesRead(levels[level].stack, every)}${coarser}${look.labels ? ", labels hidden" : ""}`;
  };
  const box = checkbox("project", look.project, (on) => v.project(on), "maximum over z");
  box.title = "Maximum projection: at each place the brightest of all planes (key m)";
  v.project = (on) => {
    look.project = on;
    box.querySelector("input").checked = on;
    v.changed();
  };
  v.keys.m = () => v.project(!look.project);
  parts.depth.append(box);
}
