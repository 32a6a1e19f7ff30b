// A row for each channel: on or off, its colour, a histogram with two handles, gamma.

import { checkbox, element, short, slider } from "./elements.js";
import { makeHistogram } from "./histogram.js";

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
  row.append(color, histogram.element, histogram.wider, histogram.words, gamma);
  for (const input of row.querySelectorAll("input")) input.dataset.channel = c;

  // Take what the look says now, after a button or a key has changed it.
  const show = () => {
    row.querySelector("[name=c]").checked = look.on;
    color.value = `#${look.color.toLowerCase()}`;
    gamma.querySelector("input").value = look.gamma;
    gamma.querySelector("output").textContent = short(look.gamma);
    histogram.fit();
  };
  return { element: row, show, spread: histogram.spread };
}
