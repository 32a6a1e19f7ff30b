// Automatic contrast, reset, and histograms of what is in view.

import { button, element } from "./elements.js";

const REST = 400; // milliseconds that the picture rests before its histogram is asked for

export function installContrast(v) {
  const { facts, look } = v;
  let timer = 0, asked = "", number = 0;
  let auto = Infinity; // the question from which on an answer sets the windows
  const rows = () => v.rows.forEach((row) => row.show());

  function ask() {
    timer = 0;
    if (v.gone || !v.shown.look) return;
    asked = subject();
    number += 1;
    v.say({ kind: "contrast", number, level: v.shown.level, box: v.box(), look: v.shown.look });
  }
  // What a histogram depends on: the plane, the place and which channels are on.
  const subject = () => JSON.stringify([look.t, look.z, look.project, v.shown.level, v.box(), look.channels.map((c) => c.on)]);

  v.auto = () => {
    auto = number + 1;
    ask();
  };
  v.resetContrast = () => {
    auto = Infinity;
    facts.channels.forEach((channel, c) => Object.assign(look.channels[c], {
      window: [...channel.window], gamma: channel.gamma, color: channel.color,
    }));
    rows();
    v.changed();
  };
  v.messages.contrast = (message) => {
    if (message.view !== v.id) return;
    const set = message.number >= auto;
    for (const { channel, window: [low, high], ...bars } of message.channels) {
      if (set) look.channels[channel].window = facts.channels[channel].whole ? [Math.floor(low), Math.ceil(high)] : [low, high];
      v.rows[channel].spread(bars);
    }
    if (!set) return;
    auto = Infinity;
    v.changed();
  };
  v.drawn.push(() => {
    clearTimeout(timer);
    timer = 0;
    if (!v.shown.missing.length && subject() !== asked) timer = setTimeout(ask, REST);
  });
  v.endings.push(() => clearTimeout(timer));

  Object.assign(v.keys, { a: v.auto, r: v.resetContrast });
  v.parts.controls.append(element("div", { className: "ozv-row" },
    button("Auto contrast", "Auto contrast for what is in view (key a)", v.auto),
    button("Reset", "Reset contrast and colours to those of the metadata (key r)", v.resetContrast)));
}
