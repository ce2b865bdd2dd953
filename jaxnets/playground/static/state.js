// The state of the page: in the address after #, so that a link or a reload restores it.
export const view = { map: "seed", test: false, discretize: false, speed: 0, hide: [] };

export function read() {
  const options = {};
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    try {
      const value = JSON.parse(text);
      if (name in view) view[name] = value; else options[name] = value;
    } catch { /* an address that was cut: the default is used */ }
  }
  return options;
}

export function write(options) {
  const hash = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...options, ...view })) hash.set(name, JSON.stringify(value));
  history.replaceState(null, "", `#${hash}`);
}

const base = {
  task: "classification", noise: 0, share: 50, features: ["x1", "x2"], activation: "tanh", penalty: "none",
  penalty_rate: 0, batch: 10, seeds: 1, batch_norm: false, dropout: 0,
};
export const PRESETS = {
  "Linear is not enough": { ...base, data: "xor", hidden: [], optimizer: "sgd", rate: 0.03 },
  "Spiral": { ...base, data: "spiral", hidden: [8, 8], optimizer: "adam", rate: 0.01, share: 80 },
  "Spiral, 64 seeds": { ...base, data: "spiral", hidden: [8, 8], optimizer: "adam", rate: 0.01, share: 80, seeds: 64 },
  "Overfitting": { ...base, data: "gauss", noise: 0.5, share: 10, hidden: [8, 8], optimizer: "adam", rate: 0.03, seeds: 16 },
  "MNIST, 4 or 9": { ...base, data: "mnist 4 9", features: ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"], hidden: [8], optimizer: "adam", rate: 0.01 },
  "MNIST, ten digits": { ...base, data: "mnist 0-9", features: ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"], hidden: [8], optimizer: "adam", rate: 0.01, share: 80 },
  "A rate too high": { ...base, task: "regression", data: "plane", activation: "linear", hidden: [4], optimizer: "sgd", rate: 10 },
  "Regression": { ...base, task: "regression", data: "hills", hidden: [8, 8], optimizer: "adam", rate: 0.01, share: 80 },
};
