// A click asks the kernel what is there. The label that was clicked is highlighted, and what is
// said of it follows when time or depth changes. A label that Python selects is looked for.

const FOLLOW = 200; // milliseconds that time and depth rest before the kernel is asked again

export function installPick(v) {
  const { facts, look, model } = v;
  const { height, width } = facts.levels[0];
  const { picked } = v.parts;
  let slow = 0, timer = 0, plane = "";

  function waits(text = "Reading …") {
    clearTimeout(slow);
    picked.textContent = text;
    slow = setTimeout(() => (picked.textContent = "No answer from the kernel yet."), 8000);
  }
  v.pick = (y, x) => {
    if (y < 0 || x < 0 || y >= height || x >= width) return;
    v.mark = v.cross = [y, x];
    waits();
    v.say({ kind: "pick", y, x, level: v.shown.level, look: v.asked() });
    v.changed();
  };
  v.messages.picked = (message) => {
    if (message.view !== v.id) return;
    clearTimeout(slow);
    picked.textContent = message.text;
    picked.dataset.label = message.label || "";
  };

  function about() {
    if (look.project) return; // labels are hidden
    const [y, x] = v.mark ?? [height / 2, width / 2];
    if (look.chosen) v.say({ kind: "about", y, x, label: look.chosen, look: v.asked() });
  }
  function find() {
    waits(`Looking for label ${look.chosen} …`);
    v.say({ kind: "find", label: look.chosen, look: v.asked() });
  }
  v.messages.found = (message) => {
    if (message.view !== v.id || message.label !== look.chosen) return;
    clearTimeout(slow);
    picked.dataset.label = message.label;
    picked.textContent = message.text;
    if (!message.place) return;
    const { z, y, x } = message.place;
    v.mark = v.cross = [y, x];
    if (!inSight(y, x)) v.move(y, x);
    v.project(false);
    if (z === look.z) about();
    else v.sliders.z.set(z); // and what is said follows
  };
  function inSight(y, x) {
    if (!v.view.zoom) return v.fitted; // nothing is drawn yet
    const [y0, x0, y1, x1] = v.box();
    return y > y0 && y < y1 && x > x0 && x < x1;
  }
  // What was read of a pixel holds for its plane only; what is said of a label follows.
  v.drawn.push(() => {
    const now = `${look.t} ${look.z} ${look.project}`;
    const before = plane;
    plane = now;
    if (!before || before === now) return;
    clearTimeout(timer);
    if (look.chosen) {
      timer = setTimeout(about, FOLLOW);
    } else if (v.mark) {
      clearTimeout(slow);
      v.mark = null;
      picked.textContent = "";
      v.changed();
    }
  });

  // The kernel has the last word on what is chosen: a click, or `viewer.selection` in Python.
  const choose = () => {
    look.chosen = model.get("chosen");
    v.parts.root.dataset.chosen = look.chosen;
    v.parts.alone?.toggleAttribute("disabled", !look.chosen);
    if (!look.chosen && picked.dataset.label) {
      picked.textContent = picked.dataset.label = "";
      v.mark = null;
    }
    if (look.chosen && picked.dataset.label !== look.chosen) find();
    v.changed();
  };
  model.on("change:chosen", choose);
  if (model.get("chosen")) choose();
  v.endings.push(() => {
    model.off("change:chosen", choose);
    [slow, timer].forEach(clearTimeout);
  });
}
