// The output map with its points, the curve of the losses, and the maps of all seeds.
import { classColour, css, decode, inkOn, mark, theme, tiles } from "./colours.js";

const $ = (id) => document.getElementById(id);
const POINTS = 600; // of the curve, at most; then every second one is dropped
let history = [];

export const forget = () => { history = []; };

export function output(frame, start, view, hovered) {
  const context = $("output").getContext("2d"), { width } = $("output"), { small, large } = start.sides;
  const look = { classes: start.classes.length, discretize: view.discretize };
  let map;
  if (hovered) map = hovered.map;
  else if (view.map === "mean") map = tiles("map", decode(frame.mean), small, look);
  else if (view.map === "disagreement") map = tiles("map", decode(frame.disagreement), small);
  else map = tiles("map", decode(frame.large), large, look);
  context.imageSmoothingEnabled = !view.discretize;
  context.drawImage(map, 0, 0, width, width);
  context.drawImage(points(start, view.test), 0, 0);
}

let layer = null; // the points, drawn anew only if they change
function points(start, test) {
  if (layer && layer.start === start && layer.test === test) return layer.canvas;
  const { width } = $("output"), canvas = new OffscreenCanvas(width, width), context = canvas.getContext("2d");
  const scale = width / 12, classes = start.classes.length;
  start.x.forEach(([x1, x2], i) => {
    if (i >= start.count && !test) return;
    if (classes > 2) return marked(context, (x1 + 6) * scale, (6 - x2) * scale, start.y[i], start.classes, i >= start.count);
    context.beginPath();
    context.arc((x1 + 6) * scale, (6 - x2) * scale, 3, 0, 7);
    context.fillStyle = classes ? classColour(start.y[i], classes) : css(start.y[i]);
    context.fill();
    context.strokeStyle = i >= start.count ? "#000" : "#fff";
    context.lineWidth = 1;
    context.stroke();
  });
  layer = { start, test, canvas };
  return canvas;
}

// A point of one of several classes: a disc with the mark of the class, so that it does not need its colour.
function marked(context, x, y, label, names, test) {
  context.beginPath();
  context.arc(x, y, 6, 0, 7);
  context.fillStyle = classColour(label, names.length);
  context.fill();
  context.strokeStyle = test ? "#000" : "#fff";
  context.lineWidth = 1;
  context.stroke();
  context.font = "bold 9px sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = inkOn(label);
  context.fillText(mark(label, names), x, y + 0.5);
}

// The names of classes with their colours; without names, the scale of values is enough.
export function legend({ classes, options }) {
  const named = classes.length > 2 || options.data === "table" || options.data.startsWith("mnist");
  $("legend").replaceChildren(...(named ? classes : []).map((name, label) => {
    const item = document.createElement("span"), swatch = document.createElement("i");
    swatch.style.background = classColour(label, classes.length);
    if (classes.length > 2) {
      swatch.textContent = mark(label, classes);
      swatch.style.color = inkOn(label);
    }
    item.append(swatch, swatch.textContent === name ? "" : name);
    return item;
  }));
  $("key").hidden = classes.length > 2;
}

export function key() {
  const context = $("key").getContext("2d"), { width } = $("key");
  context.clearRect(0, 0, width, 26);
  for (let i = 0; i < width; i++) {
    context.fillStyle = css((2 * i) / width - 1);
    context.fillRect(i, 2, 1, 8);
  }
  context.fillStyle = theme("--text");
  context.font = "11px sans-serif";
  [["left", "−1", 0], ["center", "0", width / 2], ["right", "1", width]].forEach(([align, text, x]) => {
    context.textAlign = align;
    context.fillText(text, x, 22);
  });
}

export function curve(frame) {
  const { scores, chosen, step } = frame, last = history.at(-1);
  if (!last || last.step !== step) {
    const test = scores[1].filter((v) => v !== null);
    history.push({ step, train: scores[0][chosen], test: scores[1][chosen], low: Math.min(...test), high: Math.max(...test) });
    if (history.length > POINTS) history = history.filter((_, i) => i % 2 === 0);
  }
  const canvas = $("curve"), context = canvas.getContext("2d"), { width, height } = canvas;
  const now = history.at(-1), highest = Math.max(0, ...history.flatMap((h) => [h.high, h.train]).filter(Number.isFinite));
  // The axis has all losses up to 2, and the last ones whatever they are; of the others, an arrow tells the largest.
  const top = Math.max(0.1, Math.min(highest, 2), ...[now.high, now.train].filter(Number.isFinite)), end = Math.max(step, 1);
  const x = (h) => (h.step / end) * width, y = (v) => height - 2 - (Math.min(v, top) / top) * (height - 6);
  context.clearRect(0, 0, width, height);
  if (scores[1].length > 1) {
    context.fillStyle = theme("--line");
    context.beginPath();
    history.forEach((h) => context.lineTo(x(h), y(h.high)));
    [...history].reverse().forEach((h) => context.lineTo(x(h), y(h.low)));
    context.fill();
  }
  for (const [name, colour, dash] of [["train", "--dim", [4, 3]], ["test", "--text", []]]) {
    context.strokeStyle = theme(colour);
    context.lineWidth = 1.5;
    context.setLineDash(dash);
    context.beginPath();
    history.filter((h) => h[name] !== null).forEach((h) => context.lineTo(x(h), y(h[name])));
    context.stroke();
  }
  context.setLineDash([]);
  context.fillStyle = theme("--dim");
  context.font = "11px sans-serif";
  context.textAlign = "right";
  context.fillText(top.toFixed(2) + (highest > top ? `  \u25b2 to ${highest.toPrecision(3)}` : ""), width - 2, 11);
}

// The side of a seed's map and the maps per row.
function layout(count) {
  const perRow = count > 16 ? 16 : Math.min(8, count);
  return { perRow, side: Math.min(64, Math.floor($("maps").width / perRow)) };
}

export function seeds(frame, { sides, classes: { length: classes } }) {
  const count = frame.stopped.length, { perRow, side } = layout(count), bytes = decode(frame.seeds);
  const height = side * Math.ceil(count / perRow), canvas = $("maps");
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, height);
  const sheet = tiles("seeds", bytes, sides.small, { count, perRow, classes });
  context.drawImage(sheet, 0, 0, perRow * side, height);
  context.lineWidth = 2;
  context.strokeStyle = theme("--card"); // the gaps between maps
  for (let i = 0; i < count; i++) context.strokeRect((i % perRow) * side, Math.floor(i / perRow) * side, side, side);
  context.lineWidth = 3;
  for (let i = 0; i < count; i++) {
    if (i !== frame.chosen && !frame.stopped[i]) continue;
    context.strokeStyle = frame.stopped[i] ? theme("--warn") : theme("--accent");
    context.strokeRect((i % perRow) * side + 1.5, Math.floor(i / perRow) * side + 1.5, side - 3, side - 3);
  }
}

export function listen(choose, count, chosen) {
  const canvas = $("maps");
  canvas.onclick = (event) => {
    const { perRow, side } = layout(count()), box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale) / side), row = Math.floor(((event.clientY - box.top) * scale) / side);
    if (column < perRow && row * perRow + column < count()) choose(row * perRow + column);
  };
  canvas.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: layout(count()).perRow, ArrowUp: -layout(count()).perRow }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = chosen() + by;
    if (next >= 0 && next < count()) choose(next);
  };
}

const percent = (v) => (v === null ? "not finite" : `${(100 * v).toFixed(1)} %`);
const number = (v) => (v === null ? "not finite" : v.toFixed(3));

export function numbers(frame, options) {
  const [train, test, , accuracy] = frame.scores, i = frame.chosen, classes = options.task === "classification";
  $("losses").textContent = `Test loss ${number(test[i])}, training loss ${number(train[i])}`
    + (classes ? `, test accuracy ${percent(accuracy[i])}` : "");
  const finite = (classes ? accuracy : test).filter((v, j) => v !== null && !frame.stopped[j]).sort((a, b) => a - b);
  const stopped = frame.stopped.filter(Boolean).length, n = finite.length, mean = finite.reduce((a, b) => a + b, 0) / n;
  const std = Math.sqrt(finite.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, n - 1)), text = classes ? percent : number;
  const what = classes ? "accuracy" : "loss";
  $("spread").textContent = !n ? "Every seed diverged: no finite values."
    : n === 1 ? "One seed shows no spread: train 16 or 64 at once."
      : `Test ${what} of ${n} seeds: ${text(mean)} ± ${text(std)}, from ${text(finite[0])} to ${text(finite[n - 1])}`
        + (stopped ? `; ${stopped} stopped` : "");
}
