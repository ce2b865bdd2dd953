// Colours of values from -1 (orange) over 0 to 1 (blue), of classes, and maps of bytes drawn with them.
const STOPS = [[245, 147, 34], [232, 234, 235], [8, 119, 189]], CHANCE = STOPS[1];
// Okabe & Ito 2008, and two that the colour-blind can tell from them.
const CLASSES = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0],
  [86, 180, 233], [0, 0, 0], [240, 228, 66], [153, 51, 255], [102, 51, 0]];
const mix = (a, b, t) => a.map((c, i) => Math.round(c + (b[i] - c) * t));
const text = ([r, g, b]) => `rgb(${r},${g},${b})`;

const VALUES = Array.from({ length: 256 }, (_, i) => {
  const t = (i / 255) * 2, k = t < 1 ? 0 : 1;
  return mix(STOPS[k], STOPS[k + 1], t - k);
});
// The server's byte of a cell is 25 * class + margin: the most probable class, its margin over chance (0 to 24).
const LEADS = Array.from({ length: 256 }, (_, i) => mix(CHANCE, CLASSES[Math.min(9, Math.floor(i / 25))], (i % 25) / 24));
const pack = (colours) => Uint32Array.from(colours, ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
const sure = (i, classes) => (classes > 2 ? 25 * Math.floor(i / 25) + 24 : i < 128 ? 0 : 255);
const PALETTES = { 2: pack(VALUES), 10: pack(LEADS) };
const DISCRETE = Object.fromEntries(Object.entries(PALETTES).map(([n, palette]) => [n, palette.map((_, i) => palette[Math.min(255, sure(i, n))])]));

export const css = (value) => text(VALUES[Math.max(0, Math.min(255, Math.round(127.5 * (1 + value))))]);
// The colour of a label, of so many classes.
export const classColour = (label, classes) => (classes > 2 ? text(CLASSES[label]) : css(2 * label - 1));
// The mark of a class on its points: its name if that is one character, else its number.
export const mark = (label, names) => (names.every((name) => name.length === 1) ? names[label] : `${label}`);
export const inkOn = (label) => (CLASSES[label][0] * 0.3 + CLASSES[label][1] * 0.6 + CLASSES[label][2] * 0.1 > 120 ? "#000" : "#fff");

export const decode = (encoded) => Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));

const canvases = new Map(); // reused in every frame
// Maps of side x side bytes, side by side on the canvas of this name; `classes` is 2 for values.
export function tiles(name, bytes, side, { offset = 0, count = 1, perRow = 1, classes = 2, discretize = false } = {}) {
  const width = side * perRow, height = side * Math.ceil(count / perRow);
  let made = canvases.get(name);
  if (!made || made.canvas.width !== width || made.canvas.height !== height) {
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
    made = { canvas, context, image: context.createImageData(width, height) };
    canvases.set(name, made);
  }
  const pixels = new Uint32Array(made.image.data.buffer), palette = (discretize ? DISCRETE : PALETTES)[classes > 2 ? 10 : 2];
  for (let i = 0; i < count; i++) {
    const left = (i % perRow) * side, top = Math.floor(i / perRow) * side, first = offset + i * side * side;
    for (let row = 0; row < side; row++) {
      const to = (top + row) * width + left, from = first + row * side;
      for (let column = 0; column < side; column++) pixels[to + column] = palette[bytes[from + column]];
    }
  }
  made.context.putImageData(made.image, 0, 0);
  return made.canvas;
}

let colours = {};
export const theme = (name) => (colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name));
export const forgetTheme = () => { colours = {}; };
