// A histogram of the values in view, with two handles. One hot pixel does not stretch it: what is
// far from the rest is counted and marked, and a button shows it, too.

import { colorName } from "./colors.js";
import { button, element, short } from "./elements.js";

const BOX = { width: 180, height: 36 }; // in screen pixels
const ROOM = 0.25; // how much further a handle may go than the window, in widths of it

export function makeHistogram(channel, look, named, changed) {
  const canvas = element("canvas", { className: "ozv-bars", width: BOX.width, height: BOX.height });
  canvas.setAttribute("aria-hidden", "true");
  let bars = null, span = channel.limits, whole = false;
  const wider = button("↔", "", () => {
    whole = !whole;
    fit();
  }, { className: "ozv-wider", hidden: true });
  const handles = [0, 1].map((end) => {
    const name = ["low", "high"][end];
    const [min, max] = channel.limits;
    const input = element("input", { type: "range", name, min, max, step: "any", value: look.window[end] });
    input.addEventListener("input", () => {
      const value = channel.whole ? Math.round(input.value) : Number(input.value);
      look.window[end] = end ? Math.max(value, look.window[0]) : Math.min(value, look.window[1]);
      show();
      changed();
    });
    return input;
  });
  const words = [0, 1].map(() => element("span", { className: "ozv-end" }));

  function show() {
    const bright = colorName(look.color);
    span = [Math.min(span[0], look.window[0]), Math.max(span[1], look.window[1])];
    for (const input of handles) [input.min, input.max] = span;
    handles.forEach((input, end) => {
      input.value = look.window[end];
      const word = `${(end === 1) === channel.inverted ? "black" : bright} at`;
      input.setAttribute("aria-label", `${named}: ${word}`);
      input.setAttribute("aria-valuetext", String(short(look.window[end])));
      words[end].replaceChildren(`${word} `, element("output", { textContent: short(look.window[end]) }));
    });
    drawBars(canvas, bars, look, span);
  }
  // Where the handles go to: not while one is dragged, or it would run away.
  function fit() {
    if (bars) {
      const [low, high] = look.window, [from, to] = whole ? bars.whole : bars.ends;
      const ceiling = Math.max(channel.limits[1], bars.whole[1], high);
      span = [Math.min(from, low), Math.min(Math.max(to, high + ROOM * (high - low)), ceiling)];
    }
    sayBeyond();
    show();
  }
  function sayBeyond() {
    const [below, above] = bars?.beyond ?? [0, 0];
    wider.hidden = !(below || above);
    const count = (n, where) => (n ? [`${n.toLocaleString("en")} ${n === 1 ? "value" : "values"} ${where}`] : []);
    const far = wider.hidden ? "" : [...count(below, `below ${short(bars.ends[0])}, from ${short(bars.whole[0])}`), ...count(above, `above ${short(bars.ends[1])}, up to ${short(bars.whole[1])}`)].join("; ");
    wider.title = far;
    wider.setAttribute("aria-label", `${named}: show all values, also ${far}`);
    wider.setAttribute("aria-pressed", whole);
  }
  // The values in view: `counts` in equal steps between the two `ends`.
  const spread = (found) => {
    bars = found;
    canvas.dataset.bars = found.counts.filter((count) => count > 0).length;
    canvas.dataset.beyond = found.beyond.join();
    if (!found.beyond.some(Boolean)) whole = false;
    fit();
  };
  show();
  return {
    element: element("span", { className: "ozv-histogram" }, canvas, ...handles),
    words: element("span", { className: "ozv-ends" }, ...words),
    wider,
    show,
    fit,
    spread,
  };
}

// Bars as high as the logarithm of a count; grey outside the window.
function drawBars(canvas, bars, look, [min, max]) {
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, BOX.width, BOX.height);
  if (!bars) return;
  const most = Math.log1p(Math.max(...bars.counts));
  const step = (bars.ends[1] - bars.ends[0]) / bars.counts.length;
  const across = (value) => ((value - min) / (max - min)) * BOX.width;
  bars.counts.forEach((count, n) => {
    const from = bars.ends[0] + n * step;
    const inside = from + step > look.window[0] && from < look.window[1];
    const height = count ? Math.max(1, (Math.log1p(count) / most) * BOX.height) : 0;
    pen.fillStyle = inside ? `#${look.color}` : "#999";
    pen.fillRect(across(from), BOX.height - height, Math.max(1, across(from + step) - across(from)), height);
  });
  // What is beyond: a bar at its end, or an arrow towards it.
  bars.beyond.forEach((count, end) => {
    if (!count) return;
    const value = bars.whole[end];
    pen.fillStyle = "#fff";
    if (value >= min && value <= max) return pen.fillRect(Math.min(across(value), BOX.width - 2), BOX.height - 6, 2, 6);
    const tip = end ? BOX.width - 1 : 1, side = end ? -7 : 7;
    pen.beginPath();
    pen.moveTo(tip, 8);
    pen.lineTo(tip + side, 3);
    pen.lineTo(tip + side, 13);
    pen.fill();
  });
}
