// Side views: cuts through depth below the picture, through the point that was clicked, or else
// through the middle of the view.

import { checkbox, element } from "./elements.js";
import { chooseLevel, clamp } from "./geometry.js";
import { affordable, chunksUnder, planesRead } from "./stacks.js";
import { decode } from "./store.js";

const STILL_POINT = 150; // milliseconds that the point rests before the kernel is asked
const CUT_HEIGHT = 260, BETWEEN = 8; // screen pixels, at most
const CROSS = "#ff0";

export function installSides(v) {
  const { facts, look, parts } = v;
  if (facts.sizes.z < 2) return;
  const { levels, budget } = facts;
  const { height: H, width: W } = levels[0];
  const deep = facts.sizes.z * facts.deep, high = H * facts.stretch; // in widths of a pixel
  const cuts = { xz: makeCut("xz"), yz: makeCut("yz") };
  const words = element("span", { className: "ozv-cut-words" });
  const box = element("div", { className: "ozv-sides", role: "group", label: "side views", hidden: true }, cuts.xz.figure, cuts.yz.figure, words);
  parts.foot.after(box);
  const toggle = checkbox("sides", false, (on) => show(on), "side views");
  toggle.title = "Cuts xz and yz through the point that was clicked, or the middle (key s)";
  parts.depth.append(toggle);
  let timer = 0, asked = "", number = 0, choice = null;

  function makeCut(name) {
    const canvas = element("canvas", { className: "ozv-cut", role: "img" });
    const caption = element("figcaption");
    const figure = element("figure", {}, canvas, caption);
    const go = (event) => {
      if (!event.buttons) return;
      const at = canvas.getBoundingClientRect();
      const across = (event.clientX - at.left) / at.width, down = (event.clientY - at.top) / at.height;
      const [y, x] = point();
      v.cross = name === "xz" ? [y, clamp(across, 0, 0.9999) * W] : [clamp(down, 0, 0.9999) * H, x];
      const depth = clamp(name === "xz" ? down : across, 0, 0.9999);
      v.sliders.z.set(Math.floor(depth * facts.sizes.z));
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", go);
    return { canvas, caption, figure, picture: null };
  }
  const point = () => {
    const [y, x] = v.cross ?? [v.view.y, v.view.x];
    return [clamp(y, 0, H - 0.001), clamp(x, 0, W - 0.001)];
  };
  function show(on) {
    look.sides = on;
    toggle.querySelector("input").checked = on;
    box.hidden = !on;
    if (!on) v.cross = null;
    v.changed();
  }
  v.keys.s = () => show(!look.sides);

  // Screen pixels for one pixel of the finest level: both views fit beside each other.
  const scale = () => Math.min((v.size.width - BETWEEN) / (W + deep), CUT_HEIGHT / Math.max(deep, high));

  function ask() {
    timer = 0;
    if (v.gone || !look.sides) return;
    number += 1;
    const [y, x] = point();
    v.say({ kind: "sides", number, ...choice, y, x, look: { ...v.asked({ project: false }), z: 0 } });
  }
  v.messages.sides = async (message, buffers) => {
    if (message.view !== v.id || message.number !== number) return;
    parts.root.dataset.sides = message.error ? "error" : "ready";
    if (message.error) return (words.textContent = message.error);
    const pictures = await Promise.all([...buffers].map((bytes) => decode(bytes, "image/png")));
    if (v.gone) return pictures.forEach((picture) => picture.close());
    for (const [n, cut] of [cuts.xz, cuts.yz].entries()) {
      cut.picture?.close();
      cut.picture = pictures[n];
    }
    v.changed();
  };

  v.drawn.push(() => {
    if (!look.sides) return;
    const on = Math.max(1, look.channels.filter((c) => c.on).length), s = scale(), [y, x] = point();
    const first = chooseLevel(levels, s * facts.stretch * v.size.ratio, s * v.size.ratio);
    const count = (n) => // both cuts go through the chunks at the point
      chunksUnder(levels, n, [y, 0, y + 0.5, W]) + chunksUnder(levels, n, [0, x, H, x + 0.5]) - levels[n].stack.layers;
    choice = affordable(levels, first, on, budget, count);
    const { level, every } = choice;
    const place = [Math.floor((y * levels[level].height) / H), Math.floor((x * levels[level].width) / W)];
    const subject = JSON.stringify([choice, place, look.t, look.channels, look.labels, look.drawn, look.chosen]);
    if (subject !== asked) {
      asked = subject;
      parts.root.dataset.sides = "loading";
      clearTimeout(timer);
      timer = setTimeout(ask, STILL_POINT);
    }
    draw(cuts.xz, W * s, deep * s, x / W, (look.z + 0.5) / facts.sizes.z);
    draw(cuts.yz, deep * s, high * s, (look.z + 0.5) / facts.sizes.z, y / H);
    name(cuts.xz, `xz through y ${Math.floor(y).toLocaleString("en")}`);
    name(cuts.yz, `yz through x ${Math.floor(x).toLocaleString("en")}`);
    const cubes = facts.deepUnknown ? ` Voxels are drawn as cubes: ${facts.deepUnknown}.` : "";
    say(words, `Level ${levels[level].path}, ${planesRead(levels[level].stack, every)}.${cubes}`);
    crossOnPicture(y, x);
  });
  const say = (part, text) => {
    if (part.textContent !== text) part.textContent = text;
  };
  function name(cut, text) {
    say(cut.caption, text);
    cut.canvas.setAttribute("aria-label", `Side view ${text}; lines mark the point and plane z ${look.z}`);
  }
  function draw({ canvas, picture }, width, height, across, down) {
    const { ratio } = v.size;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    Object.assign(canvas, { width: Math.max(1, Math.round(width * ratio)), height: Math.max(1, Math.round(height * ratio)) });
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    if (picture) pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    crossLines(pen, across * canvas.width, down * canvas.height, ratio);
  }
  function crossOnPicture(y, x) {
    const [down, across] = v.toScreen(y, x);
    crossLines(parts.canvas.getContext("2d"), across * v.size.ratio, down * v.size.ratio, v.size.ratio);
  }
  if (facts.start.sides) show(true);
  v.endings.push(() => {
    clearTimeout(timer);
    for (const cut of Object.values(cuts)) cut.picture?.close();
  });
}

// A line across and a line down, with a gap where they meet.
function crossLines(pen, x, y, ratio) {
  const { width, height } = pen.canvas, gap = 6 * ratio;
  pen.strokeStyle = CROSS;
  pen.lineWidth = ratio;
  pen.beginPath();
  for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
    if (x1 < x0 || y1 < y0) continue;
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1);
  }
  pen.stroke();
}
