
// Summary, charts and folders.
const heads = (table, ...texts) =>
  table.append(make("thead", {}, make("tr", {}, ...texts.map((text) => make("th", { scope: "col" }, text)))));

{
  heads($("summary"), "Metric", "Measured", "Mean", "Standard error", "Median", "Minimum", "Maximum", "Failed");
  const body = series.map((of, at) => {
    const cells = [of.mean, of.error, of.median, of.min, of.max].map((value) => distance(value, at));
    const row = [of.name, count(of.count), ...cells, count(data.failed)].map((text) => make("td", {}, text));
    row[2].className = "main";
    return make("tr", {}, ...row);
  });
  $("summary").append(make("tbody", {}, ...body));
  if (data.failed) {
    const button = make("button", { type: "button", onclick: () => jump({ kind: "failed" }) }, "Show them");
    $("failures").append(`${several(data.failed, "pair")} of ${count(data.count)} failed. `, button, ".");
    $("failures").hidden = false;
  }
}

// A chart: an SVG without text, stretched to its place, with the numbers around it.
const chart = (caption, drawing, label, up, along, ...marks) => {
  const plot = make("div", { className: "plot" }, drawing, ...marks);
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", label);
  const side = make("div", { className: "up" }, ...up.map((text) => make("span", {}, text)));
  const under = make("div", { className: "along" }, ...along.map((text) => make("span", {}, text)));
  const body = make("div", { className: "chart" }, side, plot, under);
  return make("figure", {}, body, make("figcaption", {}, ...caption));
};

function histogram(of, at) {
  const { from, step, counts } = of.histogram;
  const most = Math.max(...counts), n = counts.length;
  const drawing = svg("svg", { viewBox: `0 0 ${n} 1` });
  counts.forEach((number, i) => {
    const [low, high] = [from + i * step, from + (i + 1) * step];
    const text = `${round(low)} to ${round(high)}: ${several(number, "pair")}`;
    const height = number && Math.max(number / most, .012);
    const bars = svg("g", {}, svg("title", {}, text),
      svg("rect", { class: "ghost", x: i, y: 0, width: 1, height: 1 }),
      svg("rect", { x: i + .06, y: 1 - height, width: .88, height }));
    if (number) bars.onclick = () => jump({ series: at, low: round(low), high: round(high) });
    drawing.append(bars);
  });
  for (const [value, name] of [[of.mean, "mean"], [of.median, "median"]]) {
    const x = (value - from) / step;
    drawing.append(svg("line", { class: name, x1: x, x2: x, y1: 0, y2: 1, "pointer-events": "none" }));
  }
  const text = `mean ${distance(of.mean, at)} (line), median ${distance(of.median, at)} (dashed)`;
  const label = `Histogram of ${of.name}: ${several(of.count, "pair")} from ${distance(of.min, at)} to `
    + `${distance(of.max, at)}, mean ${distance(of.mean, at)}, median ${distance(of.median, at)}`;
  return chart([make("strong", {}, of.name), `: ${text}`], drawing, label, [count(most), "0"],
    [round(from), round(from + n * step / 2), round(from + n * step)]);
}

function timelineChart(of, at) {
  const { first, step, points } = data.timeline[at];
  const { min, max } = of;
  const low = Math.min(0, min), range = max - low || 1;
  const last = first + points.length * step - 1, n = Math.max(points.length - 1, 1);
  const y = (value) => 1 - (value - low) / range;
  const drawing = svg("svg", { viewBox: `0 0 ${n} 1` });
  drawing.append(svg("line", { class: "grid", x1: 0, x2: n, y1: .5, y2: .5 }),
    svg("line", { class: "grid", x1: 0, x2: n, y1: 0, y2: 0 }));
  // Failed rows leave a gap.
  const pieces = [];
  points.forEach((point, i) => {
    if (!point) return;
    if (i && points[i - 1]) pieces.at(-1).push(i);
    else pieces.push([i]);
  });
  for (const piece of pieces) {
    const ends = piece.length === 1 ? [[piece[0] - .3, piece[0]], [piece[0] + .3, piece[0]]] : piece.map((i) => [i, i]);
    const line = (value) => ends.map(([x, i]) => `${x},${y(points[i][value])}`);
    const band = [...line(0), ...line(2).reverse()].join(" ");
    if (step > 1) drawing.append(svg("polygon", { class: "band", points: band }));
    drawing.append(svg("polyline", { points: line(1).join(" ") }));
  }
  const worst = at === data.by ? data.shown.filter((shown) => shown.worst).slice(0, 8) : [];
  const marks = worst.map(({ row }, i) => {
    const value = distance(rows.distances[at][row], at);
    const mark = make("button", { type: "button", className: "mark", title: `Row ${rows.number(row)}: ${value}` });
    mark.setAttribute("aria-label", `Row ${rows.number(row)}, distance ${value}: open`);
    mark.style.left = `${100 * Math.min((rows.number(row) - first) / step, n) / n}%`;
    mark.style.top = `${100 * y(rows.distances[at][row])}%`;
    mark.onclick = () => openViewer(worst.map((shown) => shown.row), i, `the worst by ${of.name}`);
    return mark;
  });
  const here = make("span");
  const spread = step > 1
    ? `; each point is the mean of ${step} rows, the band goes from the smallest to the largest` : "";
  const marked = marks.length ? `; the worst ${marks.length > 1 ? marks.length : ""} marked` : "";
  const caption = [make("strong", {}, of.name), `: distance over the row's number${spread}${marked}. `, here];
  const figure = chart(caption, drawing,
    `${of.name} over ${several(data.count, "row")}: from ${distance(min, at)} to ${distance(max, at)}`,
    [distance(max, at), distance(low + range / 2, at), distance(low, at)],
    [count(first), count(Math.round((first + last) / 2)), count(last)], ...marks);
  const plot = figure.querySelector(".plot");
  plot.onpointermove = (event) => {
    const box = plot.getBoundingClientRect();
    const i = Math.min(Math.max(Math.round((event.clientX - box.left) / box.width * n), 0), points.length - 1);
    const value = points[i] ? distance(points[i][1], at) : "none";
    const to = step > 1 ? ` to ${count(first + (i + 1) * step - 1)}` : "";
    here.textContent = `Row ${count(first + i * step)}${to}: ${value}.`;
  };
  plot.onpointerleave = () => { here.textContent = ""; };
  return figure;
}

series.forEach((of, at) => {
  if (of.count) $("histograms").append(histogram(of, at));
  else $("histograms").append(make("p", { className: "quiet" }, `${of.name}: no distances.`));
  if (data.timeline?.[at] && of.count) {
    $("timeline").append(timelineChart(of, at));
    $("timeline-part").hidden = false;
  }
});

if (data.folders.length) {
  const { folder } = rows.columns[0];
  const short = (name) => visible(`${name}/`.startsWith(folder) ? name.slice(folder.length) || folder : name) || ".";
  const some = data.folders.length < data.folder_count ? `; the ${data.folders.length} with the largest are listed` : "";
  $("folders-about").textContent = `Means of ${count(data.folder_count)} folders of references${some}. `
    + "A name filters the table by its folder.";
  heads($("folders"), "Folder", "Pairs", ...series.map((of) => of.name), ...(data.failed ? ["Failed"] : []));
  const body = data.folders.map(({ name, count: number, failed, means }) => {
    const own = make("bdi", {}, short(name));
    const folder = name ? make("button", { type: "button", onclick: () => jump({ text: `${name}/` }) }, own) : own;
    const cells = [folder, count(number), ...means.map(distance), ...(data.failed ? [count(failed)] : [])];
    return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
  });
  $("folders").append(make("tbody", {}, ...body));
  $("folders-part").hidden = false;
}

// Pairs with pictures.
const brightest = data.heat && Number(data.heat.top.toPrecision(2));
if (data.pictures && data.shown.length) {
  const group = (title, name, shown) => {
    if (!shown.length) return;
    const list = shown.map((one) => one.row);
    const cards = shown.map(({ row, candidate }, at) => {
      const picture = candidate ? make("img", { src: candidate, alt: "" })
        : make("span", { className: "none" }, "not there");
      const traits = { type: "button", className: "card", title: visible(rows.columns[1].names[row]) };
      return make("button", { ...traits, onclick: () => openViewer(list, at, name) },
        picture, make("span", { className: "distance" }, distance(rows.distances[data.by][row], data.by)),
        make("span", { className: "name" }, make("bdi", {}, called(row))));
    });
    $("gallery").append(make("h3", {}, title), make("div", { className: "cards" }, ...cards));
  };
  const worst = data.shown.filter((shown) => shown.worst), sample = data.shown.filter((shown) => !shown.worst);
  group(`Worst ${worst.length} by ${series[data.by].name}`, `the worst by ${series[data.by].name}`, worst);
  group(`${sample.length} of the others, from far to near`, "some of the others", sample);
  const scale = data.heat && ` Heat maps are by ${data.heat.of}, all on one scale: its brightest colour begins at `
    + `${brightest}, above 99.5 % of all their pixels.`;
  $("gallery-about").textContent = `Candidates are shown; open one to compare it with its reference.${scale ?? ""}`;
  $("gallery-part").hidden = false;
}
