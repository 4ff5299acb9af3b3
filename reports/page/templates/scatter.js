// Models as points: worst change of PSNR against PSNR, and one suite's error against another's.

const SHADES = ["other-1", "other-2", "other-3", "other-4"];
const shade = (run) => ink(SHADES[data.runs.indexOf(run) % SHADES.length]);

function runKey() {
  const keys = data.runs.map((run, i) => {
    const dot = element("i", { style: `background: var(--${SHADES[i % SHADES.length]})` });
    return element("span", { class: "key" }, dot, run);
  });
  return element("p", { class: "muted" }, ...keys);
}

class LinearScale {
  constructor(values) {
    const finite = values.filter(Number.isFinite);
    const low = Math.min(...finite), high = Math.max(...finite);
    const pad = (high - low) * 0.12 || Math.abs(high) * 0.05 || 1;
    [this.low, this.high] = finite.length ? [low - pad, high + pad] : [0, 1];
  }
  place(value) {
    return (value - this.low) / (this.high - this.low);
  }
  ticks(most) {
    const raw = (this.high - this.low) / Math.max(1, most), size = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= raw);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const found = [];
    for (let value = Math.ceil(this.low / step) * step; value <= this.high; value += step)
      found.push([this.place(value), signed(value.toFixed(digits))]);
    return found;
  }
}

// points: { x, y, name, run, lines }; front: which corner is best, [0, 1] for left and top
function scatterLayout(find) {
  return (context, width) => {
    const { points, xScale, yScale, xTitle, yTitle, front, diagonal } = find();
    if (!points.length) return "No network of those shown has both numbers.";
    const height = Math.min(400, Math.max(280, width * 0.72));
    const left = 68, right = 24, top = 14, bottom = height - 46;
    const wide = width - left - right, tall = bottom - top;
    const paint = () => {
      horizontalAxis(context, xScale, left, wide, top, bottom);
      for (const [share, label] of yScale.ticks(6)) {
        const y = Math.round(bottom - share * tall) + 0.5;
        context.strokeStyle = ink("line");
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(left, y);
        context.lineTo(left + wide, y);
        context.stroke();
        if (typeof label === "string") caption(context, label, left - 8, y, "right");
        else tickLabel(context, label, left - 20, y);
      }
      caption(context, xTitle, left + wide / 2, bottom + 34, "center");
      context.save();
      context.translate(10, top + tall / 2);
      context.rotate(-Math.PI / 2);
      caption(context, yTitle, 0, 0, "center");
      context.restore();
      const placed = points.map((p) => ({
        ...p,
        at: [left + xScale.place(p.x) * wide, bottom - yScale.place(p.y) * tall],
      }));
      context.strokeStyle = ink("none");
      context.lineWidth = 1.5;
      if (diagonal && diagonal.length) {
        context.setLineDash([4, 4]);
        context.beginPath();
        for (const v of diagonal) context.lineTo(left + xScale.place(v) * wide, bottom - yScale.place(v) * tall);
        context.stroke();
        context.setLineDash([]);
      }
      if (front) {
        const best = placed.filter((p) => !placed.some((q) => dominates(q, p)));
        best.sort((a, b) => a.at[0] - b.at[0] || a.at[1] - b.at[1]);
        context.beginPath();
        // the border of what they beat, to the edges: one alone has one, too
        best.forEach((p, i) => {
          context.lineTo(p.at[0], i ? best[i - 1].at[1] : bottom);
          context.lineTo(...p.at);
        });
        context.lineTo(left + wide, best.at(-1).at[1]);
        context.strokeStyle = ink("good");
        context.stroke();
      }
      const taken = placed.map((p) => [p.at[0] - 5, p.at[1] - 5, 10, 10]);
      for (const p of placed) dot(context, ...p.at, 4.5, shade(p.run));
      for (const p of placed) label(context, p, taken, [left, top, wide, tall]);
      return placed.map((p) => ({ x: p.at[0], y: p.at[1], r: 4.5, lines: p.lines }));
    };
    return { height, paint };
  };
}

// less change and more quality
const dominates = (q, p) => q.x <= p.x && q.y >= p.y && (q.x < p.x || q.y > p.y);

// a name where it covers no point and no other name; else only the tooltip has it
function label(context, point, taken, [left, top, wide, tall]) {
  const name = fitted(context, point.name, 130), w = context.measureText(name).width + 2, h = 13;
  const [x, y] = point.at;
  const tries = [
    [x + 8, y - 6], [x - w - 8, y - 6], [x - w / 2, y - 20], [x - w / 2, y + 7], [x + 6, y - 18],
    [x + 6, y + 6], [x - w - 6, y - 18], [x - w - 6, y + 6],
  ];
  const free = ([a, b]) =>
    a >= left && a + w <= left + wide + 14 && b >= top - 12 && b + h <= top + tall + 4 &&
    !taken.some(([c, d, e, f]) => a < c + e && c < a + w && b < d + f && d < b + h);
  const spot = tries.find(free);
  if (!spot) return;
  taken.push([...spot, w, h]);
  context.globalAlpha = 0.75;
  context.fillStyle = ink("page");
  context.fillRect(...spot, w, h);
  context.globalAlpha = 1;
  caption(context, name, spot[0], spot[1] + h / 2, "left", "text");
}

const bracketed = (unit) => (unit ? ` [${unit}]` : "");

// quality and its change under shifts, of the last metric that a suite has both of: of labels Dice
function changeOn(subset) {
  const has = (name, key) => data.series.some((s) => s.subset === subset && s[name][key] != null);
  const found = data.quality
    .map((quality) => ({ quality, metric: metricOf(`delta_${quality.key}`) }))
    .filter(({ quality, metric }) => metric && has("quality", quality.key) && has("stats", metric.key));
  return found.at(-1);
}

function pareto(subset) {
  return () => {
    const { metric, quality } = changeOn(subset), unit = metric.unit ? ` ${metric.unit}` : "";
    const points = seriesOf(subset)
      .filter((s) => s.stats[metric.key] && Number.isFinite(s.quality[quality.key]))
      .map((s) => {
        const x = s.stats[metric.key].worst < metric.zero ? 0 : s.stats[metric.key].worst;
        const lines = [
          titleOf(s),
          `worst ${metric.title} ${text(x, ".2g")}${unit}, ${s.stats[metric.key].case}`,
          `mean ${quality.title} ${text(s.quality[quality.key], quality.format)}${unit}`,
        ];
        return { x, y: s.quality[quality.key], name: nameOf(s), run: s.run, lines };
      });
    return {
      points,
      xScale: new LogScale(points.map((p) => p.x), metric.zero),
      yScale: new LinearScale(points.map((p) => p.y)),
      xTitle: `← robust: worst ${metric.title}${bracketed(metric.unit)}`,
      yTitle: `${quality.title}${bracketed(quality.unit)}, better above`,
      front: true,
    };
  };
}

function pairs(view) {
  return () => {
    const metric = data.metrics[0];
    const points = seriesOf(view.x).flatMap((a) => {
      const b = data.series.find((s) => s.subset === view.y && s.run === a.run && s.model === a.model);
      if (!b) return [];
      const [x, y] = [a.stats[metric.key].mean, b.stats[metric.key].mean];
      const lines = [
        titleOf(a),
        `${view.x}: mean ${metric.title} ${text(x)}`,
        `${view.y}: mean ${metric.title} ${text(y)}`,
      ];
      return [{ x, y, name: nameOf(a), run: a.run, lines }];
    });
    const xScale = new LogScale(points.map((p) => p.x), metric.zero);
    const yScale = new LogScale(points.map((p) => p.y), metric.zero);
    const ends = [Math.max(xScale.low, yScale.low), Math.min(xScale.high, yScale.high)];
    const diagonal = ends[0] < ends[1] ? ends.map((power) => 10 ** power) : [];
    const title = (subset) => `mean ${metric.short} on ${subset}`;
    return { points, xScale, yScale, xTitle: title(view.x), yTitle: title(view.y), diagonal };
  };
}

// an in- and an out-of-distribution suite that share models; else any two that do
function pairOfPlaces() {
  const models = (subset, inside) =>
    data.series
      .filter((s) => s.subset === subset && (inside === undefined || s.inside === inside))
      .map((s) => `${s.run}\n${s.model}`);
  const share = (a, b) => a.some((name) => b.includes(name));
  for (const wanted of [[true, false], [undefined, undefined]])
    for (const x of subsets)
      for (const y of subsets)
        if (x !== y && share(models(x, wanted[0]), models(y, wanted[1])))
          return { x, y, known: wanted[0] === true };
  return null;
}

function scatters() {
  const charts = byId("scatter-charts");
  if (!charts || !data.metrics.length) return;
  const titled = (title, note) => {
    const host = element("div", { class: "chart" });
    const box = element("div", {}, element("h3", {}, title), element("p", { class: "muted" }, note), host);
    if (several) host.before(runKey());
    charts.append(box);
    return [box, host];
  };
  for (const subset of subsets) {
    const change = changeOn(subset);
    if (!change) continue;
    const [box, host] = titled(subset, "Quality against the worst that a shift does to it. Green: no other network is better in both.");
    const { title } = change.quality;
    new Chart(host, `Worst change of ${title} against ${title} on ${subset}`, scatterLayout(pareto(subset)));
    onChange(() => (box.hidden = !holds(subset)));
  }
  const view = pairOfPlaces();
  if (view) {
    const title = view.known ? "In and out of distribution" : "Suite against suite";
    const [box, host] = titled(title, "Does a network stay robust on data that it was not trained on? Dashed: equal errors.");
    const controls = element("div", { class: "controls" });
    host.before(controls);
    const set = (axis) => (value) => {
      view[axis] = value;
      Chart.redraw();
    };
    for (const axis of ["x", "y"]) {
      const options = subsets.map((subset) => [subset, subset]);
      choice(controls, axis === "x" ? "Across" : "Up", options, set(axis)).value = view[axis];
    }
    new Chart(host, "Error on one suite against another", scatterLayout(pairs(view)));
  }
  byId("quality").hidden = !charts.children.length;
}
