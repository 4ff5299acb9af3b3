// The error over shifts, a panel for each model; and by power of two, which level makes it.

const shiftView = { metric: "", statistic: "mean", scale: "shared", axis: "both" };

function panelsLayout(subset) {
  return (context, width) => {
    const metric = metricOf(shiftView.metric), { statistic } = shiftView;
    const shown = seriesOf(subset).filter((s) => s.maps[metric.key]);
    if (!shown.length) return `No ${metric.title} of what is shown on ${subset}.`;
    const maps = shown.map((s) => s.maps[metric.key]);
    const every = maps.flatMap((map) => map[statistic]);
    const shared = new LogScale(every, metric.zero);
    const least = width < 480 ? 92 : 124, gap = 12, left = 52;
    const columns = Math.max(1, Math.min(shown.length, Math.floor((width - left) / (least + gap))));
    const side = Math.min((width - left - gap * (columns - 1)) / columns, 190);
    const title = 22, under = shiftView.scale === "shared" ? 36 : 50;
    const lines = Math.ceil(shown.length / columns), line = title + side + under;
    const bar = shiftView.scale === "shared" ? 60 : 24;
    const says = `A cell: ${maps[0].says}.`;
    const paint = () => {
      const marks = [];
      shown.forEach((series, i) => {
        const x = left + (i % columns) * (side + gap), y = Math.floor(i / columns) * line + title;
        const scale = shiftView.scale === "shared" ? shared : new LogScale(maps[i][statistic], metric.zero);
        marks.push(...panel(context, series, metric, maps[i], scale, x, y, side));
        if (i % columns === 0) sideAxis(context, maps[i], x, y, side);
        if (shiftView.scale !== "shared") {
          const ends = maps[i][statistic].filter(Number.isFinite);
          const low = Math.min(...ends), high = Math.max(...ends);
          const range = ends.length ? (low === high ? text(low) : `${text(low)} … ${text(high)}`) : "not finite";
          caption(context, range, x + side / 2, y + side + 40, "center");
        }
      });
      if (shiftView.scale === "shared" && shown.length)
        colourBar(context, shared, metric, left, lines * line + 8, Math.min(width - left - 120, 420));
      caption(context, fitted(context, says, width), 0, lines * line + bar - 8);
      return marks;
    };
    return { height: lines * line + bar, paint };
  };
}

function panel(context, series, metric, map, scale, x, y, side) {
  const { cell } = map, count = ([low, high]) => (high - low) / cell + 1;
  const rows = count(map.dys), columns = count(map.dxs);
  const size = side / Math.max(rows, columns);
  const name = fitted(context, titleOf(series), side);
  caption(context, name, x + side / 2, y - 10, "center", "text");
  context.fillStyle = ink("soft");
  context.fillRect(x, y, columns * size, rows * size);
  const gap = size > 9 ? 1 : 0;
  underAxis(context, map, x, y, size * rows, size * columns);
  return map.mean.map((mean, i) => {
    const [dy, dx, worst] = [map.dy[i], map.dx[i], map.worst[i]];
    const at = { x: x + ((dx - map.dxs[0]) / cell) * size, y: y + ((dy - map.dys[0]) / cell) * size };
    context.fillStyle = scale.colour(map[shiftView.statistic][i]);
    context.fillRect(at.x, at.y, size - gap + (gap ? 0 : 0.4), size - gap + (gap ? 0 : 0.4));
    // of volumes over all dz, of signals along one axis
    const pixels = map.axes === 1 ? shiftText(dx) : map.axes === 2 ? shiftText(dy, dx) : `(any, ${signed(dy)}, ${signed(dx)})`;
    const upTo = (start) => (cell > 1 ? `${start} to ${start + cell - 1}` : start);
    const sizes = map.axes === 1 ? `|dx| ${upTo(dx)}` : `|dy| ${upTo(dy)}, |dx| ${upTo(dx)}`;
    const where = map.pooled ? `shifts of ${sizes}` : map.wide ? `shifts from ${pixels}` : `shift ${pixels}`;
    const lines = [
      titleOf(series),
      `${where} pixels, ${series.subset}`,
      `mean ${metric.title} ${text(mean, metric.format)}`,
      `worst ${text(worst, metric.format)}, ${map.cases[map.case[i]]}`,
    ];
    return { ...at, w: size, h: size, lines };
  });
}

// the middle of a cell that is one shift; the edge of one that holds the shifts from there on
const placeOf = (map, [first], start, size) => ((start - first) / map.cell + (map.wide ? 0 : 0.5)) * size;
const axisName = (map, axis) => (map.pooled ? `|${axis}|` : axis);

function sideAxis(context, map, x, y, side) {
  if (map.axes === 1) return;
  const count = ([low, high]) => (high - low) / map.cell + 1;
  const size = side / Math.max(count(map.dys), count(map.dxs));
  for (const start of map.ticks.dys)
    caption(context, signed(start), x - 5, y + placeOf(map, map.dys, start, size), "right");
  context.save();
  context.translate(x - 42, y + (size * count(map.dys)) / 2);
  context.rotate(-Math.PI / 2);
  caption(context, axisName(map, "dy"), 0, 0, "center");
  context.restore();
}

function underAxis(context, map, x, y, tall, wide) {
  const size = wide / ((map.dxs[1] - map.dxs[0]) / map.cell + 1);
  for (const start of map.ticks.dxs)
    caption(context, signed(start), x + placeOf(map, map.dxs, start, size), y + tall + 10, "center");
  caption(context, axisName(map, "dx"), x + wide / 2, y + tall + 25, "center");
}

function colourBar(context, scale, metric, x, y, width) {
  const steps = 120, start = x + scale.start * width, wide = (scale.end - scale.start) * width;
  for (let i = 0; i < steps; i += 1) {
    context.fillStyle = rgb(viridis(i / (steps - 1)));
    context.fillRect(start + (i / steps) * wide, y, wide / steps + 0.6, 9);
  }
  if (scale.hasZero) {
    context.fillStyle = ink("none");
    context.fillRect(x, y, scale.start * width - 6, 9);
  }
  if (scale.hasInfinite) {
    context.fillStyle = ink("worst");
    context.fillRect(x + scale.end * width + 6, y, (1 - scale.end) * width - 6, 9);
  }
  for (const [share, label] of scale.ticks(Math.floor(width / 50))) {
    const middle = label === "0" ? (scale.start * width - 6) / 2 : label === "∞" ? width * 0.97 : share * width;
    const crowded = scale.hasZero && label !== "0" && middle - (scale.start * width - 6) / 2 < 26;
    if (!crowded) tickLabel(context, label, x + middle, y + 20);
  }
  caption(context, `${shiftView.statistic} ${briefly(metric)}`, x + width + 12, y + 5);
}

function octavesLayout(subset) {
  return (context, width) => {
    const metric = data.metrics[0];
    const shown = seriesOf(subset).filter((s) => s.octaves[shiftView.axis]);
    const lines = shown.map((s) => s.octaves[shiftView.axis]);
    const scale = new LogScale(lines.flatMap((l) => l.mean), metric.zero);
    const measured = lines.flatMap((l) => l.power);
    const powers = [];
    for (let power = Math.min(...measured); power <= Math.max(...measured); power *= 2) powers.push(power);
    if (!powers.length) return `No shifts of what is shown on ${subset}.`;
    const height = 264, top = 28, bottom = height - 40, right = 62;
    const names = shown.map(titleOf);
    const left = labelWidth(context, names, width * 0.36) + 24;
    const wide = width - left - right;
    const x = (power) => left + ((powers.indexOf(power) + 0.5) / powers.length) * wide;
    const y = (value) => bottom - scale.place(value) * (bottom - top);
    const paint = () => {
      for (const [share, label] of scale.ticks(6)) {
        const at = Math.round(bottom - share * (bottom - top)) + 0.5;
        context.strokeStyle = ink("line");
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(left, at);
        context.lineTo(left + wide, at);
        context.stroke();
        tickLabel(context, label, left + wide + 18, at);
      }
      const named = (power) => (power === lines[0].largest ? `≥ ${power}` : String(power));
      for (const power of powers) caption(context, named(power), x(power), bottom + 12, "center");
      const divided = shiftView.axis === "both" ? lines[0].axes.join(" and ") : shiftView.axis;
      const titles = [`largest power of two that divides ${divided}`, `power of two in ${divided}`];
      const wideOf = (title) => context.measureText(title).width;
      const title = titles.find((title) => wideOf(title) < width - 18) ?? titles[1], half = wideOf(title) / 2;
      caption(context, title, Math.min(left + wide / 2, width - half - 18), bottom + 30, "center");
      context.save();
      context.translate(width - 8, (top + bottom) / 2);
      context.rotate(-Math.PI / 2);
      caption(context, `mean ${briefly(metric)}`, 0, 0, "center");
      context.restore();
      const marks = [], starts = [];
      shown.forEach((series, i) => {
        const { power, mean, worst, shifts } = lines[i];
        const colour = hue(series);
        context.strokeStyle = colour;
        context.lineWidth = 1.5;
        context.beginPath();
        // no line crosses a power that no shift has
        power.forEach((p, k) => {
          if (k && p === 2 * power[k - 1]) context.lineTo(x(p), y(mean[k]));
          else context.moveTo(x(p), y(mean[k]));
        });
        context.stroke();
        power.forEach((p, k) => {
          dot(context, x(p), y(mean[k]), 3.5, colour);
          const what = [
            names[i],
            `${p === lines[i].largest ? `multiples of ${p}` : `multiples of ${p}, not of ${2 * p}`}: ${shifts[k].toLocaleString("en")} shifted images`,
            `mean ${metric.title} ${text(mean[k])}, worst ${text(worst[k])}`,
          ];
          marks.push({ x: x(p), y: y(mean[k]), r: 3.5, lines: what });
        });
        if (power.length) starts.push([y(mean[0]), x(power[0]), names[i], colour]);
      });
      startLabels(context, starts, left, bottom);
      return marks;
    };
    return { height, paint };
  };
}

// names at the left of their lines, pushed apart; lines that start in one subset share a name
function startLabels(context, starts, left, bottom) {
  starts.sort((a, b) => b[0] - a[0]);
  let free = bottom + 8;
  starts.forEach(([at, to, name, colour], i) => {
    if (i && starts[i - 1][0] - at < 1) return;
    const same = starts.filter(([other], j) => j > i && at - other < 1).length;
    const subset = Math.min(at, free), more = same ? ` +${same}` : "";
    context.strokeStyle = same ? ink("none") : colour;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(left - 12, subset);
    context.lineTo(to - 6, at);
    context.stroke();
    const room = left - 18 - context.measureText(more).width;
    caption(context, fitted(context, name, room) + more, left - 16, subset, "right", "text");
    free = subset - 14;
  });
}

function shifts() {
  const controls = byId("shift-controls"), charts = byId("shift-charts");
  if (!controls || !data.metrics.length) return;
  shiftView.metric = data.metrics[0].key;
  const set = (name) => (value) => {
    shiftView[name] = value;
    Chart.redraw();
  };
  choice(controls, "Metric", data.metrics.map((m) => [m.key, heading(m)]), set("metric"));
  choice(controls, "Over cases", [["mean", "mean"], ["worst", "worst"]], set("statistic"));
  choice(controls, "Colours", [["shared", "one scale for a suite"], ["panel", "one for each panel"]], set("scale"));
  const axes = ["dz", "dy", "dx"].filter((axis) => data.series.some((s) => s.octaves[axis]));
  const whole = axes.length === 2 ? "both components" : "all components";
  choice(controls, "Powers of two dividing", [["both", whole], ...axes.map((axis) => [axis, axis])], set("axis"));
  const shiftedCircularly = (subset) => data.series.some((s) => s.subset === subset && Object.keys(s.maps).length);
  for (const subset of subsets.filter(shiftedCircularly)) {
    const words = new Set(data.series.filter((s) => s.subset === subset).map((s) => s.evidence));
    words.delete("");
    const how = words.size ? ` every circular shift: ${[...words].join(", ")}` : "";
    const box = element("div", { "data-subset": subset });
    const map = element("div", { class: "chart" }), octaves = element("div", { class: "chart" });
    box.append(
      element("h3", {}, subset, element("small", {}, how)),
      element("div", { class: "pair" }, map, octaves),
    );
    charts.append(box);
    new Chart(map, `Error by shift on ${subset}, a panel for each model`, panelsLayout(subset));
    new Chart(octaves, `Mean error by power of two on ${subset}`, octavesLayout(subset));
    onChange(() => (box.hidden = !holds(subset)));
  }
}
