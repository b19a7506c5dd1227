"use strict";
// Clicking the head of a column sorts its table, and rows can be filtered by method and status. Without this script, tables keep their order: best first.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    // This also receives the clicks on the button.
    head.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const current = head.getAttribute("aria-sort");
      const lowFirst = !numeric || head.classList.contains("low-first");
      const direction = (current ? current === "descending" : lowFirst) ? 1 : -1;
      const key = (row) => {
        const text = row.cells[column].textContent.trim();
        return numeric ? parseFloat(text) : text.toLowerCase();
      };
      const rows = [...body.rows].map((row) => ({ row, key: key(row) }));
      const isEmpty = ({ key }) => key === "" || Number.isNaN(key);
      rows.sort((a, b) => {
        // Blanks are last in either direction.
        if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
        return direction * (numeric ? a.key - b.key : a.key.localeCompare(b.key));
      });
      body.append(...rows.map(({ row }) => row));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    });
  });
}

const runs = [...document.querySelectorAll("tr[data-status]")];
const header = document.querySelector("header#top");
if (header && runs.length > 1) {
  const labelled = (text, control) => {
    const label = document.createElement("label");
    label.append(`${text} `, control);
    return label;
  };
  const method = document.createElement("input");
  method.type = "search";
  const status = document.createElement("select");
  const statuses = [...new Set(runs.map((row) => row.dataset.status))].sort();
  status.append(new Option("all", ""), ...statuses.map((name) => new Option(name, name)));
  const count = document.createElement("output");
  const filter = () => {
    const wanted = method.value.trim().toLowerCase();
    const isShown = (row) =>
      row.querySelector("td.name").textContent.toLowerCase().includes(wanted) && ["", row.dataset.status].includes(status.value);
    runs.forEach((row) => { row.hidden = !isShown(row); });
    const shown = runs.filter((row) => !row.hidden).length;
    count.textContent = shown < runs.length ? `${shown} of ${runs.length} runs` : "";
  };
  method.addEventListener("input", filter);
  status.addEventListener("change", filter);
  const filters = document.createElement("div");
  filters.className = "filters";
  filters.append(labelled("method", method), labelled("status", status), count);
  header.append(filters);
  filter();
}
