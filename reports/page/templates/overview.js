// The headline, the counts and the cards speak of what the filters leave.

const counted = (shown, all, one, many) =>
  `${shown === all ? all : `${shown} of ${all}`} ${all === 1 ? one : many}`;

const everything = { networks: networksOf(data.series), suites: suitesOf(data.series) };

function networksOf(series) {
  return new Set(series.map(titleOf)).size;
}
function suitesOf(series) {
  return new Set(series.map((s) => s.suite)).size;
}

function imagesSaid(series) {
  const sum = (wanted) =>
    series.filter((s) => s.circular === wanted).reduce((total, s) => total + s.points.total, 0);
  const [shifted, transformed] = [sum(true), sum(false)].map((n) => n && n.toLocaleString("en"));
  if (!transformed) return `${shifted} shifted images`;
  if (!shifted) return `${transformed} transformed images`;
  return `${shifted} shifted and ${transformed} otherwise transformed images`;
}

function headline() {
  const shown = data.series.filter(shows), networks = networksOf(shown);
  const title = document.querySelector("h1");
  if (!byId("count-networks")) return;
  title.textContent = networks === 1 ? title.dataset.one : title.dataset.many;
  byId("count-networks").textContent = counted(networks, everything.networks, "network", "networks");
  byId("count-images").textContent = imagesSaid(shown);
  byId("count-suites").textContent = counted(suitesOf(shown), everything.suites, "data set", "data sets");
  const note = byId("nothing");
  note.hidden = shown.length > 0;
  document.documentElement.toggleAttribute("data-nothing", !shown.length);
  if (shown.length) return;
  const clear = element("button", { type: "button", class: "button" }, "Clear the filter");
  clear.addEventListener("click", clearFilters);
  note.replaceChildren(`${whyNothing()} `, clear);
}

function whyNothing() {
  if (!state.subsets.size) return "No suite is chosen.";
  if (!state.runs.size) return "No run is chosen.";
  return `No network matches “${state.query}” on what is chosen.`;
}

// the two ends of a ranking, in the words of the server's cards
function ends(subset) {
  const shown = seriesOf(subset), errors = shown.map((s) => s.outcome.error);
  const [low, high] = [Math.min(...errors), Math.max(...errors)];
  const at = (error) => shown.filter((s) => s.outcome.error === error);
  const [best, worst] = [at(low), at(high)];
  if (low === high) return [[shown.length > 1 ? "All alike" : "The network", "", best, ""]];
  const times = low > 0 && high < Infinity ? worst[0].outcome.share / best[0].outcome.share : 0;
  return [
    ["Most robust", "best", best, ""],
    ["Least robust", "least", worst, times ? `, ${text(times, ".3g")} times as much` : ""],
  ];
}

const NAMED = 3;
function end([term, look, series, more]) {
  const named = series.slice(0, NAMED).map((s) => element("b", {}, titleOf(s)));
  const rest = series.length > NAMED ? [`${series.length - NAMED} more`] : [];
  const list = [...named, ...rest];
  const words = list.flatMap((each, i) => (i ? [i === list.length - 1 ? " and " : ", ", each] : [each]));
  return [
    element("dt", { class: look }, term),
    element("dd", {}, ...words, `: output ${series[0].outcome.says}${more}.`),
  ];
}

function overview() {
  for (const card of document.querySelectorAll(".card")) {
    const { subset } = card.dataset, list = card.querySelector("dl"), whole = [...list.childNodes];
    const all = data.series.filter((s) => s.subset === subset).length;
    onChange(() => {
      card.hidden = !holds(subset);
      if (card.hidden) return;
      const now = seriesOf(subset).length === all ? whole : ends(subset).flatMap(end);
      list.replaceChildren(...now);
    });
  }
  onChange(headline);
}
