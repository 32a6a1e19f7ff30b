// Plays through time or depth. The next planes are fetched ahead with the same message that asks
// for the plane on the screen, so a new message replaces them all and no stale tile waits.

import { button, element } from "./elements.js";

const AHEAD = 2; // planes
const RATES = [1, 2, 5, 10, 20]; // frames a second

export function installPlay(v) {
  const { facts, look, parts } = v;
  const axes = ["t", "z"].filter((axis) => facts.sizes[axis] > 1);
  if (!axes.length) return;
  const buttons = {};
  let playing = "", timer = 0;
  const rate = element("select", { name: "fps", title: "Frames per second", label: "frames per second" },
    ...RATES.map((n) => element("option", { value: n, textContent: `${n} per second`, selected: n === 5 })));
  const next = (axis, steps = 1) => (look[axis] + steps) % facts.sizes[axis];

  // One more plane, once every tile of this one is there (or has failed).
  function step() {
    timer = setTimeout(step, 1000 / Number(rate.value));
    if (v.waiting()) return;
    v.sliders[playing].set(next(playing));
  }
  function play(axis) {
    clearTimeout(timer);
    playing = axis;
    parts.root.dataset.playing = axis;
    for (const name of axes) {
      const on = name === axis;
      buttons[name].textContent = on ? "❚❚" : "▶";
      buttons[name].setAttribute("aria-pressed", on);
    }
    if (axis) timer = setTimeout(step, 1000 / Number(rate.value));
    v.changed();
  }
  v.ahead = () => {
    if (!playing || look.project) return []; // a stack ahead is many planes
    return Array.from({ length: AHEAD }, (_, n) => v.asked({ [playing]: next(playing, n + 1) }));
  };
  for (const axis of axes) {
    const title = axis === "t" ? "Play through time" : "Play through depth";
    buttons[axis] = button("▶", title, () => play(playing === axis ? "" : axis));
    buttons[axis].setAttribute("aria-pressed", false);
    v.sliders[axis].element.after(buttons[axis]);
  }
  buttons[axes.at(-1)].after(rate);
  v.keys[" "] = () => play(playing ? "" : axes[0]);
  v.endings.push(() => clearTimeout(timer));
}
