// The controls: built once, set from the options that the server confirms.
const $ = (id) => document.getElementById(id);
const RATES = [0.00001, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const OPTIMIZERS = ["sgd", "momentum", "adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamaxw",
  "adamw", "adan", "amsgrad", "fromage", "lamb", "lars", "lbfgs", "lion", "nadam", "nadamw", "noisy_sgd", "novograd",
  "optimistic_adam_v2", "optimistic_gradient_descent", "polyak_sgd", "radam", "rmsprop", "rprop", "sign_sgd", "signum",
  "sm3", "yogi"];
const SELECTS = {
  task: ["Problem", ["classification", "regression"]],
  optimizer: ["Optimizer", OPTIMIZERS],
  rate: ["Learning rate", RATES],
  activation: ["Activation", ["tanh", "relu", "sigmoid", "linear"]],
  penalty: ["Regularization", ["none", "L1", "L2"]],
  penalty_rate: ["Its rate", [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]],
  dropout: ["Dropout", [0, 0.1, 0.2, 0.3, 0.5]],
  batch_norm: ["Batch norm", [false, true]],
  seeds: ["Seeds at once", [1, 4, 16, 64]],
};
const SLIDERS = {
  noise: ["Noise", 0, 0.5, 0.05], share: ["Training share, %", 10, 90, 10], batch: ["Batch size", 1, 30, 1],
};
const DATA = { classification: ["circle", "xor", "gauss", "spiral", "mnist 0 1", "mnist 3 8", "mnist 4 9", "mnist 0-9"], regression: ["plane", "hills"] };
const FEATURES = { x1: "x₁", x2: "x₂", "x1^2": "x₁²", "x2^2": "x₂²", "x1*x2": "x₁x₂", "sin x1": "sin x₁", "sin x2": "sin x₂" };
const COMPONENTS = { p1: "p₁", p2: "p₂", p3: "p₃", p4: "p₄", p5: "p₅", p6: "p₆", p7: "p₇", p8: "p₈" };
const reduced = ({ data, columns }) => data.startsWith("mnist") || (data === "table" && !columns.length);
export const features = (options) => (reduced(options) ? COMPONENTS : FEATURES);
const shown = (value) => (value === false ? "off" : value === true ? "on" : String(value));

function labelled(text, element, name) {
  const label = document.createElement("label");
  label.dataset.control = name;
  label.append(text, element);
  return label;
}

export function button(text, pressed, act) {
  const made = document.createElement("button");
  made.textContent = text;
  if (pressed !== null) made.setAttribute("aria-pressed", pressed);
  made.onclick = act;
  return made;
}

export function build(change) {
  for (const [name, [text, values]] of Object.entries(SELECTS)) {
    const select = document.createElement("select");
    select.id = name;
    select.append(...values.map((value) => new Option(shown(value), JSON.stringify(value))));
    select.onchange = () => change({ [name]: JSON.parse(select.value) });
    $("controls").append(labelled(text, select, name));
  }
  for (const [name, [text, min, max, step]] of Object.entries(SLIDERS)) {
    const input = Object.assign(document.createElement("input"), { type: "range", id: name, min, max, step });
    const value = Object.assign(document.createElement("span"), { id: `${name}-value` });
    input.oninput = () => { value.textContent = ` ${input.value}`; };
    input.onchange = () => change({ [name]: Number(input.value) });
    const label = labelled(text, input, name);
    label.insertBefore(value, input);
    $("sliders").append(label);
  }
  const seed = Object.assign(document.createElement("input"), { type: "number", id: "seed", min: 0, max: 1e6 });
  seed.onchange = () => change({ seed: Number(seed.value) });
  $("sliders").append(labelled("Seed", seed, "seed"));
}

// Only what differs is replaced: the focus of the keyboard stays where it is.
function fill(id, buttons) {
  const focused = [...$(id).children].indexOf(document.activeElement);
  $(id).replaceChildren(...buttons);
  if (focused >= 0) $(id).children[Math.min(focused, buttons.length - 1)]?.focus();
}

export function show({ options, inputs }, change) {
  for (const name of Object.keys(SELECTS)) {
    const text = JSON.stringify(options[name]);
    if (![...$(name).options].some((o) => o.value === text)) $(name).append(new Option(shown(options[name]), text));
    $(name).value = text;
  }
  for (const name of Object.keys(SLIDERS)) {
    $(name).value = options[name];
    $(`${name}-value`).textContent = ` ${options[name]}`;
  }
  $("seed").value = options.seed;
  const file = button("your file…", options.data === "table", () => $("file").click());
  fill("data", [...DATA[options.task].map((name) => button(name, options.data === name, () => change({ data: name }))), file]);
  const there = Object.entries(features(options)).filter((_, i) => inputs[i] || features(options) === FEATURES);
  fill("features", there.map(([name, text]) => {
    const on = options.features.includes(name);
    const next = on ? options.features.filter((other) => other !== name) : [...options.features, name];
    return button(text, on, () => change({ features: next }));
  }));
  $("digits").hidden = !options.data.startsWith("mnist");
  showLayers(options.hidden, (hidden) => change({ hidden }));
}

function showLayers(hidden, change) {
  const added = hidden.length < 6 ? [button("+ layer", null, () => change([...hidden, hidden.at(-1) ?? 4]))] : [];
  const removed = hidden.length ? [button("− layer", null, () => change(hidden.slice(0, -1)))] : [];
  const units = hidden.flatMap((n, i) => {
    const [less, more] = [[-1, "−", "Remove a unit from"], [1, "+", "Add a unit to"]].map(([by, sign, what]) => {
      const made = button(sign, null, () => change(hidden.with(i, n + by)));
      made.title = `${what} layer ${i + 1}`;
      made.setAttribute("aria-label", made.title);
      made.disabled = n + by < 1 || n + by > 8;
      return made;
    });
    const count = document.createElement("span");
    count.textContent = `Layer ${i + 1}: ${n}`;
    return [less, count, more];
  });
  fill("layers", [...added, ...removed, ...units]);
}
