// Keep a view: as a picture, as code, as a link to Neuroglancer; or let it fill the screen.

import { button, element } from "./elements.js";
import { scaleBar } from "./geometry.js";

const LINE = 18; // screen pixels of a line of text below a saved picture

export function installShare(v) {
  const { facts, look, parts } = v;
  const text = element("textarea", { className: "ozv-code", name: "code", readOnly: true, rows: 3, hidden: true, label: "Code that opens this view" });
  const link = element("a", { hidden: true, target: "_blank", rel: "noreferrer", textContent: "Open this view in Neuroglancer" });
  const told = element("span", { className: "ozv-told", role: "status" });

  // What `view(..., start=...)` takes.
  v.start = () => ({
    ...Object.fromEntries(["t", "z"].filter((axis) => facts.sizes[axis] > 1).map((axis) => [axis, look[axis]])),
    y: Number(v.view.y.toFixed(3)),
    x: Number(v.view.x.toFixed(3)),
    zoom: Number(v.view.zoom.toPrecision(6)),
    ...(look.project ? { project: true } : {}),
    ...(look.sides ? { sides: true } : {}),
    channels: Object.fromEntries(facts.channels.map((channel, c) => [c, look.channels[c]]).filter(([, c]) => c.on)
      .map(([c, { window, gamma, color }]) => [c, [...window, gamma, color]])),
  });
  v.code = () => {
    const python = JSON.stringify(v.start()).replace(/([,:])(?=\S)/g, "$1 ").replace(/"(\d+)":/g, "$1:").replace(/: true\b/g, ": True");
    const labels = facts.labelCode ? `, labels=${facts.labelCode}` : "";
    return `view(${facts.code}${labels}, start=${python})`;
  };
  async function copy() {
    text.value = v.code();
    text.hidden = false;
    text.select();
    try {
      await navigator.clipboard.writeText(text.value);
      told.textContent = "Copied. Paste it into a cell.";
    } catch {
      told.textContent = "Copy this into a cell."; // the browser does not let a page copy
    }
  }
  v.messages.link = (message) => {
    if (message.view !== v.id) return;
    told.textContent = message.text;
    link.hidden = !message.href;
    if (message.href) link.href = message.href;
  };

  async function save() {
    const blob = await new Promise((done) => picture(v).toBlob(done, "image/png"));
    const href = URL.createObjectURL(blob);
    element("a", { href, download: `${facts.title.replace(/\W+/g, "_")}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  }
  function fill() {
    if (document.fullscreenElement) document.exitFullscreen();
    else parts.root.requestFullscreen?.();
  }
  v.keys.f = fill;
  parts.controls.append(element("div", { className: "ozv-row", role: "group", label: "keep this view" },
    button("Save picture", "Save picture: what is in view, as a PNG file", save),
    button("Copy as code", "Copy as code what opens this view", copy),
    button("Neuroglancer", "Neuroglancer: make a link to this view", () => v.say({ kind: "link", look: v.asked(), start: v.start() })),
    button("Full screen", "Full screen (key f)", fill), told, link), text);
}

function projection(v) {
  const words = v.stackWords();
  return words && `${words[0].toUpperCase()}${words.slice(1)} (level ${v.facts.levels[v.shown.level].path})`;
}

// The picture with its scale bar and, below, what it is and whom to cite.
function picture(v) {
  const { canvas } = v.parts;
  const { ratio } = v.size;
  const lines = [v.facts.title, projection(v), ...v.facts.credit].filter(Boolean);
  const made = element("canvas", { width: canvas.width, height: canvas.height + Math.round((lines.length * LINE + 8) * ratio) });
  const pen = made.getContext("2d");
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, made.width, made.height);
  pen.drawImage(canvas, 0, 0);
  pen.scale(ratio, ratio);
  const { length, text, why } = scaleBar(v.facts.micrometres, v.facts.unknown, v.view.zoom);
  pen.font = "13px system-ui, sans-serif";
  const bottom = canvas.height / ratio;
  pen.fillStyle = "rgb(0 0 0 / 65%)";
  pen.fillRect(8, bottom - 36, Math.max(length, pen.measureText(text).width) + 12, 28);
  pen.fillStyle = "#fff";
  pen.fillText(text, 14, bottom - 20);
  pen.fillRect(14, bottom - 14, length, 3);
  [...lines.slice(0, 1).map((line) => (why ? `${line}; ${why}` : line)), ...lines.slice(1)].forEach((line, n) => {
    pen.fillText(line, 8, bottom + (n + 1) * LINE, made.width / ratio - 16);
  });
  return made;
}
