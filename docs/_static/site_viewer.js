// A viewer without a kernel: it fetches small pictures, called tiles, that the build of the site cut
// out of an image (tools/site_tiles.py). Each <div class="site-viewer" data-image="folder"> gets one.
const KEEP = 300; // tiles in memory
const NO_SERVER = " in the folder of these pages, and open http://localhost:8000/try.html.";
const HELP = "Drag to move. Click the picture, then turn the wheel to zoom. Keys: arrows move, + and − zoom, 0 shows all.";

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer;
}

async function startViewer(root) {
  const folder = root.dataset.image;
  if (location.protocol === "file:") {
    root.dataset.state = "no server";
    const command = element("code", { textContent: "python3 -m http.server" });
    root.replaceChildren("This viewer needs a web server. Run ", command, NO_SERVER);
    return;
  }
  try {
    buildViewer(root, folder, await (await get(`${folder}/image.json`)).json());
  } catch (error) {
    root.dataset.state = "error";
    root.textContent = `The image can't be shown (${error.message}). Reload the page to try again.`;
  }
}

function buildViewer(root, folder, image) {
  const [full] = image.levels;
  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `${image.title}. ${HELP}`);
  const status = element("output");
  const view = { x: 0, y: 0, zoom: 1, z: image.planes >> 1 };
  const tiles = new Map(); // address -> bitmap, or null while it is fetched
  let [received, bytes, failed, planned, placed] = [0, 0, "", false, false];

  const controls = element("div", { className: "site-viewer-controls" });
  const button = (textContent, action) => {
    controls.append(element("button", { type: "button", textContent, onclick: action }));
  };
  button("Zoom in", () => zoomBy(1.5));
  button("Zoom out", () => zoomBy(1 / 1.5));
  button("Show all", showAll);
  if (image.planes > 1) {
    const range = { type: "range", min: 0, max: image.planes - 1, value: view.z, name: "z" };
    const slider = element("input", range);
    const depth = element("span");
    slider.oninput = () => {
      view.z = Number(slider.value);
      depth.textContent = ` plane ${image.first_plane + view.z * image.plane_step}`;
      slider.setAttribute("aria-valuetext", depth.textContent.trim());
      plan();
    };
    slider.oninput();
    controls.append(element("label", {}, "Depth (z) ", slider, depth));
  }
  for (const channel of image.channels) {
    channel.on = true;
    if (image.channels.length === 1) continue;
    const box = element("input", { type: "checkbox", checked: true });
    box.onchange = () => plan((channel.on = box.checked));
    const swatch = element("span", { className: "site-viewer-colour" });
    swatch.style.background = channel.color;
    controls.append(element("label", {}, box, " ", swatch, ` ${channel.label}`));
  }
  const words = element("p", { textContent: `${image.title}. ${image.credit} ${HELP}` });
  root.replaceChildren(canvas, controls, status, words);

  const fit = () => Math.min(canvas.clientWidth / full.width, canvas.clientHeight / full.height);
  function showAll() {
    Object.assign(view, { x: full.width / 2, y: full.height / 2, zoom: fit() });
    plan();
  }
  function moveBy(right, down) {
    view.x = Math.min(full.width, Math.max(0, view.x + right / view.zoom));
    view.y = Math.min(full.height, Math.max(0, view.y + down / view.zoom));
    plan();
  }
  function zoomBy(factor, right = 0, down = 0) { // right, down: the point that stays, from the middle
    const zoom = Math.min(8 * Math.max(1, fit()), Math.max(fit() / 2, view.zoom * factor));
    view.x += right / view.zoom - right / zoom;
    view.y += down / view.zoom - down / zoom;
    view.zoom = zoom;
    moveBy(0, 0);
  }
  const keys = {
    ArrowLeft: [moveBy, -60, 0],
    ArrowRight: [moveBy, 60, 0],
    ArrowUp: [moveBy, 0, -60],
    ArrowDown: [moveBy, 0, 60],
    "+": [zoomBy, 1.5],
    "=": [zoomBy, 1.5],
    "-": [zoomBy, 1 / 1.5],
    0: [showAll],
  };
  canvas.onkeydown = (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [action, ...by] = keys[event.key];
    action(...by);
  };
  canvas.onpointerdown = (event) => canvas.setPointerCapture(event.pointerId);
  canvas.onpointermove = (event) => {
    if (event.buttons) moveBy(-event.movementX, -event.movementY);
  };
  canvas.onwheel = (event) => {
    if (document.activeElement !== canvas) return; // the page scrolls
    event.preventDefault();
    const { offsetX, offsetY } = event;
    const middle = [offsetX - canvas.clientWidth / 2, offsetY - canvas.clientHeight / 2];
    zoomBy(Math.exp(-event.deltaY / 400), ...middle);
  };

  function plan() {
    if (!planned) requestAnimationFrame(draw);
    planned = true;
  }
  async function fetchTile(address) {
    tiles.set(address, null);
    try {
      const blob = await (await get(`${folder}/${address}`)).blob();
      tiles.set(address, await createImageBitmap(blob));
      received += 1;
      bytes += blob.size;
    } catch (error) {
      failed = `A tile didn't arrive (${error.message}).`;
    }
    for (const old of tiles.keys()) {
      if (tiles.size > KEEP && tiles.get(old)) tiles.delete(old);
    }
    plan();
  }
  // Draw one channel: what is there of the coarser levels, then the tiles of the level itself.
  function drawChannel(layer, number, finest) {
    const { width, height } = canvas;
    const zoom = view.zoom * devicePixelRatio;
    let missing = 0;
    layer.fillRect(0, 0, width, height);
    for (let index = image.levels.length - 1; index >= finest; index -= 1) {
      const level = image.levels[index];
      const size = image.tile * (full.width / level.width) * zoom; // of a tile, on the screen
      const [left, top] = [width / 2 - view.x * zoom, height / 2 - view.y * zoom];
      const bottom = Math.min(level.rows, (height - top) / size);
      const right = Math.min(level.columns, (width - left) / size);
      for (let y = Math.max(0, Math.floor(-top / size)); y < bottom; y += 1) {
        for (let x = Math.max(0, Math.floor(-left / size)); x < right; x += 1) {
          const address = `${index}/${number}/${view.z}/${y}_${x}.jpg`;
          const tile = tiles.get(address);
          const [part, place] = [size / image.tile, [left + x * size, top + y * size]];
          if (tile) {
            layer.drawImage(tile, ...place, tile.width * part, tile.height * part);
          } else if (index === finest) {
            missing += 1;
            if (!tiles.has(address)) fetchTile(address);
          }
        }
      }
    }
    layer.globalCompositeOperation = "multiply";
    layer.fillStyle = image.channels[number].color;
    layer.fillRect(0, 0, width, height);
    return missing;
  }
  function draw() {
    planned = false;
    const { clientWidth: wide, clientHeight: high } = canvas;
    Object.assign(canvas, { width: wide * devicePixelRatio, height: high * devicePixelRatio });
    const pixel = (level) => (full.width / level.width) * view.zoom * devicePixelRatio;
    const finest = Math.max(0, image.levels.findLastIndex((level) => pixel(level) <= 1.1));
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "lighter";
    let missing = 0;
    image.channels.forEach((channel, number) => {
      if (!channel.on) return;
      const layer = new OffscreenCanvas(canvas.width, canvas.height);
      missing += drawChannel(layer.getContext("2d"), number, finest);
      context.drawImage(layer, 0, 0);
    });
    Object.assign(root.dataset, { level: finest, z: view.z, received, x: view.x, y: view.y });
    root.dataset.state = failed ? "error" : missing ? "loading" : "ready";
    const came = `${received} tiles fetched, ${Math.round(bytes / 1000)} kB.`;
    status.textContent = `Showing level ${image.levels[finest].name}. ${came} ${failed}`;
  }
  new ResizeObserver(() => {
    (placed ? plan : showAll)();
    placed = true;
  }).observe(canvas);
}

for (const root of document.querySelectorAll(".site-viewer")) startViewer(root);
