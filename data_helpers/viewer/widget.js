// The viewer in the page. It draws the tiles it has, and tells the kernel which ones it wants;
// see docs/viewer.md. A place is (y, x) in pixels of the finest level. `zoom` is the number of
// screen pixels for one of them along X; along Y it is `zoom * facts.stretch`.

const KEPT = 300; // tiles kept in the browser at least
const PAUSE = 60; // milliseconds between two requests
const FIRST_RETRY = 4000; // milliseconds until failed tiles are asked for again, then doubled
const QUIET = 3000; // milliseconds without an answer until the status says so
const LOST = 30000; // and until the same is asked for again; the kernel gives up after 20 s

// The coarsest level with at least one pixel for each screen pixel; `zoomY`, `zoomX` are screen
// pixels for one pixel of the finest level.
export function chooseLevel(levels, zoomY, zoomX) {
  const { height, width } = levels[0];
  let best = 0;
  levels.forEach((level, number) => {
    const enough = 1.0001; // the picture may fit the screen to a rounding error
    if ((zoomY * height) / level.height <= enough && (zoomX * width) / level.width <= enough) {
      best = number;
    }
  });
  return best;
}

// Tiles of a level under a box [y0, x0, y1, x1] in pixels of the finest level, centre first.
export function tilesIn(levels, number, side, [y0, x0, y1, x1]) {
  const level = levels[number];
  const ry = level.height / levels[0].height / side;
  const rx = level.width / levels[0].width / side;
  const last = (size) => Math.ceil(size / side) - 1;
  const found = [];
  const bottom = Math.min(last(level.height), Math.ceil(y1 * ry) - 1);
  const right = Math.min(last(level.width), Math.ceil(x1 * rx) - 1);
  for (let ty = Math.max(0, Math.floor(y0 * ry)); ty <= bottom; ty++) {
    for (let tx = Math.max(0, Math.floor(x0 * rx)); tx <= right; tx++) found.push([ty, tx]);
  }
  const away = ([ty, tx]) =>
    Math.hypot(ty + 0.5 - ((y0 + y1) / 2) * ry, tx + 0.5 - ((x0 + x1) / 2) * rx);
  return found.sort((a, b) => away(a) - away(b));
}

// A round length of at most `most` screen pixels: its length on the screen and its name.
export function scaleBar(micrometres, unknown, zoom, most = 140) {
  const perPixel = micrometres ?? 1;
  const limit = (most / zoom) * perPixel;
  const power = 10 ** Math.floor(Math.log10(limit));
  const round = [5, 2, 1].find((n) => n * power <= limit * 1.000001) * power;
  const length = (round / perPixel) * zoom;
  if (micrometres === null) {
    const count = Number(round.toPrecision(3)).toLocaleString("en");
    return { length, text: `${count} ${round === 1 ? "pixel" : "pixels"}, size unknown: ${unknown}` };
  }
  const [unit, factor] = round >= 1000 ? ["mm", 1e-3] : round >= 1 ? ["µm", 1] : ["nm", 1e3];
  return { length, text: `${Number((round * factor).toPrecision(3))} ${unit}` };
}

// Keeps the tiles used last.
class Tiles {
  constructor() {
    this.kept = new Map();
    this.limit = KEPT;
  }
  get(key) {
    const tile = this.kept.get(key);
    if (tile) {
      this.kept.delete(key);
      this.kept.set(key, tile);
    }
    return tile;
  }
  put(key, tile) {
    this.kept.get(key)?.close();
    this.kept.delete(key);
    this.kept.set(key, tile);
    for (const [oldest, old] of this.kept) {
      if (this.kept.size <= this.limit) break;
      this.kept.delete(oldest);
      old.close();
    }
  }
  clear() {
    for (const tile of this.kept.values()) tile.close();
    this.kept.clear();
  }
}

function element(tag, properties = {}, ...children) {
  const { dataset, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

function decode(bytes, type) {
  return createImageBitmap(new Blob([bytes], { type }));
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

function render({ model, el }) {
  const facts = model.get("facts");
  const { levels, channels, stretch } = facts;
  const { height: H, width: W } = levels[0];
  const id = `ozv${Math.random().toString(36).slice(2)}`;
  const look = { ...facts.start, channels: channels.map((c) => ({ on: c.shown, window: [...c.window] })), labels: facts.labels };
  const tiles = new Tiles();
  const failed = new Map(); // key of a tile: why it failed
  let overview = null;
  let lastWhole = null; // key of the last look whose tiles were all drawn
  let view = { y: H / 2, x: W / 2, zoom: 0 };
  let fitted = true; // as long as nobody moved, a change of width fits again
  let size = { width: 0, height: facts.height, ratio: 1 };
  let shown = { level: 0, wanted: [], missing: [] };
  let number = 0, sent = "", askTimer = 0, retryTimer = 0, quietTimer = 0, lostTimer = 0, pickTimer = 0, frame = 0;
  let retryAfter = FIRST_RETRY, received = 0, quiet = false, mark = null, gone = false;

  // ---- the page

  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `${facts.title}: picture to move and zoom`);
  canvas.setAttribute("aria-describedby", `${id}-status ${id}-keys`);
  const bar = element("div", { className: "ozv-scalebar" });
  const hint = element("div", { className: "ozv-hint", hidden: true, textContent: "Click the picture first, then the wheel zooms" });
  const zoomButtons = [["+", "Zoom in", () => zoomBy(2)], ["−", "Zoom out", () => zoomBy(0.5)], ["⤢", "Show all of the picture", fit]];
  const buttons = element("div", { className: "ozv-buttons" }, ...zoomButtons.map(([sign, title, onclick]) => {
    const button = element("button", { type: "button", textContent: sign, title, onclick });
    button.setAttribute("aria-label", title);
    return button;
  }));
  const stage = element("div", { className: "ozv-stage" }, canvas, bar, buttons, hint);
  const status = element("span", { className: "ozv-status", id: `${id}-status` });
  const keys = element("span", { className: "ozv-keys", id: `${id}-keys`, textContent: "Drag or arrow keys move, wheel or + and − zoom, 0 shows all, click or Enter reads values." });
  const trouble = element("div", { className: "ozv-error" });
  trouble.setAttribute("role", "alert");
  const picked = element("div", { className: "ozv-picked" });
  picked.setAttribute("aria-live", "polite");
  const controls = element("div", { className: "ozv-controls" });
  const title = element("div", { className: "ozv-title", textContent: facts.title });
  const foot = element("div", { className: "ozv-foot" }, status, keys);
  const note = element("div", { className: "ozv-foot ozv-note", textContent: facts.note ?? "", hidden: !facts.note });
  const root = element("div", { className: "ozv", dataset: { state: "loading", received: 0, tiles: 0, error: "" } }, title, stage, foot, note, trouble, picked, controls);
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab keeps its one-key commands to itself
  stage.style.height = `${facts.height}px`;
  addControls();
  el.append(root);

  function slider(name, text, low, high, step, value, onInput) {
    const shownValue = element("output", { textContent: Number(value.toPrecision(5)) });
    const input = element("input", { type: "range", name, min: low, max: high, step, value });
    input.addEventListener("input", () => {
      shownValue.textContent = Number(onInput(Number(input.value)).toPrecision(5));
      changed();
    });
    return element("label", {}, element("span", { textContent: text }), input, shownValue);
  }

  function checkbox(name, checked, onChange, ...text) {
    const input = element("input", { type: "checkbox", name, checked });
    input.addEventListener("change", () => {
      onChange(input.checked);
      changed();
    });
    return element("label", {}, input, ...text);
  }

  function addControls() {
    const row = element("div", { className: "ozv-row" });
    for (const [axis, text] of [["t", "time t"], ["z", "depth z"]]) {
      if (facts.sizes[axis] > 1) {
        row.append(slider(axis, text, 0, facts.sizes[axis] - 1, 1, look[axis], (value) => (look[axis] = value)));
      }
    }
    if (facts.labels) row.append(checkbox("labels", true, (on) => (look.labels = on), "outlines of labels"));
    controls.append(row, ...channels.map(channelRow));
  }

  function channelRow(channel, c) {
    const swatch = element("span", { className: "ozv-swatch" });
    swatch.style.background = `#${channel.color}`;
    const row = element("div", { className: "ozv-row" });
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", `channel ${channel.label}`);
    row.append(checkbox("c", channel.shown, (on) => (look.channels[c].on = on), swatch, channel.label));
    for (const [end, name, text] of [[0, "low", "black at"], [1, "high", "full at"]]) {
      row.append(slider(name, text, ...channel.limits, "any", channel.window[end], (value) => {
        look.channels[c].window[end] = channel.whole ? Math.round(value) : value;
        return look.channels[c].window[end];
      }));
    }
    for (const input of row.querySelectorAll("input")) input.dataset.channel = c;
    return row;
  }

  // ---- what is shown

  function asked() {
    const on = look.channels.flatMap((c, n) => (c.on ? [[n, ...c.window]] : []));
    const exact = view.zoom * size.ratio > 1.5 || stretch * view.zoom * size.ratio > 1.5;
    return { t: look.t, z: look.z, channels: on, labels: look.labels, exact };
  }

  const smallest = () => Math.min(size.width / W, size.height / (H * stretch), 32);
  const zoomY = () => view.zoom * stretch;
  const toScreen = (y, x) => [(y - view.y) * zoomY() + size.height / 2, (x - view.x) * view.zoom + size.width / 2];
  const toImage = (sy, sx) => [view.y + (sy - size.height / 2) / zoomY(), view.x + (sx - size.width / 2) / view.zoom];

  function move(y, x, zoom = view.zoom) {
    fitted = false;
    zoom = clamp(zoom, smallest() / 2, 64);
    view = { y: clamp(y, 0, H), x: clamp(x, 0, W), zoom };
    changed();
  }

  function fit() {
    view = { y: H / 2, x: W / 2, zoom: smallest() };
    fitted = true;
    changed();
  }

  function zoomBy(factor, sy = size.height / 2, sx = size.width / 2) {
    const [y, x] = toImage(sy, sx);
    const zoom = clamp(view.zoom * factor, smallest() / 2, 64);
    move(y - (sy - size.height / 2) / (zoom * stretch), x - (sx - size.width / 2) / zoom, zoom);
  }

  function changed() {
    if (!frame && !gone) frame = requestAnimationFrame(draw);
  }

  const keyOf = (lookKey, level, ty, tx) => `${lookKey} ${level} ${ty} ${tx}`;

  function draw() {
    frame = 0;
    if (gone || !size.width || !view.zoom) return;
    const lookNow = asked();
    const lookKey = JSON.stringify(lookNow);
    const box = [...toImage(0, 0), ...toImage(size.height, size.width)];
    const level = chooseLevel(levels, zoomY() * size.ratio, view.zoom * size.ratio);
    const wanted = tilesIn(levels, level, facts.tile, box);
    tiles.limit = Math.max(KEPT, 2 * wanted.length);
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = view.zoom * size.ratio < 1.5;
    const place = (y0, x0, y1, x1) => {
      const [top, left] = toScreen(y0, x0).map((at) => Math.round(at * size.ratio));
      const [bottom, right] = toScreen(y1, x1).map((at) => Math.round(at * size.ratio));
      return [left, top, right - left, bottom - top];
    };
    const corners = (number, ty, tx) => {
      const { height, width } = levels[number];
      const y = (n) => (Math.min(n * facts.tile, height) * H) / height;
      const x = (n) => (Math.min(n * facts.tile, width) * W) / width;
      return place(y(ty), x(tx), y(ty + 1), x(tx + 1));
    };
    if (overview) pen.drawImage(overview, ...place(0, 0, H, W));
    let drawn = 0;
    const missing = [], errors = new Set();
    for (const key of new Set([lastWhole, lookKey].filter(Boolean))) {
      for (let coarse = levels.length - 1; coarse > level; coarse--) {
        for (const [ty, tx] of tilesIn(levels, coarse, facts.tile, box)) {
          const tile = tiles.kept.get(keyOf(key, coarse, ty, tx));
          if (tile) pen.drawImage(tile, ...corners(coarse, ty, tx));
        }
      }
      for (const [ty, tx] of wanted) {
        const tile = tiles.get(keyOf(key, level, ty, tx));
        if (tile) pen.drawImage(tile, ...corners(level, ty, tx));
        if (key !== lookKey) continue;
        if (tile) drawn += 1;
        else missing.push([ty, tx]);
        const error = failed.get(keyOf(key, level, ty, tx));
        if (!tile && error) {
          errors.add(error);
          hatch(pen, corners(level, ty, tx));
        }
      }
    }
    if (mark) cross(pen, toScreen(...mark));
    if (!missing.length) lastWhole = lookKey;
    shown = { level, wanted, missing, look: lookNow, lookKey, drawn, errors };
    report();
    if (!askTimer) askTimer = setTimeout(ask, PAUSE);
  }

  function hatch(pen, [left, top, width, height]) {
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    pen.fillStyle = "#333";
    pen.fillRect(left, top, width, height);
    pen.strokeStyle = "#999";
    pen.beginPath();
    for (let x = left - height; x < left + width; x += 16) {
      pen.moveTo(x, top + height);
      pen.lineTo(x + height, top);
    }
    pen.stroke();
    pen.restore();
  }

  function cross(pen, [sy, sx]) {
    const [y, x, r] = [sy, sx, 7].map((n) => n * size.ratio);
    for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width * size.ratio;
      pen.beginPath();
      pen.arc(x, y, r, 0, 2 * Math.PI);
      pen.stroke();
    }
    pen.lineWidth = size.ratio;
  }

  function report() {
    const { level, wanted, missing, drawn, errors } = shown;
    const failing = missing.filter((tile) => failed.has(keyOf(shown.lookKey, level, ...tile))).length;
    const waiting = missing.length - failing;
    const state = failing ? "error" : waiting ? "loading" : "ready";
    const path = levels[level].path;
    Object.assign(root.dataset, { state, level: path, tiles: drawn, received, centre: `${Math.round(view.y)},${Math.round(view.x)}`, error: [...errors][0] ?? "" });
    let text = `Level ${path} of ${levels.length} (0 is the finest), ${drawn} of ${wanted.length} tiles`;
    if (waiting && quiet) text += "; waiting for the kernel, which may be busy with a cell, or for the network";
    if (status.textContent !== text) status.textContent = text;
    const count = failing === 1 ? "1 tile is" : `${failing} tiles are`;
    const why = failing ? `${count} missing; the viewer asks again by itself. ${[...errors][0]}` : received ? "" : facts.trouble;
    if (trouble.textContent !== why) trouble.textContent = why;
    const { length, text: label } = scaleBar(facts.micrometres, facts.unknown, view.zoom);
    bar.textContent = label;
    bar.style.setProperty("--length", `${length}px`);
  }

  // ---- talking to the kernel

  function say(message) {
    try {
      model.send({ view: id, ...message });
    } catch {
      // the kernel is gone; the tiles that are here stay
    }
  }

  function ask() {
    askTimer = 0;
    const { level, missing, look: lookNow, lookKey } = shown;
    if (gone || !lookNow) return;
    const list = missing.filter((tile) => !failed.has(keyOf(lookKey, level, ...tile)));
    const content = JSON.stringify([lookKey, level, list.map(String).sort()]);
    if (content === sent) return;
    sent = content;
    number += 1;
    say({ kind: "view", number, level, tiles: list, look: lookNow, key: lookKey });
    listen(list.length);
  }

  function listen(waiting) {
    [quietTimer, lostTimer].forEach(clearTimeout);
    quiet = false;
    if (!waiting) return;
    quietTimer = setTimeout(() => { quiet = true; changed(); }, QUIET);
    lostTimer = setTimeout(() => { sent = ""; changed(); }, LOST);
  }

  async function onMessage(message, buffers) {
    if (message.kind === "picked" && message.view === id) {
      clearTimeout(pickTimer);
      picked.textContent = message.text;
      picked.dataset.label = message.label || "";
    }
    if (message.kind !== "tile") return;
    const key = keyOf(message.look, message.level, message.ty, message.tx);
    listen(true);
    if (message.error) {
      failed.set(key, message.error);
      retryTimer ||= setTimeout(retry, retryAfter);
    } else {
      const tile = await decode(buffers[0], message.type);
      if (gone) return tile.close();
      tiles.put(key, tile);
      failed.delete(key);
      retryAfter = FIRST_RETRY;
      received += 1;
    }
    settle();
  }

  // After an answer the request in the kernel still holds; note what is left of it as sent.
  function settle() {
    const { level, missing, lookKey } = shown;
    const left = missing.filter(([ty, tx]) => {
      const key = keyOf(lookKey, level, ty, tx);
      return !tiles.kept.has(key) && !failed.has(key);
    });
    sent = JSON.stringify([lookKey, level, left.map(String).sort()]);
    changed();
  }

  function retry() {
    retryTimer = 0;
    retryAfter = Math.min(2 * retryAfter, 60000);
    failed.clear();
    changed();
  }

  // ---- hands

  const pointers = new Map();
  let dragged = 0, lastClick = 0;
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
    const moved = Math.hypot(now[0] - before[0], now[1] - before[1]);
    dragged += moved;
    if (dragged < 4) return;
    if (other) {
      const gap = (point) => Math.max(8, Math.hypot(point[0] - other[0], point[1] - other[1]));
      zoomBy(gap(now) / gap(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else {
      move(view.y - (now[0] - before[0]) / zoomY(), view.x - (now[1] - before[1]) / view.zoom);
    }
  });
  const lift = (event) => {
    const held = pointers.delete(event.pointerId);
    if (!held || dragged >= 4 || event.type !== "pointerup" || pointers.size) return;
    if (event.timeStamp - lastClick < 350) return; // the second of a double click
    lastClick = event.timeStamp;
    pick(...toImage(...local(event)));
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("dblclick", (event) => {
    event.preventDefault();
    zoomBy(event.shiftKey ? 0.5 : 2, ...local(event));
  });
  canvas.addEventListener("wheel", (event) => {
    if (!focused() && !event.ctrlKey && !event.metaKey) { // let the page scroll
      hint.hidden = false;
      clearTimeout(hint.timer);
      hint.timer = setTimeout(() => (hint.hidden = true), 1500);
      return;
    }
    event.preventDefault();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    zoomBy(2 ** (-clamp(pixels, -240, 240) / 240), ...local(event));
  }, { passive: false });
  canvas.addEventListener("blur", () => changed());

  const step = 80;
  const onKey = {
    ArrowUp: () => move(view.y - step / zoomY(), view.x),
    ArrowDown: () => move(view.y + step / zoomY(), view.x),
    ArrowLeft: () => move(view.y, view.x - step / view.zoom),
    ArrowRight: () => move(view.y, view.x + step / view.zoom),
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: fit,
    Enter: () => pick(view.y, view.x),
    Escape: () => canvas.blur(),
  };
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // "0" twice would restart a JupyterLab kernel
    if (event.target !== canvas || event.ctrlKey || event.metaKey || event.altKey || !onKey[event.key]) return;
    event.preventDefault();
    onKey[event.key]();
  });

  function pick(y, x) {
    if (y < 0 || x < 0 || y >= H || x >= W) return;
    mark = [y, x];
    clearTimeout(pickTimer);
    picked.textContent = "Reading …";
    pickTimer = setTimeout(() => (picked.textContent = "No answer from the kernel yet."), 8000);
    say({ kind: "pick", y, x, look: asked() });
    changed();
  }

  // ---- begin and end

  const resized = new ResizeObserver(() => {
    const width = Math.floor(stage.clientWidth), ratio = Math.min(window.devicePixelRatio || 1, 2);
    if (!width || (width === size.width && ratio === size.ratio)) return;
    size = { width, height: facts.height, ratio };
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(facts.height * ratio);
    if (fitted) fit();
    else changed();
  });
  resized.observe(stage);
  model.on("msg:custom", onMessage);
  const first = model.get("overview");
  if (first?.byteLength) {
    decode(first, "image/jpeg").then((bitmap) => {
      if (gone) return bitmap.close();
      overview = bitmap;
      changed();
    });
  }

  return () => {
    gone = true;
    model.off("msg:custom", onMessage);
    resized.disconnect();
    cancelAnimationFrame(frame);
    [askTimer, retryTimer, quietTimer, lostTimer, pickTimer, hint.timer].forEach(clearTimeout);
    tiles.clear();
    overview?.close();
  };
}

export default { render };
