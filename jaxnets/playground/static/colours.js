// Colours of values from -1 (orange) over 0 to 1 (blue), and maps of bytes drawn with them.
const STOPS = [[245, 147, 34], [232, 234, 235], [8, 119, 189]];

export const TABLE = Array.from({ length: 256 }, (_, i) => {
  const t = (i / 255) * 2, k = t < 1 ? 0 : 1;
  return STOPS[k].map((c, j) => c + (STOPS[k + 1][j] - c) * (t - k));
});

export const css = (value) => {
  const [r, g, b] = TABLE[Math.max(0, Math.min(255, Math.round(127.5 * (1 + value))))];
  return `rgb(${r | 0},${g | 0},${b | 0})`;
};

export const decode = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// A canvas of side x side pixels from bytes that start at an offset.
export function tile(bytes, side, offset = 0, discretize = false) {
  const canvas = new OffscreenCanvas(side, side), context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    let value = bytes[offset + i];
    if (discretize) value = value < 128 ? 0 : 255;
    image.data.set(TABLE[value], 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

export const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
