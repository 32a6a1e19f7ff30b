// When the wheel zooms, and when it scrolls the page.
//
// It zooms once the pointer has been moved over the picture by hand. A picture that came under a
// still pointer because the page scrolled lets it scroll on; so does a movement within STILL
// milliseconds of the last turn, since a hand on the wheel shakes. With Ctrl it always zooms.

const STILL = 300;
const MOVED = 4; // screen pixels

export class WheelRule {
  constructor() {
    this.moved = 0; // over the picture, since it came under the pointer
    this.lastScroll = -Infinity; // when the wheel last scrolled the page
    this.at = null; // where the pointer was last seen
  }
  // The pointer is at a place of the window, over the picture or not.
  pointer(x, y, over, time) {
    const far = this.at ? Math.hypot(x - this.at[0], y - this.at[1]) : 0;
    this.at = [x, y];
    if (!over) this.moved = 0;
    else if (time - this.lastScroll >= STILL) this.moved += far;
  }
  // The wheel scrolled the page.
  scrolled(time) {
    this.lastScroll = time;
  }
  get zooms() {
    return this.moved >= MOVED;
  }
  release() {
    this.moved = 0;
  }
}
