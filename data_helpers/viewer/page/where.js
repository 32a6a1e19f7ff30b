// Where you are: an overview map with a frame, and the place and values under the pointer.

import { inUnits } from "./geometry.js";

const SIDE = 130; // the longer side of the map, in screen pixels
const PAUSE_VALUES = 120; // milliseconds between two questions for values

export function installWhere(v) {
  const { facts, parts } = v;
  const { height: H, width: W } = facts.levels[0];
  const { map, where, canvas } = parts;
  const scale = SIDE / Math.max(H * facts.stretch, W);
  map.width = Math.max(8, Math.round(W * scale));
  map.height = Math.max(8, Math.round(H * facts.stretch * scale));

  v.drawn.push(() => {
    const box = v.box();
    const all = box[0] <= 1 && box[1] <= 1 && box[2] >= H - 1 && box[3] >= W - 1;
    map.hidden = all || !v.overview;
    if (!map.hidden) drawMap(box);
  });

  function drawMap([y0, x0, y1, x1]) {
    const pen = map.getContext("2d");
    pen.drawImage(v.overview, 0, 0, map.width, map.height);
    const [top, bottom] = [y0, y1].map((y) => (y / H) * map.height);
    const [left, right] = [x0, x1].map((x) => (x / W) * map.width);
    const side = (length) => Math.max(5, length); // a frame of a small part stays visible
    const frame = [(left + right - side(right - left)) / 2, (top + bottom - side(bottom - top)) / 2, side(right - left), side(bottom - top)];
    map.dataset.frame = frame.map(Math.round).join();
    for (const [color, width] of [["#000", 4], ["#ff0", 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width;
      pen.strokeRect(...frame);
    }
  }

  const goTo = (event) => {
    if (!event.buttons) return;
    const box = map.getBoundingClientRect();
    v.move(((event.clientY - box.top) / box.height) * H, ((event.clientX - box.left) / box.width) * W);
  };
  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    goTo(event);
  });
  map.addEventListener("pointermove", goTo);

  let timer = 0, place = null, values = "";
  function tell() {
    if (!place) return (where.textContent = "");
    const [y, x] = place.map(Math.floor);
    const [py, px] = [y, x].map((n) => n.toLocaleString("en"));
    const size = facts.micrometres;
    const units = size ? ` (${inUnits(place[0] * size * facts.stretch)}, ${inUnits(place[1] * size)})` : "";
    where.textContent = `y ${py}, x ${px}${units}${values ? `: ${values}` : ""}`;
  }
  function ask() {
    timer = 0;
    if (place && v.shown.look) v.say({ kind: "value", level: v.shown.level, y: place[0], x: place[1], look: v.shown.look });
  }
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const [y, x] = v.toImage(event.clientY - box.top, event.clientX - box.left);
    const inside = y >= 0 && x >= 0 && y < H && x < W;
    place = inside ? [y, x] : null;
    values = "";
    tell();
    if (place && !event.buttons) timer ||= setTimeout(ask, PAUSE_VALUES);
  });
  canvas.addEventListener("pointerleave", () => {
    place = null;
    tell();
  });
  v.messages.value = (message) => {
    if (message.view !== v.id) return;
    values = message.text;
    tell();
  };
  v.endings.push(() => clearTimeout(timer));
}
