// Sorting, filters and theme of a board.

const byId = (id) => document.getElementById(id);
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const divisions = [...document.querySelectorAll(".division")];
const rows = divisions.flatMap((division) => sortable(division.querySelector("table")));
const suites = [...new Set(divisions.map((division) => division.dataset.suite))];
const state = { query: [], suites: new Set(suites), treated: true };

function shows(row) {
  const name = row.dataset.network.toLowerCase();
  if (!state.treated && "treated" in row.dataset) return false;
  return state.query.every((word) => name.includes(word));
}

function filter() {
  for (const row of rows) row.hidden = !shows(row);
  for (const division of divisions) {
    const left = [...division.querySelectorAll("tbody tr")].some((row) => !row.hidden);
    division.hidden = !left || !state.suites.has(division.dataset.suite);
  }
  for (const name of ["trained", "untrained"]) {
    const section = byId(name);
    if (section) section.hidden = [...section.querySelectorAll(".division")].every((d) => d.hidden);
  }
  const left = rows.filter((row) => !row.hidden && !row.closest(".division").hidden).length;
  byId("matches").textContent = left < rows.length ? `${left} of ${rows.length} lines match the filter.` : "";
  byId("nothing").hidden = left > 0;
}

// A table that goes on to the right says so.
function watch(box) {
  const mark = () => box.toggleAttribute("data-more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  box.addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(box);
  mark();
}

function toggle(parent, text, pressed, change) {
  const button = element("button", { type: "button", class: "button", "aria-pressed": String(pressed) }, text);
  button.addEventListener("click", () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(now));
    change(now);
    filter();
  });
  parent.append(button);
}

function themeButton(parent) {
  const root = document.documentElement, themes = ["auto", "light", "dark"];
  const button = element("button", { type: "button", class: "button", id: "theme" });
  const stored = () => {
    try { return localStorage.getItem("equibench-theme"); } catch { return null; }
  };
  const apply = (theme) => {
    root.dataset.theme = theme;
    button.textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[theme];
    button.setAttribute("aria-label", `Theme: ${theme}`);
    try { localStorage.setItem("equibench-theme", theme); } catch { /* a file may have no storage */ }
  };
  button.addEventListener("click", () => apply(themes[(themes.indexOf(root.dataset.theme) + 1) % 3]));
  parent.append(button);
  apply(themes.includes(stored()) ? stored() : "auto");
}

const tools = byId("tools");
const search = element("input", {
  type: "search", id: "query", placeholder: "Filter networks", "aria-label": "Filter networks, several words for all of them",
});
search.addEventListener("input", () => {
  state.query = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  filter();
});
tools.append(search);
const chips = element("fieldset", { class: "chips", "aria-label": "Suites and treatments" });
if (suites.length > 1)
  for (const suite of suites)
    toggle(chips, suite, true, (on) => (on ? state.suites.add(suite) : state.suites.delete(suite)));
if (rows.some((row) => "treated" in row.dataset)) toggle(chips, "treated", true, (on) => (state.treated = on));
tools.append(chips);
themeButton(tools);
tools.hidden = false;
document.querySelectorAll(".division .box").forEach(watch);
