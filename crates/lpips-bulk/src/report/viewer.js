
// Viewer of one pair of a list, with its pictures if the page has them.
let listed = [], listedAs = "", place = 0, mode = "side", blinking = null;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const BLINK = 600;

function openViewer(list, at, name) {
  [listed, listedAs] = [list, name];
  if (!$("viewer").open) {
    $("viewer").showModal();
    // The viewer has the focus, not its first button, so that it gets the keys.
    $("viewer").focus();
  }
  show(at);
}

function show(at) {
  place = Math.min(Math.max(at, 0), listed.length - 1);
  const row = listed[place];
  // The selection in the table follows.
  select(row);
  const shown = rows.shown.get(row), has = Boolean(shown?.reference);
  $("viewer-title").replaceChildren(make("bdi", {}, visible(rows.columns[1].names[row]) || "."));
  $("viewer-place").textContent = `${count(place + 1)} of ${count(listed.length)}, ${listedAs}`;
  $("before").disabled = place === 0;
  $("after").disabled = place === listed.length - 1;
  $("looking").hidden = !has;
  for (const id of ["side", "over"]) {
    for (const role of ["reference", "candidate"]) $(`${id}-${role}`).src = has ? shown[role] : "data:,";
  }
  $("side-map").hidden = !shown?.map;
  if (shown?.map) $("map").src = shown.map;
  const error = rows.errors[row];
  const none = !data.pictures || error ? ""
    : "This page has pictures of the worst pairs and of a sample of the others, but not of this pair.";
  $("problem").textContent = error ?? shown?.problem ?? "";
  details(row, shown, has || shown?.problem ? "" : none);
  compare(mode);
}

function details(row, shown, none) {
  const lines = [["Row", count(rows.number(row))]];
  series.forEach((of, at) => { if (!rows.errors[row]) lines.push([of.name, distance(rows.distances[at][row], at)]); });
  for (const { name, folder, names } of rows.columns) lines.push([name, visible(folder + names[row])]);
  if (shown?.size) {
    const [width, height] = shown.size;
    const smaller = $("side-reference");
    lines.push(["Pixels", `${width} \u00d7 ${height}`]);
    smaller.onload = () => {
      const last = $("details").lastElementChild.lastElementChild;
      const now = `${smaller.naturalWidth} \u00d7 ${smaller.naturalHeight}`;
      if (smaller.naturalWidth < width) last.textContent += `, shown in ${now}`;
      fit();
    };
  }
  if (none) lines.push(["Pictures", none]);
  $("details").replaceChildren(...lines.map(([name, text]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, text)))));
}

// Compares side by side, with a slider, or by alternating the two.
function compare(to) {
  mode = to;
  for (const button of document.querySelectorAll("button[data-mode]")) {
    button.setAttribute("aria-pressed", button.dataset.mode === mode);
  }
  $("side").hidden = mode !== "side";
  $("over").hidden = mode === "side";
  $("over").dataset.mode = mode;
  $("slider-label").hidden = $("edge").hidden = mode !== "slide";
  $("blinking").hidden = $("pause").hidden = mode !== "blink";
  run(mode === "blink" && !still.matches && $("viewer").open);
  if (mode === "slide") slide($("slider").value);
  if (mode === "blink") blink("candidate");
  fit();
}

function slide(percent) {
  $("slider").value = percent;
  $("over-candidate").hidden = false;
  $("over-candidate").style.clipPath = `inset(0 0 0 ${$("slider").value}%)`;
  $("edge").style.left = `${$("slider").value}%`;
}

function blink(role) {
  $("over-candidate").style.clipPath = "none";
  $("over-candidate").hidden = role !== "candidate";
  $("blinking").textContent = role === "candidate" ? "Candidate" : "Reference";
}
const swap = () => blink($("over-candidate").hidden ? "candidate" : "reference");
function run(on) {
  clearInterval(blinking);
  blinking = on ? setInterval(swap, BLINK) : null;
  $("pause").textContent = on ? "Stop" : "Resume";
}

// Fits pictures to the window. Pictures in their own size are enlarged by whole factors, so that pixels stay square.
function fit() {
  if (!$("viewer").open || $("looking").hidden) return;
  const style = getComputedStyle($("viewer"));
  const room = $("viewer").clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const tall = Math.max(innerHeight - 275, 180);
  const images = mode === "side" ? ["side-reference", "side-candidate", ...($("side-map").hidden ? [] : ["map"])]
    : ["over-reference", "over-candidate"];
  const { naturalWidth: width, naturalHeight: height } = $(images[0]);
  if (!width) return;
  const across = mode !== "side" || room < 600 ? 1 : images.length;
  const most = Math.min((room - 16 * (across - 1)) / across / width, tall / height, 8) * devicePixelRatio;
  const whole = most >= 1 && rows.shown.get(listed[place]).size[0] === width;
  const scale = (whole ? Math.floor(most) : most) / devicePixelRatio;
  for (const id of images) {
    $(id).style.width = `${width * scale}px`;
    $(id).style.height = `${height * scale}px`;
    $(id).style.imageRendering = whole ? "pixelated" : "auto";
  }
  $("stage").style.width = `${width * scale}px`;
  $("stage").style.height = `${height * scale}px`;
}
addEventListener("resize", fit);

for (const button of document.querySelectorAll("button[data-mode]")) {
  button.onclick = () => compare(button.dataset.mode);
}
$("pause").onclick = () => run(blinking === null);
$("before").onclick = () => show(place - 1);
$("after").onclick = () => show(place + 1);
$("close").onclick = () => $("viewer").close();
$("viewer").onclose = () => run(false);
$("slider").oninput = () => slide($("slider").value);
$("stage").onpointerdown = (event) => {
  if (mode === "blink") return swap();
  $("stage").setPointerCapture(event.pointerId);
  drag(event);
};
$("stage").onpointermove = (event) => { if (mode === "slide" && event.buttons & 1) drag(event); };
function drag(event) {
  const box = $("stage").getBoundingClientRect();
  slide(100 * (event.clientX - box.left) / box.width);
}

if (data.heat) {
  data.heat.colours.forEach((rgb, x) =>
    $("legend").append(svg("rect", { x, y: 0, width: 1.02, height: 1, fill: `rgb(${rgb})` })));
  $("legend-top").textContent = `${brightest} and more`;
}
