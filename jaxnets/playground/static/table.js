// The user's table: its file, the column to predict, and the columns of the plane.
const $ = (id) => document.getElementById(id);
const COMPONENTS = "principal components", BYTES = 2 ** 20;
let table = null;

// `send(name, file)` returns the server's description of a table, or null if it refused it.
export function listen(send, change, refuse) {
  $("file").onchange = async () => {
    const [file] = $("file").files;
    $("file").value = ""; // so that the same file can be chosen again after it was changed
    if (!file) return;
    if (file.size > BYTES) return refuse(`The playground expects a file of at most ${BYTES} bytes, but ${file.name} has ${file.size}; save a part of its rows.`);
    const read = await send(file.name, file);
    if (!read) return;
    const [target, task] = Object.entries(read.tasks).at(-1);
    change({ data: "table", table: read.name, target, task, columns: [], features: ["p1", "p2"] });
  };
  $("target").onchange = () => {
    const target = $("target").value, columns = columnsNow().includes(target) ? [] : columnsNow();
    change({ target, task: table.tasks[target], columns });
  };
  $("axis-1").onchange = () => {
    const first = $("axis-1").value, others = numbers().filter((name) => name !== first);
    const second = others.includes($("axis-2").value) ? $("axis-2").value : others[0];
    change({ columns: first === COMPONENTS || !second ? [] : [first, second] });
  };
  $("axis-2").onchange = () => change({ columns: [$("axis-1").value, $("axis-2").value] });
}

const numbers = () => table.numbers.filter((name) => name !== $("target").value);
const columnsNow = () => ($("axis-1").value === COMPONENTS ? [] : [$("axis-1").value, $("axis-2").value]);

function fill(id, names, value) {
  $(id).replaceChildren(...names.map((name) => new Option(name, name)));
  $(id).value = value;
}

export function show(start) {
  const { data, columns, target } = start.options;
  table = start.table;
  $("table").hidden = !table;
  $("table-hint").hidden = data !== "table";
  if (!table) return;
  fill("target", Object.keys(table.tasks), target);
  fill("axis-1", numbers().length > 1 ? [COMPONENTS, ...numbers()] : [COMPONENTS], columns[0] ?? COMPONENTS);
  $("axis-2").parentElement.hidden = !columns.length;
  fill("axis-2", numbers().filter((name) => name !== columns[0]), columns[1] ?? "");
  const left = table.left_out.length ? ` Left out (dates, identifiers or constant columns): ${table.left_out.join(", ")}.` : "";
  $("table-hint").textContent = (columns.length
    ? `x₁ is ${columns[0]}, x₂ is ${columns[1]}, each scaled to a standard deviation of 2; points beyond 6 are not shown.`
    : "p₁ to p₈ are the first principal components of all columns but the target; the map is the plane of p₁ and p₂.") + left;
}
