// How labels are drawn: outlines, a fill, one colour or a colour each, all of them or one.

import { checkbox, element, slider } from "./elements.js";

export function installLabels(v) {
  const { facts, look, parts } = v;
  if (!facts.labels) return;
  const set = (change) => {
    Object.assign(look.drawn, change);
    v.changed();
  };
  const shown = checkbox("labels", look.labels, (on) => {
    look.labels = on;
    v.changed();
  }, "labels");
  const fill = slider("fill", "fill, %", [0, 100], 5, 100 * look.drawn.fill, (percent) => {
    set({ fill: percent / 100 });
    return percent;
  });
  const each = checkbox("each", look.drawn.each, (on) => set({ each: on }), "a colour each");
  const alone = checkbox("alone", look.drawn.alone, (on) => set({ alone: on }), "only the clicked one");
  parts.alone = alone.querySelector("input");
  parts.alone.disabled = !look.chosen;
  parts.controls.append(element("div", { className: "ozv-row", role: "group", label: "labels" }, shown, fill, each, alone));
}
