// Pointer, wheel and keys on the picture.

import { clamp } from "./geometry.js";
import { WheelRule } from "./wheel.js";

const STEP = 80; // screen pixels that an arrow key moves

export function installHands(v) {
  const { parts } = v;
  const { canvas, hint, root } = parts;
  const pointers = new Map();
  let dragged = 0, lastClick = 0, hintTimer = 0;
  const local = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientY - box.top, event.clientX - box.left];
  };
  const focused = () => canvas.getRootNode().activeElement === canvas;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, local(event));
    if (pointers.size === 1) dragged = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = local(event);
    const other = [...pointers].find(([pointer]) => pointer !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    dragged += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (dragged < 4) return;
    if (other) {
      const gap = (point) => Math.max(8, Math.hypot(point[0] - other[0], point[1] - other[1]));
      v.zoomBy(gap(now) / gap(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else {
      v.move(v.view.y - (now[0] - before[0]) / v.zoomY(), v.view.x - (now[1] - before[1]) / v.view.zoom);
    }
  });
  // Two fingers are for the picture: else the page would be zoomed.
  for (const kind of ["touchstart", "touchmove"]) {
    parts.stage.addEventListener(kind, (event) => {
      if (event.touches.length > 1 && event.cancelable) event.preventDefault();
    }, { passive: false });
  }
  parts.stage.addEventListener("gesturestart", (event) => event.preventDefault()); // Safari
  const lift = (event) => {
    const held = pointers.delete(event.pointerId);
    if (!held || dragged >= 4 || event.type !== "pointerup" || pointers.size) return;
    if (event.timeStamp - lastClick < 350) return; // the second of a double click
    lastClick = event.timeStamp;
    v.pick(...v.toImage(...local(event)));
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("dblclick", (event) => {
    event.preventDefault();
    v.zoomBy(event.shiftKey ? 0.5 : 2, ...local(event));
  });
  const rule = new WheelRule();
  const page = canvas.ownerDocument;
  const onPicture = (event) => event.composedPath()[0] === canvas;
  const follow = (event) => rule.pointer(event.clientX, event.clientY, onPicture(event), event.timeStamp);
  const scrolling = (event) => {
    if (!onPicture(event)) rule.scrolled(event.timeStamp);
  };
  page.addEventListener("pointermove", follow, { capture: true, passive: true });
  page.addEventListener("wheel", scrolling, { capture: true, passive: true });
  v.endings.push(() => {
    page.removeEventListener("pointermove", follow, { capture: true });
    page.removeEventListener("wheel", scrolling, { capture: true });
  });
  canvas.addEventListener("wheel", (event) => {
    if (!rule.zooms && !focused() && !event.ctrlKey && !event.metaKey) { // let the page scroll
      rule.scrolled(event.timeStamp);
      hint.hidden = false;
      clearTimeout(hintTimer);
      hintTimer = setTimeout(() => (hint.hidden = true), 1500);
      return;
    }
    event.preventDefault();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    v.zoomBy(2 ** (-clamp(pixels, -240, 240) / 240), ...local(event));
  }, { passive: false });
  canvas.addEventListener("blur", () => v.changed());

  Object.assign(v.keys, {
    ArrowUp: () => v.move(v.view.y - STEP / v.zoomY(), v.view.x),
    ArrowDown: () => v.move(v.view.y + STEP / v.zoomY(), v.view.x),
    ArrowLeft: () => v.move(v.view.y, v.view.x - STEP / v.view.zoom),
    ArrowRight: () => v.move(v.view.y, v.view.x + STEP / v.view.zoom),
    "+": () => v.zoomBy(1.5),
    "=": () => v.zoomBy(1.5),
    "-": () => v.zoomBy(1 / 1.5),
    0: v.fit,
    Enter: () => v.pick(v.view.y, v.view.x),
    Escape: () => {
      rule.release();
      canvas.blur();
    },
  });
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // "0" twice would restart a JupyterLab kernel
    if (event.target !== canvas || event.ctrlKey || event.metaKey || event.altKey || !v.keys[event.key]) return;
    event.preventDefault();
    v.keys[event.key]();
  });
  v.endings.push(() => clearTimeout(hintTimer));
}
