// The page: sends commands, draws the server's events.
import * as charts from "./charts.js";
import { forgetTheme } from "./colours.js";
import * as controls from "./controls.js";
import * as network from "./network.js";
import { PRESETS, read, view, write } from "./state.js";
import * as table from "./table.js";

const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token");
let session = null, start = null, frame = null, hovered = null, editing = null, drawn = [], pending = false, refusal = "";

async function post(path, body) {
  refuse("");
  const reply = await fetch(path, { method: "POST", headers: { "X-Token": token }, body });
  if (!reply.ok) refuse(await reply.text());
  return reply;
}
const send = (command) => post("/", JSON.stringify({ session, ...command }));
async function upload(name, file) {
  const reply = await post(`/table?${new URLSearchParams({ name })}`, file);
  return reply.ok ? reply.json() : null;
}
// What was refused is shown until the next command.
function refuse(message) {
  if (message || refusal) say(message, true);
  refusal = message;
}
function say(text, warn = false) {
  $("status").textContent = text;
  $("status").classList.toggle("warn", warn);
}
const change = (options) => send({ do: "change", options });
const play = () => send({ do: frame?.playing ? "pause" : "play" });

function redraw() {
  pending = false;
  if (!frame || !start) return;
  network.draw(frame, start);
  charts.output(frame, start, view, hovered && hovered.map ? hovered : null);
  charts.curve(frame);
  charts.seeds(frame, start);
  charts.numbers(frame, start.options);
  $("epoch").value = Math.floor(frame.epoch).toLocaleString("en");
  $("stepcount").value = frame.step.toLocaleString("en");
  $("chosen").value = start.options.seed + frame.chosen;
  $("play").textContent = frame.playing ? "Pause" : "Play";
  const now = performance.now();
  drawn = [...drawn.filter((t) => now - t < 1000), now];
  $("speed").textContent = `${drawn.length} frames in the last second; ${frame.compiled} programs compiled so far`;
  document.body.dataset.frames = Number(document.body.dataset.frames ?? 0) + 1;
  const waits = frame.waiting ? "Compiling the new network; the old one keeps training." : "";
  const wrong = refusal || frame.error || frame.cause;
  say(wrong || waits, Boolean(wrong));
}
function schedule() {
  if (!pending) requestAnimationFrame(redraw);
  pending = true;
}

function begin(message) {
  const restarted = !start || message.step === 0;
  [start, frame] = [message, message];
  if (restarted) charts.forget();
  controls.show(start, change);
  table.show(start);
  charts.legend(start);
  $("code").textContent = start.code;
  $("exact").textContent = start.exact ? `The code reproduces the weights of step ${Math.max(start.step, 1)}, up to rounding. Pause to update it.`
    : "Settings or weights were changed during training: reset so that the code matches the screen.";
  views();
  write(start.options);
  schedule();
}

function views() {
  const names = { seed: "This seed", mean: "Ensemble", disagreement: "Disagreement" };
  $("views").replaceChildren(...Object.entries(names).map(([map, text]) => controls.button(text, view.map === map, () => {
    view.map = map;
    views();
    write(start.options);
    schedule();
  })));
  $("show-test").checked = view.test;
  $("discretize").checked = view.discretize;
  $("steps").value = view.speed;
  for (const label of document.querySelectorAll("[data-control]")) label.hidden = view.hide.includes(label.dataset.control);
}

function connect(options) {
  const query = new URLSearchParams({ token, options: JSON.stringify(options) });
  const events = new EventSource(`/events?${query}`);
  const on = (kind, act) => events.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("session", ({ name }) => {
    session = name;
    if (view.speed) send({ do: "speed", steps: view.speed });
  });
  on("wait", () => { if (!start) say("Compiling the network."); });
  on("start", begin);
  on("frame", (message) => {
    if (start) start.options = message.options ?? start.options;
    frame = message;
    schedule();
  });
  on("refused", ({ message }) => {
    refuse(message);
    if (start) controls.show(start, change);
    if (start) table.show(start);
  });
  events.onerror = async () => {
    events.close();
    refuse("The connection is closed: the server has stopped. Restart it, and reload the page.");
    const reply = session ? null : await fetch(`/events?${query}`).catch(() => null);
    if (!reply || reply.ok) return;
    refuse(await reply.text());
    if (reply.status === 400 && Object.keys(options).length) connect({}); // the address is wrong
  };
}

function listen() {
  $("play").onclick = play;
  $("reset").onclick = () => send({ do: "reset" });
  $("step").onclick = () => send({ do: "step" });
  $("regenerate").onclick = () => change({ seed: start.options.seed + 1 });
  $("show-test").onchange = ({ target }) => { view.test = target.checked; write(start.options); schedule(); };
  $("discretize").onchange = ({ target }) => { view.discretize = target.checked; write(start.options); schedule(); };
  $("steps").onchange = ({ target }) => {
    view.speed = Number(target.value);
    write(start.options);
    send({ do: "speed", steps: view.speed });
  };
  $("code-box").ontoggle = () => send({ do: "code" });
  $("copy").onclick = () => navigator.clipboard.writeText($("code").textContent);
  $("editor").onsubmit = (event) => {
    event.preventDefault();
    send({ do: "edit", ...editing, value: Number($("weight").value) });
    $("editor").hidden = true;
    $("network").focus();
  };
  $("presets").append(...Object.entries(PRESETS).map(([name, preset]) => controls.button(name, null, () => change(preset))));
  table.listen(upload, change, refuse);
  network.listen((unit, wire) => {
    hovered = unit;
    $("hint").textContent = unit ? unit.name + (unit.bias === null ? "" : `, bias ${unit.bias}`)
      : wire ? `${network.describe(wire)}: ${wire.value}. Click or Enter edits it.` : "Click a line or a unit to edit its weight or bias.";
    schedule();
  }, ({ label, value, ...place }) => {
    editing = place;
    $("edited").textContent = label;
    $("weight").value = value;
    $("editor").hidden = false;
    $("weight").focus();
  });
  charts.listen((seed) => send({ do: "choose", seed }), () => frame.stopped.length, () => frame.chosen);
  document.onkeydown = (event) => {
    if (event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") { event.preventDefault(); play(); }
    if (event.key === "s") send({ do: "step" });
  };
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { forgetTheme(); charts.key(); schedule(); };
}

controls.build(change);
listen();
charts.key();
connect(read());
