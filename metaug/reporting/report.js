"use strict";

// Tables sort by a click on a column's header: a button, so the keyboard reaches it.
function sortValue(row, column) {
  const cell = row.cells[column];
  const text = (cell.dataset.value ?? cell.textContent).trim();
  return ["", "nan", "None", "—"].includes(text) ? null : text;
}

const collator = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? collator.compare(a, b) : difference;
}

// A table of several bodies (the scorecard) is sorted body by body, by their first rows.
// The first click puts words in alphabetical order and the largest number on top.
function sortTable(table, header, column) {
  const bodies = [...table.tBodies];
  const items = bodies.length > 1 ? bodies : [...bodies[0].rows];
  const parent = bodies.length > 1 ? table : bodies[0];
  const keyed = items.map((item) => [sortValue(item.rows ? item.rows[0] : item, column), item]);
  const numbers = bodies[0].rows[0]?.cells[column].matches("td[data-value]");
  const before = header.getAttribute("aria-sort") ?? (numbers ? "ascending" : "descending");
  const ascending = before === "descending";
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is missing: last
    return ascending ? compare(a, b) : compare(b, a);
  });
  for (const [, item] of keyed) parent.append(item);
  for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
}

for (const table of document.querySelectorAll("table")) {
  // stub heads come before the leaves of the header: document order is the order of columns
  table.tHead.querySelectorAll("th[scope=col]").forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortTable(table, header, column));
    header.append(button);
  });
  table.classList.add("sortable");
}

// A link into a closed <details> opens it.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let element = target; element; element = element.parentElement) {
    if (element.tagName === "DETAILS") element.open = true;
  }
  target.scrollIntoView();
  target.querySelector("summary")?.focus({ preventScroll: true });
}

window.addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => {
  if (event.target.closest("a")?.hash === location.hash && location.hash) reveal();
});
reveal();
