// Names of colours, for those who read them and those who hear them.

const HUES = [[15, "red"], [45, "orange"], [70, "yellow"], [160, "green"], [195, "cyan"], [260, "blue"], [285, "violet"], [335, "magenta"], [360, "red"]];

// The name of a colour such as "00FF00".
export function colorName(hex) {
  const [r, g, b] = [0, 2, 4].map((n) => parseInt(hex.slice(n, n + 2), 16));
  const high = Math.max(r, g, b), spread = high - Math.min(r, g, b);
  if (spread < 40) return high > 170 ? "white" : high > 60 ? "grey" : "black";
  const sixth = high === r ? (g - b) / spread : high === g ? 2 + (b - r) / spread : 4 + (r - g) / spread;
  const hue = (60 * sixth + 360) % 360;
  return HUES.find(([end]) => hue <= end)[1];
}
