// Tables that sort by a click on a heading, and show what the filters leave.

function sortable(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  // the columns of a heading in two rows, in the order of the cells below
  const leaves = [];
  for (const row of table.tHead.rows)
    for (const cell of row.cells) if (cell.hasAttribute("data-sort")) leaves.push(cell);
  const spanning = leaves.filter((cell) => cell.rowSpan > 1);
  const order = spanning.length ? [...spanning, ...leaves.filter((c) => c.rowSpan < 2)] : leaves;
  order.forEach((cell, column) => {
    const button = element("button", { type: "button" }, cell.textContent);
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const now = cell.getAttribute("aria-sort");
      const first = cell.dataset.sort || "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const direction = now === first ? other : first;
      order.forEach((each) => each.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", direction);
      body.append(...sorted(rows, column, direction === "ascending" ? 1 : -1));
    });
  });
  return rows;
}

// numbers by value, what has none last
function sorted(rows, column, sign) {
  const keyed = rows.map((row) => {
    const cell = row.cells[column], { value } = cell.dataset;
    if (value === undefined) return [row, null, cell.textContent];
    const parsed = value === "inf" ? Infinity : value === "-inf" ? -Infinity : Number(value);
    return [row, Number.isNaN(parsed) ? null : parsed, cell.textContent];
  });
  const numeric = keyed.some(([, value]) => value !== null);
  keyed.sort(([, a, s], [, b, t]) => {
    if (!numeric) return sign * s.localeCompare(t, undefined, { numeric: true });
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (a < b ? -1 : a > b ? 1 : 0);
  });
  return keyed.map(([row]) => row);
}

function tables() {
  const sheet = byId("sheet"), board = byId("board");
  if (!sheet) return;
  const rows = sortable(sheet), standings = sortable(board);
  const marked = [...rows, ...standings, ...document.querySelectorAll(".sentences li")];
  onChange(() => {
    for (const each of marked) each.hidden = !shows(each.dataset);
    const left = rows.filter((row) => !row.hidden).length;
    byId("matches").textContent =
      left < rows.length ? `${left} of ${rows.length} lines match the filter.` : "";
  });
}
