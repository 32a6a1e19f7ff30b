// The viewer in the page. It draws the tiles it has, and tells the kernel which ones it wants;
// see docs/viewer.md.

import { installChannels } from "./channels.js";
import { installContrast } from "./contrast.js";
import { installControls } from "./controls.js";
import { button, element } from "./elements.js";
import { installHands } from "./hands.js";
import { installLabels } from "./labels.js";
import { installPaint } from "./paint.js";
import { installPick } from "./pick.js";
import { installPlay } from "./play.js";
import { installProject } from "./project.js";
import { installReport } from "./report.js";
import { installShare } from "./share.js";
import { installSides } from "./sides.js";
import { makeState } from "./state.js";
import { decode } from "./store.js";
import { installTalk } from "./talk.js";
import { installWhere } from "./where.js";

const CONCERNS = [
  installPaint, installReport, installTalk, installControls, installProject, installSides, installPlay, installLabels, installPick, installChannels,
  installContrast, installWhere, installHands, installShare,
];

function buildPage(v) {
  const { facts, id, parts } = v;
  parts.canvas = element("canvas", { tabIndex: 0, role: "application", label: `${facts.title}: picture to move and zoom` });
  parts.canvas.setAttribute("aria-describedby", `${id}-status ${id}-keys`);
  parts.bar = element("div", { className: "ozv-scalebar", role: "img" });
  parts.map = element("canvas", { className: "ozv-map", hidden: true, role: "img", label: "Map of the whole picture; a frame marks what is in view" });
  parts.where = element("span", { className: "ozv-where" });
  parts.hint = element("div", { className: "ozv-hint", hidden: true, textContent: "Move the pointer a little, then the wheel zooms" });
  parts.buttons = element("div", { className: "ozv-buttons" },
    button("+", "Zoom in", () => v.zoomBy(2)),
    button("−", "Zoom out", () => v.zoomBy(0.5)),
    button("All", "Show all of the picture", v.fit));
  parts.stage = element("div", { className: "ozv-stage" }, parts.canvas, parts.bar, parts.map, parts.buttons, parts.hint);
  parts.stage.style.height = `${facts.height}px`;
  parts.status = element("span", { className: "ozv-status", id: `${id}-status` });
  const keys = element("div", { className: "ozv-keys", id: `${id}-keys`, textContent: `Drag or arrow keys move, wheel or + and − zoom, 0 shows all, a sets contrast, r resets it, click or Enter reads values, ${facts.sizes.t > 1 || facts.sizes.z > 1 ? "space plays, " : ""}${facts.sizes.z > 1 ? "m shows the maximum over z, s side views, " : ""}f fills the screen.` });
  parts.foot = element("div", { className: "ozv-foot" }, parts.status, parts.where);
  const note = element("div", { className: "ozv-foot ozv-note", textContent: facts.note ?? "", hidden: !facts.note });
  parts.trouble = element("div", { className: "ozv-error", role: "alert" });
  parts.picked = element("div", { className: "ozv-picked" });
  parts.picked.setAttribute("aria-live", "polite");
  parts.controls = element("div", { className: "ozv-controls" });
  const title = element("div", { className: "ozv-title", textContent: facts.title });
  parts.root = element("div", { className: "ozv", dataset: { state: "loading", received: 0, tiles: 0, error: "" } },
    title, parts.stage, parts.foot, keys, note, parts.trouble, parts.picked, parts.controls);
  parts.root.dataset.lmSuppressShortcuts = "true"; // JupyterLab keeps its one-key commands to itself
}

function watchSize(v) {
  const { canvas, stage } = v.parts;
  const resized = new ResizeObserver(() => {
    const width = Math.floor(stage.clientWidth), height = Math.floor(stage.clientHeight), ratio = Math.min(window.devicePixelRatio || 1, 2);
    if (!width || (width === v.size.width && height === v.size.height && ratio === v.size.ratio)) return;
    v.size = { width, height, ratio };
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    if (v.fitted) v.fit();
    else {
      v.view.zoom ||= v.smallest();
      v.changed();
    }
  });
  resized.observe(stage);
  v.endings.push(() => resized.disconnect());
}

async function showOverview(v) {
  const first = v.model.get("overview");
  if (!first?.byteLength) return;
  const bitmap = await decode(first, "image/jpeg");
  if (v.gone) return bitmap.close();
  v.overview = bitmap;
  v.changed();
}

function render({ model, el }) {
  const v = makeState(model);
  buildPage(v);
  for (const install of CONCERNS) install(v);
  el.append(v.parts.root);
  watchSize(v);
  showOverview(v);
  return () => {
    v.gone = true;
    for (const end of v.endings) end();
    v.tiles.clear();
    v.overview?.close();
  };
}

export default { render };
