// A row for each channel: on or off, its colour, a histogram with two handles, gamma.

import { colorName } from "./colors.js";
import { checkbox, element, short, slider } from "./elements.js";

const BOX = { width: 180, height: 36 }; // of a histogram, in screen pixels

export function installChannels(v) {
  v.rows = v.facts.channels.map((channel, c) => channelRow(v, channel, c));
  v.parts.controls.append(...v.rows.map((row) => row.element));
}

function channelRow(v, channel, c) {
  const look = v.look.channels[c];
  const named = `channel ${channel.label}`;
  const row = element("div", { className: "ozv-row", role: "group", label: named });
  row.append(checkbox("c", look.on, (on) => {
    look.on = on;
    v.changed();
  }, channel.label));
  const color = element("input", { type: "color", name: "color", value: `#${look.color}`, label: `${named}: colour`, title: "Choose a colour" });
  const histogram = makeHistogram(channel, look, named, () => v.changed());
  color.addEventListener("input", () => {
    look.color = color.value.slice(1).toUpperCase();
    histogram.show();
    v.changed();
  });
  const gamma = slider("gamma", "gamma", [0.2, 3], 0.05, look.gamma, (value) => {
    look.gamma = value;
    v.changed();
    return value;
  });
  gamma.title = "Below 1 the dark parts get brighter, above 1 they get darker";
  row.append(color, histogram.element, histogram.words, gamma);
  for (const input of row.querySelectorAll("input")) input.dataset.channel = c;

  // Take what the look says now, after a button or a key has changed it.
  const show = () => {
    row.querySelector("[name=c]").checked = look.on;
    color.value = `#${look.color.toLowerCase()}`;
    gamma.querySelector("input").value = look.gamma;
    gamma.querySelector("output").textContent = short(look.gamma);
    histogram.show();
  };
  return { element: row, show, spread: histogram.spread };
}

function makeHistogram(channel, look, named, changed) {
  const canvas = element("canvas", { className: "ozv-bars", width: BOX.width, height: BOX.height });
  canvas.setAttribute("aria-hidden", "true");
  let bars = null;
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
    handles.forEach((input, end) => {
      if (Number(input.max) < look.window[1]) handles.forEach((each) => (each.max = look.window[1]));
      if (Number(input.min) > look.window[0]) handles.forEach((each) => (each.min = look.window[0]));
      input.value = look.window[end];
      const word = `${(end === 1) === channel.inverted ? "black" : bright} at`;
      input.setAttribute("aria-label", `${named}: ${word}`);
      input.setAttribute("aria-valuetext", String(short(look.window[end])));
      words[end].replaceChildren(`${word} `, element("output", { textContent: short(look.window[end]) }));
    });
    drawBars(canvas, bars, look, [Number(handles[0].min), Number(handles[0].max)]);
  }
  // The values in view: `counts` in equal steps between the two `ends`.
  const spread = (found) => {
    bars = found;
    canvas.dataset.bars = found.counts.filter((count) => count > 0).length;
    show();
  };
  show();
  return {
    element: element("span", { className: "ozv-histogram" }, canvas, ...handles),
    words: element("span", { className: "ozv-ends" }, ...words),
    show,
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
}
