// What is shown and where. All parts share one state, `v`. A place is (y, x) in pixels of the
// finest level. `view.zoom` is the number of screen pixels for one of them along X; along Y it is
// `view.zoom * facts.stretch`.

import { clamp } from "./geometry.js";
import { Tiles } from "./store.js";

const MOST_ZOOM = 64; // screen pixels for one of the finest level

export function makeState(model) {
  const facts = model.get("facts");
  const startOf = ({ shown, window, gamma, color }, c) => {
    const given = facts.start.channels;
    if (!given) return { on: shown, window: [...window], gamma, color };
    if (!given[c]) return { on: false, window: [...window], gamma, color };
    const [low, high, ...rest] = given[c];
    return { on: true, window: [low, high], gamma: rest[0], color: rest[1] };
  };
  const { height: H, width: W } = facts.levels[0];
  const v = {
    model,
    facts,
    id: `ozv${Math.random().toString(36).slice(2)}`,
    look: {
      t: facts.start.t,
      z: facts.start.z,
      channels: facts.channels.map(startOf),
      project: Boolean(facts.start.project),
      sides: false,
      labels: facts.labels,
      drawn: { fill: 0, each: facts.each, alone: false },
      chosen: "",
    },
    tiles: new Tiles(),
    failed: new Map(), // key of a tile: why it failed
    overview: null,
    view: { y: facts.start.y ?? H / 2, x: facts.start.x ?? W / 2, zoom: facts.start.zoom ?? 0 },
    fitted: !["y", "x", "zoom"].some((key) => key in facts.start), // as long as nobody moved, a change of width fits again
    size: { width: 0, height: facts.height, ratio: 1 },
    shown: { level: 0, wanted: [], missing: [] },
    received: 0,
    mark: null, // what was clicked
    cross: null, // where side views cut; without it they cut through the middle of the view
    gone: false,
    parts: {}, // elements of the page
    keys: {}, // what a key on the picture does
    messages: {}, // what an answer of the kernel does, by its kind
    drawn: [], // called after each drawing
    endings: [], // called when the viewer is taken off the page
    draw: () => {},
    stack: () => ({ level: 0, every: 1 }), // of a projection: its level, and every which layer of chunks
    stackWords: () => "",
    project: () => {},
    ahead: () => [], // looks that will be wanted next
  };
  let frame = 0;
  v.changed = () => {
    if (frame || v.gone) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (!v.gone && v.size.width && v.view.zoom) v.draw();
    });
  };
  v.endings.push(() => cancelAnimationFrame(frame));

  v.smallest = () => Math.min(v.size.width / W, v.size.height / (H * facts.stretch), 32);
  v.zoomY = () => v.view.zoom * facts.stretch;
  v.toScreen = (y, x) => [
    (y - v.view.y) * v.zoomY() + v.size.height / 2,
    (x - v.view.x) * v.view.zoom + v.size.width / 2,
  ];
  v.toImage = (sy, sx) => [
    v.view.y + (sy - v.size.height / 2) / v.zoomY(),
    v.view.x + (sx - v.size.width / 2) / v.view.zoom,
  ];
  v.box = () => [...v.toImage(0, 0), ...v.toImage(v.size.height, v.size.width)];
  v.move = (y, x, zoom = v.view.zoom) => {
    v.fitted = false;
    v.view = { y: clamp(y, 0, H), x: clamp(x, 0, W), zoom: clamp(zoom, v.smallest() / 2, MOST_ZOOM) };
    v.changed();
  };
  v.fit = () => {
    v.view = { y: H / 2, x: W / 2, zoom: v.smallest() };
    v.fitted = true;
    v.changed();
  };
  v.zoomBy = (factor, sy = v.size.height / 2, sx = v.size.width / 2) => {
    const [y, x] = v.toImage(sy, sx);
    const zoom = clamp(v.view.zoom * factor, v.smallest() / 2, MOST_ZOOM);
    v.move(y - (sy - v.size.height / 2) / (zoom * facts.stretch), x - (sx - v.size.width / 2) / zoom, zoom);
  };

  // What the kernel is told of the look: pixels shown enlarged must keep their values.
  // `changes` say what it would be, a plane ahead.
  v.asked = (changes = {}) => {
    const look = { ...v.look, ...changes };
    const on = look.channels.map((c, n) => ({ n, ...c })).filter((c) => c.on);
    const screen = v.view.zoom * v.size.ratio;
    const project = look.project ? v.stack().every : 0;
    const labels = look.labels && !project; // of many planes, they overlap
    const exact = screen > 1.5 || facts.stretch * screen > 1.5;
    return {
      t: look.t,
      z: project ? 0 : look.z,
      ...(project ? { project } : {}),
      channels: on.map((c) => [c.n, ...c.window]),
      gammas: on.map((c) => c.gamma),
      colors: on.map((c) => c.color),
      labels,
      ...(labels ? { drawn: look.drawn, chosen: look.chosen } : {}),
      exact,
    };
  };
  return v;
}

export const keyOf = (lookKey, level, ty, tx) => `${lookKey} ${level} ${ty} ${tx}`;
