"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const series = data.series;

// Elements, with texts as texts: nothing that is named ever becomes a tag.
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

// What can't be seen is shown by a sign, so that a name stays on its line and reads as it is.
const visible = (text) => text
  .replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
  .replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => `\u27e8${c.charCodeAt(0).toString(16).padStart(4, "0")}\u27e9`);
const count = (n) => n.toLocaleString("en");
const several = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

// As many decimals as the largest distance of a series makes sensible: 5 below 1.
const decimals = series.map(({ min = 0, max = 0 }) => {
  const largest = Math.max(Math.abs(min), Math.abs(max)) || 1;
  return Math.min(Math.max(4 - Math.floor(Math.log10(largest)), 0), 12);
});
const distance = (value, at) => value === null || value === undefined ? "\u2013" : value.toFixed(decimals[at]);
// Without digits that a sum or a step has left behind.
const round = (value) => String(Number(value.toPrecision(7)));

// The rows: of each name only what differs from the one before is written.
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
    // By role: the folder that all are in, and the rest of each name.
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

// What the page is about.
{
  const parts = [data.about];
  const [reference, candidate] = rows.columns;
  if (reference.folder && candidate.folder) {
    parts.push(`References are in ${visible(reference.folder)}, candidates in ${visible(candidate.folder)}`);
  }
  $("about").textContent = parts.filter(Boolean).map((part) => part.endsWith(".") ? part : `${part}.`).join(" ");
}

// Light or dark: as the system has it, until it is chosen here.
{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const tell = () => { $("theme").textContent = now() === "dark" ? "Light" : "Dark"; };
  // A browser may keep nothing for a page that is a file.
  try {
    const kept = localStorage.getItem("lpips-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* then it is as the system has it */ }
  $("theme").onclick = () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    try { localStorage.setItem("lpips-theme", root.dataset.theme); } catch { /* for this time only */ }
    tell();
  };
  dark.addEventListener("change", tell);
  tell();
}
