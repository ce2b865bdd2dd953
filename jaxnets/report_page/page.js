"use strict";
(() => {
  const source = document.getElementById("predictions");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const sheet = JSON.parse(document.getElementById("sprite").textContent);
  const what = document.getElementById("what"), back = document.getElementById("back");
  const place = document.getElementById("examples"), side = 72;
  const percent = p => (100 * p).toFixed(p < 0.01 ? 2 : 1) + " %";
  const element = (name, text) => { const e = document.createElement(name); e.textContent = text || ""; return e; };

  function picture(position, words) {
    const image = element("i"), column = position % data.columns, row = Math.floor(position / data.columns);
    image.setAttribute("role", "img");
    image.setAttribute("aria-label", words);
    image.style.backgroundImage = `url(${sheet})`;
    image.style.backgroundSize = `${side * data.columns}px auto`;
    const height = side * data.shape[0] / data.shape[1];
    image.style.height = height + "px";
    image.style.backgroundPosition = `${-column * side}px ${-row * height}px`;
    return image;
  }
  function example(position) {
    const [index, label, guess, confidence, ofTrue] = data.examples[position];
    const item = element("li"), right = label === guess;
    const words = right ? `${data.classes[label]}, ${percent(ofTrue)}`
      : `${data.classes[label]} (${percent(ofTrue)}) predicted as ${data.classes[guess]} (${percent(confidence)})`;
    if (data.columns) item.append(picture(position, `test example ${index}`));
    item.append(element("b", `no. ${index}`), document.createElement("br"), words);
    return item;
  }
  function show(title, positions) {
    what.textContent = title;
    const list = element("ol");
    list.append(...positions.map(example));
    place.replaceChildren(positions.length ? list : element("p", "There is none."));
  }
  function worst() {
    document.querySelectorAll("[data-cell]").forEach(b => b.setAttribute("aria-pressed", "false"));
    back.hidden = true;
    show("The worst mistakes", data.worst);
  }
  function open(button) {
    worst();
    button.setAttribute("aria-pressed", "true");
    back.hidden = false;
    const [label, guess] = button.dataset.cell.split(",").map(Number), all = Number(button.textContent);
    const positions = data.cells[button.dataset.cell];
    const count = positions.length < all ? `${positions.length} of ${all}` : `${all}`;
    show(label === guess ? `${data.classes[label]}, correct: ${count}`
      : `${data.classes[label]} predicted as ${data.classes[guess]}: ${count}`, positions);
  }
  document.querySelectorAll("[data-cell]").forEach(b => b.addEventListener("click", () => open(b)));
  back.addEventListener("click", worst);
  worst();
  const cell = decodeURIComponent(location.hash.slice(1));
  const asked = [...document.querySelectorAll("[data-cell]")].find(b => b.dataset.cell === cell);
  if (asked) open(asked);
})();
