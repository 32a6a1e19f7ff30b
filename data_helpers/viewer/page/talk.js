// Talks to the kernel: one message says which tiles are wanted now, and each answer is a tile.

import { keyOf } from "./state.js";
import { decode } from "./store.js";

const PAUSE = 60; // milliseconds between two requests
const FIRST_RETRY = 4000; // milliseconds until failed tiles are asked for again, then doubled
const QUIET = 3000; // milliseconds without an answer until the status says so
const LOST = 30000; // and until the same is asked for again; the kernel gives up after 20 s

export function installTalk(v) {
  const { model, tiles, failed } = v;
  let number = 0, sent = "", retryAfter = FIRST_RETRY;
  let askTimer = 0, retryTimer = 0, quietTimer = 0, lostTimer = 0;
  v.quiet = false;

  v.say = (message) => {
    try {
      model.send({ view: v.id, ...message });
    } catch {
      // the kernel is gone; the tiles that are here stay
    }
  };

  const content = (lookKey, level, list) => JSON.stringify([lookKey, level, list.map(String).sort()]);

  function ask() {
    askTimer = 0;
    const { level, missing, look, lookKey } = v.shown;
    if (v.gone || !look) return;
    const list = missing.filter((tile) => !failed.has(keyOf(lookKey, level, ...tile)));
    const now = content(lookKey, level, list);
    if (now === sent) return;
    sent = now;
    number += 1;
    v.say({ kind: "view", number, level, tiles: list, look, key: lookKey });
    listen(list.length);
  }

  function listen(waiting) {
    [quietTimer, lostTimer].forEach(clearTimeout);
    v.quiet = false;
    if (!waiting) return;
    quietTimer = setTimeout(() => { v.quiet = true; v.changed(); }, QUIET);
    lostTimer = setTimeout(() => { sent = ""; v.changed(); }, LOST);
  }

  // After an answer the request in the kernel still holds; note what is left of it as sent.
  function settle() {
    const { level, missing, lookKey } = v.shown;
    const left = missing.filter(([ty, tx]) => {
      const key = keyOf(lookKey, level, ty, tx);
      return !tiles.kept.has(key) && !failed.has(key);
    });
    sent = content(lookKey, level, left);
    v.changed();
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
    settle();
  };

  const onMessage = (message, buffers) => v.messages[message.kind]?.(message, buffers);
  model.on("msg:custom", onMessage);
  v.drawn.push(() => (askTimer ||= setTimeout(ask, PAUSE)));
  v.endings.push(() => {
    model.off("msg:custom", onMessage);
    [askTimer, retryTimer, quietTimer, lostTimer].forEach(clearTimeout);
  });
}
