"use strict";
// Clicking the head of a column sorts its table. Without this script, tables keep their order: best first.
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
      const direction = (current ? current === "descending" : !numeric || column === 0) ? 1 : -1;
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
