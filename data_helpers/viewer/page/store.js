// The tiles that the browser keeps.

export const KEPT = 300; // at least

// Keeps the tiles used last.
export class Tiles {
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

export function decode(bytes, type) {
  return createImageBitmap(new Blob([bytes], { type }));
}
