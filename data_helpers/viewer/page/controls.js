// Sliders for time and depth, outlines, and a row for each channel.

import { checkbox, element, slider } from "./elements.js";

export function installControls(v) {
  const { facts, look, parts } = v;
  const row = element("div", { className: "ozv-row" });
  for (const [axis, text] of [["t", "time t"], ["z", "depth z"]]) {
    if (facts.sizes[axis] < 2) continue;
    row.append(slider(axis, text, [0, facts.sizes[axis] - 1], 1, look[axis], (value) => {
      look[axis] = value;
      v.changed();
      return value;
    }));
  }
  const outlines = (on) => {
    look.labels = on;
    v.changed();
  };
  if (facts.labels) row.append(checkbox("labels", true, outlines, "outlines of labels"));
  parts.controls.append(row, ...facts.channels.map((channel, c) => channelRow(v, channel, c)));
}

function channelRow(v, channel, c) {
  const look = v.look.channels[c];
  const swatch = element("span", { className: "ozv-swatch" });
  swatch.style.background = `#${channel.color}`;
  const row = element("div", { className: "ozv-row", role: "group", label: `channel ${channel.label}` });
  const switched = (on) => {
    look.on = on;
    v.changed();
  };
  row.append(checkbox("c", channel.shown, switched, swatch, channel.label));
  for (const [end, name, text] of [[0, "low", "black at"], [1, "high", "full at"]]) {
    row.append(slider(name, text, channel.limits, "any", channel.window[end], (value) => {
      look.window[end] = channel.whole ? Math.round(value) : value;
      v.changed();
      return look.window[end];
    }));
  }
  for (const input of row.querySelectorAll("input")) input.dataset.channel = c;
  return row;
}
