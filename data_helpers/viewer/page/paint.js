// Draws what is there: the overview, coarser tiles, the tiles of the right level, the mark.

import { chooseLevel, tilesIn } from "./geometry.js";
import { keyOf } from "./state.js";
import { KEPT } from "./store.js";

export function installPaint(v) {
  const { facts, tiles, failed } = v;
  const { levels } = facts;
  const { height: H, width: W } = levels[0];
  let lastWhole = null; // key of the last look whose tiles were all drawn

  const place = (y0, x0, y1, x1) => {
    const [top, left] = v.toScreen(y0, x0).map((at) => Math.round(at * v.size.ratio));
    const [bottom, right] = v.toScreen(y1, x1).map((at) => Math.round(at * v.size.ratio));
    return [left, top, right - left, bottom - top];
  };
  const corners = (number, ty, tx) => {
    const { height, width } = levels[number];
    const y = (n) => (Math.min(n * facts.tile, height) * H) / height;
    const x = (n) => (Math.min(n * facts.tile, width) * W) / width;
    return place(y(ty), x(tx), y(ty + 1), x(tx + 1));
  };

  v.draw = () => {
    const look = v.asked();
    const lookKey = JSON.stringify(look);
    const box = v.box();
    const level = v.look.project ? v.stack().level : chooseLevel(levels, v.zoomY() * v.size.ratio, v.view.zoom * v.size.ratio);
    const wanted = tilesIn(levels, level, facts.tile, box);
    tiles.limit = Math.max(KEPT, 2 * wanted.length);
    const pen = v.parts.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, v.parts.canvas.width, v.parts.canvas.height);
    pen.imageSmoothingEnabled = v.view.zoom * v.size.ratio < 1.5;
    if (v.overview) pen.drawImage(v.overview, ...place(0, 0, H, W));
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
    if (v.mark) ring(pen, v.toScreen(...v.mark), v.size.ratio);
    if (!missing.length) lastWhole = lookKey;
    v.shown = { level, wanted, missing, look, lookKey, drawn, errors };
    for (const after of v.drawn) after();
  };
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

function ring(pen, [sy, sx], ratio) {
  for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
    pen.strokeStyle = color;
    pen.lineWidth = width * ratio;
    pen.beginPath();
    pen.arc(sx * ratio, sy * ratio, 7 * ratio, 0, 2 * Math.PI);
    pen.stroke();
  }
  pen.lineWidth = ratio;
}
