"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const series = data.series;

// Creates elements; strings become text, never markup.
const make = (name, traits = {}, ...children) => {
  const element = Object.assign(document.createElement(name), traits);
  element.append(...children);
  return element;
};
const svg = (name, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

// Replaces invisible characters by visible signs, so that a name stays on one line and in its order.
const visible = (text) => text
  .replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
  .replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => `\u27e8${c.charCodeAt(0).toString(16).padStart(4, "0")}\u27e9`);
const count = (n) => n.toLocaleString("en");
const several = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

// Decimals by the largest distance of a series: 5 below 1.
const decimals = series.map(({ min = 0, max = 0 }) => {
  const largest = Math.max(Math.abs(min), Math.abs(max)) || 1;
  return Math.min(Math.max(4 - Math.floor(Math.log10(largest)), 0), 12);
});
const distance = (value, at) => value === null || value === undefined ? "\u2013" : value.toFixed(decimals[at]);
// Rounds off floating point errors.
const round = (value) => String(Number(value.toPrecision(7)));

// Decodes the rows: of each name only the part that differs from the one before is stored.
const names = (column, references) => {
  let before = "";
  return column.names.map((coded, at) => {
    before = coded === 0 ? references[at] : before.slice(0, coded.charCodeAt(0) - 93) + coded.slice(1);
    return before;
  });
};
const rows = (() => {
  const { index, reference, candidate, second, distances, errors } = data.rows;
  const references = names(reference);
  return {
    length: references.length,
    number: (at) => index ? index[at] : at,
    // By role: the common folder, and the rest of each name.
    columns: [
      { name: "Reference", folder: reference.folder, names: references },
      { name: "Candidate", folder: candidate.folder, names: names(candidate, references) },
      ...(second ? [{ name: "Second", folder: second.folder, names: names(second, references) }] : []),
    ],
    distances,
    errors,
    shown: new Map(data.shown.map((shown) => [shown.row, shown])),
  };
})();
const same = data.rows.candidate.names.every((name) => name === 0) && rows.columns.length === 2;
const called = (at) => visible(rows.columns[1].names[at].split("/").pop());

// Origin of the results.
{
  const parts = [data.about];
  const [reference, candidate] = rows.columns;
  if (reference.folder && candidate.folder) {
    parts.push(`References are in ${visible(reference.folder)}, candidates in ${visible(candidate.folder)}`);
  }
  $("about").textContent = parts.filter(Boolean).map((part) => part.endsWith(".") ? part : `${part}.`).join(" ");
}

// Light or dark theme: the system's, until one is chosen.
{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const label = () => { $("theme").textContent = now() === "dark" ? "Light" : "Dark"; };
  // A browser may have no storage for a local file.
  try {
    const stored = localStorage.getItem("lpips-theme");
    if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  } catch { /* the system's theme stays */ }
  $("theme").onclick = () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    try { localStorage.setItem("lpips-theme", root.dataset.theme); } catch { /* not remembered */ }
    label();
  };
  dark.addEventListener("change", label);
  label();
}
