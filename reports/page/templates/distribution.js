// Every error of every model, or of every case of one model.

const spread = { metric: "", model: "" };
const MOST_CASES = 30;

// the same scatter each time
const jitter = (i) => ((i * 0.6180339887498949) % 1) - 0.5;

function groupsOf(subset) {
  const shown = seriesOf(subset).filter((s) => s.points.values[spread.metric]);
  if (!spread.model)
    return shown.map((s) => ({ series: s, name: titleOf(s), picked: s.points.case.map((_, i) => i) }));
  const series = shown.find((s) => titleOf(s) === spread.model);
  if (!series) return [];
  const { cases, case: codes, values } = series.points;
  const groups = cases.map((name, code) => ({
    series,
    name,
    picked: codes.flatMap((c, i) => (c === code ? [i] : [])),
  }));
  const worst = (group) => Math.max(...group.picked.map((i) => values[spread.metric][i]));
  if (groups.length <= MOST_CASES) return groups;
  return groups.sort((a, b) => worst(b) - worst(a)).slice(0, MOST_CASES);
}

function strips(subset) {
  return (context, width) => {
    const metric = metricOf(spread.metric), groups = groupsOf(subset);
    if (!groups.length) return `No ${metric.title} of ${spread.model || "what is shown"} on ${subset}.`;
    const valuesOf = (g) => g.picked.map((i) => g.series.points.values[metric.key][i]);
    const scale = new LogScale(groups.flatMap(valuesOf), metric.zero);
    const row = 24, top = 6, bottom = top + row * groups.length;
    const left = labelWidth(context, groups.map((g) => g.name), width * 0.36) + 10;
    const wide = width - left - 22;
    const paint = () => {
      horizontalAxis(context, scale, left, wide, top, bottom);
      const marks = [];
      groups.forEach((group, k) => {
        const y = top + row * (k + 0.5), { points } = group.series;
        caption(context, fitted(context, group.name, left - 10), left - 8, y, "right", "text");
        context.globalAlpha = group.picked.length > 300 ? 0.25 : 0.45;
        for (const i of group.picked) {
          const value = points.values[metric.key][i];
          const at = { x: left + scale.place(value) * wide, y: y + jitter(i) * (row - 10), r: 2.4 };
          dot(context, at.x, at.y, at.r, ink("mean"));
          const lines = [
            titleOf(group.series),
            `${points.cases[points.case[i]]}, ${points.names ? points.names[i] : `shift ${shiftText(...points.shifts.map((along) => along[i]))}`}`,
            `${metric.title} ${text(value, metric.format)}${metric.unit ? ` ${metric.unit}` : ""}`,
          ];
          marks.push({ ...at, lines });
        }
        context.globalAlpha = 1;
        const values = valuesOf(group).sort((a, b) => a - b);
        const stats = group.series.stats[metric.key];
        const median = spread.model ? values[Math.floor((values.length - 1) / 2)] : stats.median;
        const worst = spread.model ? values.at(-1) : stats.worst;
        context.fillStyle = ink("text");
        context.fillRect(left + scale.place(median) * wide - 1, y - 8, 2, 16);
        diamond(context, left + scale.place(worst) * wide, y, 4, ink("worst"));
      });
      const total = groups.reduce((sum, g) => sum + g.picked.length, 0);
      const all = spread.model ? total : groups.reduce((sum, g) => sum + g.series.points.total, 0);
      const thinned = total < all ? `, ${total.toLocaleString("en")} of ${all.toLocaleString("en")} points` : "";
      caption(context, `${heading(metric)}${thinned}`, left + wide / 2, bottom + 28, "center");
      return marks;
    };
    return { height: bottom + 40, paint };
  };
}

function distribution() {
  const controls = byId("distribution-controls"), charts = byId("distribution-charts");
  if (!controls || !data.metrics.length) return;
  spread.metric = data.metrics[0].key;
  const set = (name) => (value) => {
    spread[name] = value;
    Chart.redraw();
  };
  choice(controls, "Metric", data.metrics.map((m) => [m.key, heading(m)]), set("metric"));
  const models = [...new Set(data.series.map(titleOf))];
  choice(controls, "Lines", [["", "all models"], ...models.map((m) => [m, `cases of ${m}`])], set("model"));
  for (const subset of subsets) {
    const box = element("div", {}, element("h3", {}, subset));
    const host = element("div", { class: "chart" });
    box.append(host);
    charts.append(box);
    new Chart(host, `Distribution of the error on ${subset}`, strips(subset));
    onChange(() => (box.hidden = !holds(subset)));
  }
}
