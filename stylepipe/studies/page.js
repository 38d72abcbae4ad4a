"use strict";
for (const slider of document.querySelectorAll("figure input")) {
  const before = slider.parentElement.querySelector(".before");
  const divide = () => { before.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`; };
  slider.addEventListener("input", divide);
  divide(); // browsers restore sliders when a page is loaded again
}
const value = (row, column) => {
  const cell = row.children[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
};
for (const table of document.querySelectorAll("table")) {
  const headings = [...table.querySelectorAll("thead th")];
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        const order = typeof x === "number" ? x - y || 0 : x.localeCompare(y, undefined, { numeric: true });
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
for (const chart of document.querySelectorAll(".chart")) {
  const lines = [...chart.querySelectorAll(".line")];
  [...chart.querySelectorAll("li")].forEach((entry, number) => {
    const bring = () => lines.forEach((line, n) => line.classList.toggle("faint", n !== number));
    const release = () => lines.forEach((line) => line.classList.remove("faint"));
    for (const name of ["mouseenter", "focus"]) entry.addEventListener(name, bring);
    for (const name of ["mouseleave", "blur"]) entry.addEventListener(name, release);
  });
}
