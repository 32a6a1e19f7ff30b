// A click asks the kernel what is there. The label that was clicked is highlighted, and what is
// said of it follows when time or depth changes.

const FOLLOW = 200; // milliseconds that time and depth rest before the kernel is asked again

export function installPick(v) {
  const { facts, look, model } = v;
  const { height, width } = facts.levels[0];
  const { picked } = v.parts;
  let slow = 0, timer = 0, plane = `${look.t} ${look.z}`;

  function waits() {
    clearTimeout(slow);
    picked.textContent = "Reading …";
    slow = setTimeout(() => (picked.textContent = "No answer from the kernel yet."), 8000);
  }
  v.pick = (y, x) => {
    if (y < 0 || x < 0 || y >= height || x >= width) return;
    v.mark = [y, x];
    waits();
    v.say({ kind: "pick", y, x, look: v.asked() });
    v.changed();
  };
  v.messages.picked = (message) => {
    if (message.view !== v.id) return;
    clearTimeout(slow);
    picked.textContent = message.text;
    picked.dataset.label = message.label || "";
  };

  function about() {
    const [y, x] = v.mark ?? [height / 2, width / 2];
    if (look.chosen) v.say({ kind: "about", y, x, label: look.chosen, look: v.asked() });
  }
  // What was read of a pixel holds for its plane only; what is said of a label follows.
  v.drawn.push(() => {
    const now = `${look.t} ${look.z}`;
    if (now === plane) return;
    plane = now;
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
    if (!look.chosen && picked.dataset.label) picked.textContent = picked.dataset.label = "";
    if (look.chosen && picked.dataset.label !== look.chosen) about();
    v.changed();
  };
  model.on("change:chosen", choose);
  if (model.get("chosen")) choose();
  v.endings.push(() => {
    model.off("change:chosen", choose);
    [slow, timer].forEach(clearTimeout);
  });
}
