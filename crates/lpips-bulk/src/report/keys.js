
// Keyboard.
const KEYS = [
  ["\u2193 or j, \u2191 or k", "next or previous row of the table"],
  ["Page Up, Page Down, Home, End", "move far in the table"],
  ["Enter", "open the pair"],
  ["/", "filter the table; Enter returns to it"],
  ["\u2190 or k, \u2192 or j", "in the viewer: previous and next pair"],
  ["1, 2, 3", "in the viewer: side by side, slider, blink"],
  ["Space", "in the viewer: swap reference and candidate while blinking"],
  ["Escape", "close; in the filter: clear it"],
  ["?", "these keys"],
];
$("keys-list").append(make("tbody", {}, ...KEYS.map(([keys, what]) => {
  const parts = keys.split(/(, | or )/).map((part, i) => i % 2 ? part : make("kbd", {}, part));
  return make("tr", {}, make("td", {}, ...parts), make("td", {}, what));
})));
$("help").onclick = () => $("keys").showModal();
$("keys-close").onclick = () => $("keys").close();

function inTable(key) {
  const page = Math.max(Math.floor(($("scroller").clientHeight - $("heads").offsetHeight) / height) - 1, 1);
  const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page };
  if (key in steps) step(steps[key]);
  else if (key === "Home") move(0);
  else if (key === "End") move(view.length - 1);
  else if (key === "Enter") openSelected();
  else return false;
  return true;
}
function inViewer(key, target) {
  const arrows = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 };
  // The slider handles its own arrow keys.
  if (key.startsWith("Arrow") && target === $("slider")) return false;
  if (key in arrows) show(place + arrows[key]);
  else if ("123".includes(key)) compare(["side", "slide", "blink"][key - 1]);
  else if (key === " " && mode === "blink" && target.tagName !== "BUTTON") swap();
  else return false;
  return true;
}
addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || $("keys").open) return;
  const typing = target.matches("input:not([type=range]), select");
  let taken = false;
  if ($("viewer").open) {
    taken = inViewer(key, target);
  } else if (typing) {
    taken = key === "Escape" || (key === "Enter" && target.tagName === "INPUT");
    if (key === "Escape") narrow({});
    if (taken) $("grid").focus();
  } else if (key === "/") {
    $("filter").focus();
    $("filter").select();
    taken = true;
  } else if (target === $("grid") || key === "j" || key === "k") {
    if (target !== $("grid")) $("grid").focus();
    taken = inTable(key);
  }
  if (!taken && key === "?" && !typing) {
    $("keys").showModal();
    taken = true;
  }
  if (taken) event.preventDefault();
});
