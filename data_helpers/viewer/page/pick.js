// A click on the picture asks the kernel what is there.

export function installPick(v) {
  const { height, width } = v.facts.levels[0];
  const { picked } = v.parts;
  let timer = 0;

  v.pick = (y, x) => {
    if (y < 0 || x < 0 || y >= height || x >= width) return;
    v.mark = [y, x];
    clearTimeout(timer);
    picked.textContent = "Reading …";
    timer = setTimeout(() => (picked.textContent = "No answer from the kernel yet."), 8000);
    v.say({ kind: "pick", y, x, look: v.asked() });
    v.changed();
  };
  v.messages.picked = (message) => {
    if (message.view !== v.id) return;
    clearTimeout(timer);
    picked.textContent = message.text;
    picked.dataset.label = message.label || "";
  };
  v.endings.push(() => clearTimeout(timer));
}
