
// The table of all rows, of which only the visible ones are in the document.
const SPARE = 12, PRINTED = 200;
const height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
const columns = [
  { name: "#", key: (at) => rows.number(at), kind: "number", cell: (at) => count(rows.number(at)) },
  ...(same ? [{ ...rows.columns[0], name: "Name" }] : rows.columns).map(({ name, names }) => ({
    name, names, kind: "name", left: true, cell: (at) => path(names[at]),
  })),
  ...series.map(({ name }, at) => ({
    name, key: (row) => rows.distances[at][row], kind: "value", series: at,
    cell: (row) => distance(rows.distances[at][row], at),
  })),
];
let sorted = columns.findIndex((column) => column.series === data.by), sign = -1;
let order = [], view = [], selected = -1, drawn = "";
if (sorted < 0) [sorted, sign] = [0, 1];

function path(name) {
  const cut = name.lastIndexOf("/") + 1;
  const parts = [["folder", name.slice(0, cut)], ["file", name.slice(cut)]].filter(([, text]) => text);
  const spans = parts.map(([className, text]) => make("span", { className }, visible(text)));
  return make("bdi", { className: "path", title: visible(name) }, ...spans);
}

// Sort keys of a column. Rows without a number come last; the order of equal rows is stable.
const keys = new Map();
function keysOf(column) {
  if (keys.has(column)) return keys.get(column);
  const key = new Float64Array(rows.length);
  if (column.names) {
    const { names } = column;
    const order = (a, b) => names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : 0;
    const ranked = Uint32Array.from(names, (_, at) => at).sort(order);
    let rank = 0;
    ranked.forEach((at, i) => {
      if (i && names[ranked[i - 1]] !== names[at]) rank++;
      key[at] = rank;
    });
  } else {
    for (let at = 0; at < rows.length; at++) key[at] = column.key(at) ?? NaN;
  }
  keys.set(column, key);
  return key;
}
function sort() {
  const key = keysOf(columns[sorted]);
  order = Uint32Array.from({ length: rows.length }, (_, at) => at).sort((a, b) => {
    const [x, y] = [key[a], key[b]];
    if (x !== x || y !== y) return (x !== x) - (y !== y) || a - b;
    return sign * (x - y) || a - b;
  });
  [...$("heads").children].forEach((head, at) => {
    if (at === sorted) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}

// Lower-case texts for the filter, created on first use.
let texts = null;
function text(at) {
  texts ??= Array.from({ length: rows.length }, (_, at) =>
    [...rows.columns.map(({ folder, names }) => folder + names[at]), rows.errors[at] ?? ""].join("\n").toLowerCase());
  return texts[at];
}
function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [low, high] = ["filter-low", "filter-high"].map((id) => $(id).value === "" ? null : Number($(id).value));
  const values = rows.distances[Number($("filter-series").value)] ?? [], kind = $("filter-kind").value;
  const passes = (at) =>
    (kind === "all" || (kind === "failed" ? at in rows.errors : Boolean(rows.shown.get(at)?.reference)))
    && (low === null || (values[at] ?? -Infinity) >= low)
    && (high === null || (values[at] ?? Infinity) <= high)
    && words.every((word) => text(at).includes(word));
  view = order.filter(passes);
  const all = view.length === rows.length;
  $("count").textContent = `${all ? "" : `${count(view.length)} of `}${several(rows.length, "pair")}`;
  $("clear").disabled = !words.length && low === null && high === null && kind === "all";
  $("grid").setAttribute("aria-rowcount", view.length + 1);
  if (!view.includes(selected)) selected = -1;
  drawn = "";
}

function line(at) {
  const row = view[at], error = rows.errors[row];
  const cells = columns.map((column, i) => {
    if (error !== undefined && column.series > 0) return null;
    const cell = make("td", { className: column.left || (error !== undefined && column.series === 0) ? "left" : "" });
    if (error !== undefined && column.series === 0) {
      cell.classList.add("failed");
      cell.colSpan = series.length;
      cell.title = visible(error);
      cell.append(visible(error));
    } else {
      cell.append(column.cell(row));
      if (i === 0 && rows.shown.get(row)?.reference) {
        cell.prepend(make("span", { className: "seen", title: "with pictures" }, "\u25a3 "));
      }
    }
    return cell;
  });
  const element = make("tr", { id: `row-${row}` }, ...cells.filter(Boolean));
  element.setAttribute("aria-rowindex", at + 2);
  element.setAttribute("aria-selected", row === selected);
  element.dataset.row = row;
  return element;
}
function gap(count) {
  const element = make("tr", { className: "gap", ariaHidden: "true" }, make("td", { colSpan: columns.length }));
  element.style.height = `${count * height}px`;
  return element;
}
// Draws the visible rows and some beyond.
function draw(first, last) {
  if (first === undefined) {
    const top = $("scroller").scrollTop;
    first = Math.max(Math.floor(top / height) - SPARE, 0);
    last = Math.ceil((top + $("scroller").clientHeight) / height) + SPARE;
  }
  last = Math.min(last, view.length);
  first = Math.min(first, last);
  const now = `${first} ${last} ${selected}`;
  if (now === drawn) return;
  drawn = now;
  const lines = Array.from({ length: last - first }, (_, i) => line(first + i));
  if (!view.length) {
    const text = rows.length ? "No pair matches." : "There are no pairs.";
    lines.push(make("tr", {}, make("td", { colSpan: columns.length, className: "nothing" }, text)));
  }
  $("lines").replaceChildren(gap(first), ...lines, gap(view.length - last));
  if (selected >= 0 && $(`row-${selected}`)) $("grid").setAttribute("aria-activedescendant", `row-${selected}`);
  else $("grid").removeAttribute("aria-activedescendant");
}

function refresh(resort = false) {
  if (resort) sort();
  filter();
  $("scroller").scrollTop = 0;
  draw();
}

// Sets all filters; those not given are cleared.
function narrow({ text = "", series = data.by, low = "", high = "", kind = "all" }) {
  [$("filter").value, $("filter-series").value, $("filter-low").value, $("filter-high").value, $("filter-kind").value]
    = [text, series, low, high, kind];
  refresh();
}
function jump(to) {
  narrow(to);
  $("rows-title").scrollIntoView();
}

// Moves the selection to a place in the view.
function move(to) {
  if (!view.length) return;
  const at = Math.min(Math.max(to, 0), view.length - 1), scroller = $("scroller");
  selected = view[at];
  const room = scroller.clientHeight - $("heads").offsetHeight;
  if (at * height < scroller.scrollTop) scroller.scrollTop = at * height;
  if ((at + 1) * height > scroller.scrollTop + room) scroller.scrollTop = (at + 1) * height - room;
  draw();
}
const at = () => view.indexOf(selected);
function step(by) {
  move(at() < 0 ? (by > 0 ? 0 : view.length - 1) : at() + by);
}
function select(row) {
  if (view.includes(row)) move(view.indexOf(row));
}
function openSelected() {
  if (at() >= 0) openViewer(view, at(), "in the table's order");
}

columns.forEach((column, at) => {
  $("columns").append(make("col", { className: column.kind }));
  const button = make("button", { type: "button" }, column.name);
  button.onclick = () => {
    // The first click sorts numbers in descending order, names in ascending order.
    sign = sorted === at ? -sign : column.series === undefined ? 1 : -1;
    sorted = at;
    refresh(true);
  };
  $("heads").append(make("th", { scope: "col", className: column.left ? "left" : "" }, button));
});
$("grid").style.setProperty("--names", same ? 1 : rows.columns.length);
$("grid").style.setProperty("--values", series.length);
$("filter-series").append(...series.map(({ name }, at) => make("option", { value: at }, name)));
$("filter-series").value = data.by;
$("filter-series").hidden = series.length < 2;
$("scroller").onscroll = () => requestAnimationFrame(() => draw());
addEventListener("resize", () => draw());
$("filters").oninput = () => refresh();
$("filters").onreset = (event) => {
  event.preventDefault();
  narrow({});
};
$("lines").onclick = (event) => {
  const row = event.target.closest("tr")?.dataset.row;
  if (row === undefined || String(getSelection())) return;
  selected = Number(row);
  draw();
  openSelected();
};
if (rows.length < data.count) {
  $("rows-about").textContent = `The table lists ${count(rows.length)} of ${several(data.count, "pair")}: `
    + "failed ones first, then the worst. The numbers and charts above cover all.";
  $("rows-about").hidden = false;
}
// A printed page has no scrolling.
addEventListener("beforeprint", () => {
  $("printed").textContent = view.length > PRINTED ? `The first ${PRINTED} of ${several(view.length, "pair")}.` : "";
  drawn = "";
  draw(0, PRINTED);
  $("lines").lastElementChild.remove();
});
addEventListener("afterprint", () => {
  drawn = "";
  draw();
});
refresh(true);
