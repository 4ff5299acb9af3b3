// What all parts of the page share: the data, what is shown of it, numbers as text, elements, inks.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// NaN and infinities travel as strings
const num = (value) => (typeof value === "string" ? Number(value) : value);
for (const series of data.series) {
  for (const stats of Object.values(series.stats))
    for (const name of ["mean", "median", "worst", "low", "high"]) stats[name] = num(stats[name]);
  for (const [key, values] of Object.entries(series.points.values))
    series.points.values[key] = values.map(num);
  for (const map of Object.values(series.maps))
    for (const name of ["mean", "worst"]) map[name] = map[name].map(num);
  for (const axis of Object.values(series.octaves))
    for (const name of ["mean", "worst"]) axis[name] = axis[name].map(num);
  for (const name of ["error", "share"]) series.outcome[name] = num(series.outcome[name]);
  for (const name in series.quality) series.quality[name] = num(series.quality[name]);
}

const several = data.runs.length > 1;
const subsets = [...new Set(data.series.map((s) => s.subset))];
const names = new Map(data.series.map((s) => [`${s.run}\n${s.model}`, s.network]));
// what a model is called where it is shown; its whole spec stands in tooltips and the provenance
const nameOf = ({ run, model }) => names.get(`${run}\n${model}`) ?? model;
const titleOf = (shown) => (several ? `${nameOf(shown)} (${shown.run})` : nameOf(shown));
const metricOf = (key) => data.metrics.find((m) => m.key === key);
const heading = (metric) => `${metric.title}${metric.unit ? ` [${metric.unit}]` : ""}`;
// where a control or a heading nearby has the title in full
const briefly = (metric) => heading({ ...metric, title: metric.short });

// ---- what is shown
const state = { query: "", subsets: new Set(subsets), runs: new Set(data.runs) };
const listeners = [];
const onChange = (listener) => listeners.push(listener);
const changed = () => listeners.forEach((listener) => listener());
const matches = (model) => model.toLowerCase().includes(state.query);
const shows = ({ run, subset, model }) =>
  (run === undefined || state.runs.has(run)) &&
  (subset === undefined || state.subsets.has(subset)) &&
  (model === undefined || matches(model) || matches(nameOf({ run, model })));
// in the order of the models, the runs of each side by side
const order = [...new Set(data.series.map((s) => s.model))];
const seriesOf = (subset) =>
  data.series
    .filter((s) => s.subset === subset && shows(s))
    .sort((a, b) => order.indexOf(a.model) - order.indexOf(b.model));

const holds = (subset) => data.series.some((s) => s.subset === subset && shows(s));

// ---- numbers as the tables write them: the format is Python's
function text(value, format = ".1e") {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const digits = Number(format.match(/\d+/)?.[0] ?? 3);
  if (format.endsWith("e")) return value.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2");
  if (format.endsWith("f")) return value.toFixed(digits);
  return String(Number(value.toPrecision(digits)));
}
const signed = (value) => String(value).replace("-", "−");
const shiftText = (...pixels) => `(${pixels.map(signed).join(", ")})`;

// ---- elements: text is only ever set as text
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== false) made.setAttribute(name, value === true ? "" : value);
  made.append(...children);
  return made;
}

function choice(parent, label, options, pick) {
  const select = element("select");
  for (const [value, name] of options) select.append(element("option", { value }, name));
  select.addEventListener("change", () => pick(select.value));
  parent.append(element("label", {}, label, select));
  return select;
}

// ---- inks: the style sheet's colours, resolved for the theme
const inks = {};
const probe = element("span", { hidden: true });
document.body.append(probe);
function ink(name) {
  if (!(name in inks)) {
    probe.style.color = `var(--${name})`;
    inks[name] = getComputedStyle(probe).color;
  }
  return inks[name];
}
const forgetInks = () => Object.keys(inks).forEach((name) => delete inks[name]);

// a colour for each network (of each run), told apart by every kind of colour vision
const HUES = 8;
const networks = [...new Set(data.series.map(titleOf))];
const hue = (series) => ink(`other-${1 + (networks.indexOf(titleOf(series)) % HUES)}`);

// viridis: even in lightness, told apart by every kind of colour vision
const VIRIDIS = [
  [68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
  [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37],
];
function viridis(share) {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((c, i) => Math.round(c + (at - low) * (VIRIDIS[low + 1][i] - c)));
}
const rgb = (colour) => `rgb(${colour.join(",")})`;

// ---- a logarithmic scale in [0, 1]; zeros stand below it, what is not finite above
class LogScale {
  constructor(values, zero) {
    this.zero = zero;
    const positive = values.filter((v) => Number.isFinite(v) && v >= zero);
    const low = positive.reduce((a, b) => Math.min(a, b), Infinity);
    const high = positive.reduce((a, b) => Math.max(a, b), 0);
    this.low = positive.length ? Math.floor(Math.log10(low)) : -16;
    this.high = positive.length ? Math.max(Math.ceil(Math.log10(high)), this.low + 1) : 0;
    this.hasZero = values.some((v) => v < zero);
    this.hasInfinite = values.some((v) => !Number.isFinite(v));
    this.start = this.hasZero ? 0.1 : 0;
    this.end = this.hasInfinite ? 0.92 : 1;
  }
  share(value) {
    return (Math.log10(value) - this.low) / (this.high - this.low);
  }
  place(value) {
    if (!Number.isFinite(value)) return 1;
    if (value < this.zero) return 0;
    return this.start + (this.end - this.start) * Math.min(Math.max(this.share(value), 0), 1);
  }
  // at most `most` of them, each with a place and a label
  ticks(most) {
    const step = Math.max(1, Math.ceil((this.high - this.low) / Math.max(1, most)));
    const found = this.hasZero ? [[0, "0"]] : [];
    for (let power = this.high; power >= this.low; power -= step)
      found.push([this.place(10 ** power), power]);
    if (this.hasInfinite) found.push([1, "∞"]);
    return found;
  }
  colour(value) {
    if (!Number.isFinite(value)) return ink("worst");
    return value < this.zero ? ink("none") : rgb(viridis(this.share(value)));
  }
}
