// The network: units as small maps, weights as lines; hover, click and keys on its canvas.
import { css, decode, theme, tiles } from "./colours.js";
import { features } from "./controls.js";

const SIZE = 38, canvas = document.getElementById("network"), context = canvas.getContext("2d");
let units = [], wires = [], hovered = null, selected = 0;

// Units in columns: features that are used, hidden layers, the output.
function place(options, classes) {
  const inputs = features(options), names = Object.keys(inputs).filter((name) => options.features.includes(name));
  const outputs = classes.length > 2 ? classes.length : 1, counts = [names.length, ...options.hidden, outputs], gap = (canvas.width - 100) / (counts.length - 1);
  return counts.map((count, layer) => Array.from({ length: count }, (_, index) => ({
    layer, index, x: 50 + gap * layer, y: 30 + (index + 0.5) * ((canvas.height - 40) / Math.max(count, 4)),
    row: layer ? index : Object.keys(inputs).indexOf(names[index]),
    name: layer === 0 ? inputs[names[index]] : layer === counts.length - 1 ? (outputs > 1 ? `output ${classes[index]}` : "output") : `unit ${index + 1} of layer ${layer}`,
  })));
}

export function draw(frame, { options, sides, classes }) {
  const columns = place(options, classes), side = sides.small, area = side * side;
  const hidden = decode(frame.units), output = decode(frame.outputs); // the features come first in `hidden`
  units = columns.flat();
  wires = columns.slice(1).flatMap((column, layer) => columns[layer].flatMap((from) => column.map((to) => ({
    layer, from, to, row: from.row, column: to.index, value: frame.layers[layer].kernel[from.row][to.index],
  }))));
  context.clearRect(0, 0, canvas.width, canvas.height);
  wires.forEach((wire, i) => line(wire, i === selected && document.activeElement === canvas));
  for (const unit of units) {
    const last = unit.layer === columns.length - 1;
    const offset = (last ? unit.index : unit.layer ? unit.layer * 8 + unit.index : unit.row) * area;
    unit.map = tiles(`unit ${unit.layer} ${unit.index}`, last ? output : hidden, side, { offset });
    unit.bias = unit.layer ? frame.layers[unit.layer - 1].bias[unit.index] : null;
    context.drawImage(unit.map, unit.x - SIZE / 2, unit.y - SIZE / 2, SIZE, SIZE);
    context.strokeStyle = unit === hovered ? theme("--accent") : theme("--dim");
    context.lineWidth = 1;
    context.strokeRect(unit.x - SIZE / 2, unit.y - SIZE / 2, SIZE, SIZE);
    if (unit.layer === 0 || (last && classes.length > 2)) {
      context.fillStyle = theme("--text");
      context.font = "13px sans-serif";
      context.textAlign = last ? "left" : "right";
      context.fillText(last ? classes[unit.index].slice(0, 4) : unit.name, unit.x + (last ? 1 : -1) * (SIZE / 2 + 3), unit.y + 4);
    }
  }
}

function line(wire, focused) {
  const { from, to, value } = wire, middle = (from.x + to.x) / 2, end = SIZE / 2;
  context.strokeStyle = focused ? theme("--accent") : css(Math.max(-1, Math.min(1, 0.3 * Math.sign(value) + value)));
  context.lineWidth = focused ? 5 : Math.min(9, 0.5 + 2.5 * Math.abs(value ?? 0));
  context.beginPath();
  context.moveTo(from.x + end, from.y);
  context.bezierCurveTo(middle, from.y, middle, to.y, to.x - end, to.y);
  context.stroke();
}

function at(event) {
  const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
  const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
  const unit = units.find((u) => Math.abs(u.x - x) < SIZE / 2 && Math.abs(u.y - y) < SIZE / 2);
  return unit ? { unit } : { wire: nearest(x, y) };
}

function nearest(x, y) {
  let best = null, least = 8;
  for (const wire of wires) {
    const start = wire.from.x + SIZE / 2, length = wire.to.x - SIZE / 2 - start, t = (x - start) / length;
    if (t < 0 || t > 1) continue;
    const [p, q] = [wire.from.y, wire.to.y], u = 1 - t;
    const distance = Math.abs(p * (u ** 3 + 3 * u * u * t) + q * (3 * u * t * t + t ** 3) - y);
    if (distance < least) [best, least] = [wire, distance];
  }
  return best;
}

export const describe = (wire) => `Weight from ${wire.from.name} to ${wire.to.name}`;

// `hover(unit or null, wire or null)`; `edit({label, value, layer, row, column})`.
export function listen(hover, edit) {
  const editWire = (w) => edit({ label: describe(w), value: w.value, layer: w.layer, row: w.row, column: w.column });
  canvas.onmousemove = (event) => {
    const { unit = null, wire = null } = at(event);
    hovered = unit;
    canvas.style.cursor = unit || wire ? "pointer" : "default";
    hover(unit, wire);
  };
  canvas.onmouseleave = () => hover((hovered = null), null);
  canvas.onclick = (event) => {
    const { unit, wire } = at(event);
    if (wire) editWire(wire);
    if (unit?.layer) edit({ label: `Bias of ${unit.name}`, value: unit.bias, layer: unit.layer - 1, row: null, column: unit.index });
  };
  canvas.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by) {
      selected = (selected + by + wires.length) % wires.length;
      hover(null, wires[selected]);
      event.preventDefault();
    } else if (event.key === "Enter") {
      editWire(wires[selected % wires.length]);
      event.preventDefault();
    }
  };
}
