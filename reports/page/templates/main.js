// Filters, theme, and everything put in its place.

function toggles(parent, label, names, kind) {
  if (names.length < 2) return;
  const group = element("fieldset", { class: "chips", "aria-label": label });
  for (const name of names) {
    const button = element("button", { type: "button", class: "button", "aria-pressed": "true" }, name);
    button.addEventListener("click", () => {
      const chosen = state[kind];
      chosen.has(name) ? chosen.delete(name) : chosen.add(name);
      changed();
    });
    onChange(() => button.setAttribute("aria-pressed", state[kind].has(name)));
    group.append(button);
  }
  parent.append(group);
}

function clearFilters() {
  byId("query").value = state.query = "";
  Object.assign(state, { subsets: new Set(subsets), runs: new Set(data.runs) });
  changed();
  byId("query").focus();
}

function themeButton(parent) {
  const root = document.documentElement, themes = ["auto", "light", "dark"];
  const stored = () => {
    try { return localStorage.getItem("equibench-theme"); } catch { return null; }
  };
  const button = element("button", { type: "button", class: "button", id: "theme" });
  const apply = (theme) => {
    root.dataset.theme = theme;
    button.textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[theme];
    button.setAttribute("aria-label", `Theme: ${theme}`);
    try { localStorage.setItem("equibench-theme", theme); } catch { /* a file may have no storage */ }
    forgetInks();
    Chart.redraw();
  };
  button.addEventListener("click", () =>
    apply(themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length]));
  parent.append(button);
  apply(themes.includes(stored()) ? stored() : "auto");
}

function toolbar() {
  const tools = byId("tools");
  if (data.series.length) {
    const search = element("input", {
      type: "search", id: "query", placeholder: "Filter models", "aria-label": "Filter models",
    });
    search.addEventListener("input", () => {
      state.query = search.value.trim().toLowerCase();
      changed();
    });
    tools.append(search);
    toggles(tools, "Suites", subsets, "subsets");
    toggles(tools, "Runs", data.runs, "runs");
  }
  themeButton(tools);
  tools.hidden = false;
}

// Marks the section that is read, the last one whose top has passed the upper third of the window.
function sections() {
  const links = [...document.querySelectorAll(".bar nav a")];
  const mark = () => {
    const passed = links.filter((link) => {
      const section = byId(link.hash.slice(1));
      return section.getClientRects().length && section.getBoundingClientRect().top < innerHeight / 3;
    });
    for (const link of links) {
      if (link === passed.at(-1)) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", mark, { passive: true });
  addEventListener("resize", mark);
  mark();
}

tables();
dots();
overview();
shifts();
distribution();
scatters();
gallery();
onChange(() => Chart.redraw());
toolbar();
sections();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetInks();
  Chart.redraw();
});
// paper is white, whatever the theme
function printing(now) {
  document.documentElement.toggleAttribute("data-printing", now);
  forgetInks();
  Chart.redraw();
  Chart.drawAll();
}
addEventListener("beforeprint", () => printing(true));
addEventListener("afterprint", () => printing(false));
matchMedia("print").addEventListener("change", ({ matches }) => printing(matches));
