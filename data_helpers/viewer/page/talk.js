// Talks to the kernel: one message says which tiles are wanted now, and each answer is a tile.

import { keyOf } from "./state.js";
import { decode } from "./store.js";

const PAUSE = 60; // milliseconds between two requests
const FIRST_RETRY = 4000; // milliseconds until failed tiles are asked for again, then doubled
const QUIET = 3000; // milliseconds without an answer until the status says so
const LOST = 30000; // and until the same is asked for again; the kernel gives up after 20 s

export function installTalk(v) {
  const { model, tiles, failed } = v;
  let number = 0, retryAfter = FIRST_RETRY;
  let pending = new Set(); // keys of the tiles that the kernel was asked for last
  let askTimer = 0, retryTimer = 0, quietTimer = 0, lostTimer = 0;
  v.quiet = false;

  v.say = (message) => {
    try {
      model.send({ view: v.id, ...message });
    } catch {
      // the kernel is gone; the tiles that are here stay
    }
  };

  // What is not there yet: tiles of the plane on the screen, and of planes that come next.
  function wants() {
    const { level, wanted, missing, lookKey } = v.shown;
    const open = (key) => (tile) => {
      const name = keyOf(key, level, ...tile);
      return !tiles.kept.has(name) && !failed.has(name);
    };
    const ahead = v.ahead().map((look) => {
      const key = JSON.stringify(look);
      return { look, key, tiles: wanted.filter(open(key)) };
    });
    const list = missing.filter(open(lookKey));
    const names = (key, some) => some.map((tile) => keyOf(key, level, ...tile));
    const keys = [...names(lookKey, list), ...ahead.flatMap((plane) => names(plane.key, plane.tiles))];
    return { list, ahead: ahead.filter((plane) => plane.tiles.length), keys };
  }
  v.waiting = () => wants().list.length > 0;

  function ask() {
    askTimer = 0;
    const { level, look, lookKey } = v.shown;
    if (v.gone || !look) return;
    const { list, ahead, keys } = wants();
    if (keys.length === pending.size && keys.every((key) => pending.has(key))) return;
    pending = new Set(keys);
    number += 1;
    v.say({ kind: "view", number, level, tiles: list, look, key: lookKey, ...(ahead.length ? { ahead } : {}) });
    listen(list.length);
  }

  function listen(waiting) {
    [quietTimer, lostTimer].forEach(clearTimeout);
    v.quiet = false;
    if (!waiting) return;
    quietTimer = setTimeout(() => { v.quiet = true; v.changed(); }, QUIET);
    lostTimer = setTimeout(() => { pending.clear(); v.changed(); }, LOST);
  }

  function retry() {
    retryTimer = 0;
    retryAfter = Math.min(2 * retryAfter, 60000);
    failed.clear();
    v.changed();
  }

  v.messages.tile = async (message, buffers) => {
    const key = keyOf(message.look, message.level, message.ty, message.tx);
    listen(true);
    if (message.error) {
      failed.set(key, message.error);
      retryTimer ||= setTimeout(retry, retryAfter);
    } else {
      const tile = await decode(buffers[0], message.type);
      if (v.gone) return tile.close();
      tiles.put(key, tile);
      failed.delete(key);
      retryAfter = FIRST_RETRY;
      v.received += 1;
    }
    pending.delete(key); // the request holds for what is left of it
    v.changed();
  };

  const onMessage = (message, buffers) => v.messages[message.kind]?.(message, buffers);
  model.on("msg:custom", onMessage);
  v.drawn.push(() => (askTimer ||= setTimeout(ask, PAUSE)));
  v.endings.push(() => {
    model.off("msg:custom", onMessage);
    [askTimer, retryTimer, quietTimer, lostTimer].forEach(clearTimeout);
  });
}
