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
    const least = width < 480 ? 92 : 124, gap = 12, left = 34;
    const columns = Math.max(1, Math.min(shown.length, Math.floor((width - left) / (least + gap))));
    const side = Math.min((width - left - gap * (columns - 1)) / columns, 190);
    const title = 22, under = shiftView.scale === "shared" ? 20 : 34;
    const lines = Math.ceil(shown.length / columns), line = title + side + under;
    const bar = shiftView.scale === "shared" ? 44 : 8;
    const paint = () => {
      const marks = [];
      shown.forEach((series, i) => {
        const x = left + (i % columns) * (side + gap), y = Math.floor(i / columns) * line + title;
        const scale = shiftView.scale === "shared" ? shared : new LogScale(maps[i][statistic], metric.zero);
        marks.push(...panel(context, series, metric, maps[i], scale, x, y, side));
        if (i % columns === 0) axisTicks(context, maps[i].dys, maps[i].cell, x, y, side, true);
        if (shiftView.scale !== "shared") {
          const ends = maps[i][statistic].filter(Number.isFinite);
          const low = Math.min(...ends), high = Math.max(...ends);
          const range = ends.length ? (low === high ? text(low) : `${text(low)} … ${text(high)}`) : "not finite";
          caption(context, range, x + side / 2, y + side + 24, "center");
        }
      });
      if (shiftView.scale === "shared" && shown.length)
        colourBar(context, shared, metric, left, lines * line + 8, Math.min(width - left - 90, 420));
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
  axisTicks(context, map.dxs, cell, x, y, side, false);
  return map.mean.map((mean, i) => {
    const [dy, dx, worst] = [map.dy[i], map.dx[i], map.worst[i]];
    const at = { x: x + ((dx - map.dxs[0]) / cell) * size, y: y + ((dy - map.dys[0]) / cell) * size };
    context.fillStyle = scale.colour(map[shiftView.statistic][i]);
    context.fillRect(at.x, at.y, size - gap + (gap ? 0 : 0.4), size - gap + (gap ? 0 : 0.4));
    // of volumes over all dz, of signals along one axis
    const pixels = map.axes === 1 ? shiftText(dx) : map.axes === 2 ? shiftText(dy, dx) : `(any, ${signed(dy)}, ${signed(dx)})`;
    const where = cell > 1 && rows > 20 ? `shifts from ${pixels}` : `shift ${pixels}`;
    const lines = [
      titleOf(series),
      `${where} pixels, ${series.subset}`,
      `mean ${metric.title} ${text(mean, metric.format)}`,
      `worst ${text(worst, metric.format)}, ${map.cases[map.case[i]]}`,
    ];
    return { ...at, w: size, h: size, lines };
  });
}

// shifts along one side of a panel: all where there is room, else first, middle and last
function axisTicks(context, [low, high], cell, x, y, side, vertical) {
  const count = (high - low) / cell + 1, size = side / Math.max(1, count);
  const few = [0, Math.floor((count - 1) / 2), count - 1];
  const all = Array.from({ length: count }, (_, i) => i);
  for (const i of size >= 22 ? all : new Set(few)) {
    const words = signed(low + i * cell), at = (i + 0.5) * size;
    if (vertical) caption(context, words, x - 5, y + at, "right");
    else if (size >= 22 || (i && i < count - 1)) caption(context, words, x + at, y + side + 9, "center");
    else caption(context, words, i ? x + side : x, y + side + 9, i ? "right" : "left");
  }
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
    tickLabel(context, label, x + middle, y + 20);
  }
  caption(context, `${shiftView.statistic} ${heading(metric)}`, x + width + 12, y + 5);
}

function octavesLayout(subset) {
  return (context, width) => {
    const metric = data.metrics[0];
    const shown = seriesOf(subset).filter((s) => s.octaves[shiftView.axis]);
    const lines = shown.map((s) => s.octaves[shiftView.axis]);
    const scale = new LogScale(lines.flatMap((l) => l.mean), metric.zero);
    const powers = [...new Set(lines.flatMap((l) => l.power))].sort((a, b) => a - b);
    const height = 264, top = 28, bottom = height - 40, right = 44;
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
      for (const power of powers) caption(context, String(power), x(power), bottom + 12, "center");
      caption(context, "shift is a multiple of (and not of the next)", left + wide / 2, bottom + 30, "center");
      const marks = [], starts = [];
      shown.forEach((series, i) => {
        const { power, mean, worst, shifts } = lines[i];
        context.strokeStyle = ink("mean");
        context.globalAlpha = 0.5;
        context.lineWidth = 1.5;
        context.beginPath();
        power.forEach((p, k) => context.lineTo(x(p), y(mean[k])));
        context.stroke();
        context.globalAlpha = 1;
        power.forEach((p, k) => {
          dot(context, x(p), y(mean[k]), 3.5, ink("mean"));
          const what = [
            names[i],
            `multiples of ${p}: ${shifts[k].toLocaleString("en")} shifted images`,
            `mean ${metric.title} ${text(mean[k])}, worst ${text(worst[k])}`,
          ];
          marks.push({ x: x(p), y: y(mean[k]), r: 3.5, lines: what });
        });
        if (power.length) starts.push([y(mean[0]), x(power[0]), names[i]]);
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
  starts.forEach(([at, to, name], i) => {
    if (i && starts[i - 1][0] - at < 1) return;
    const same = starts.filter(([other], j) => j > i && at - other < 1).length;
    const subset = Math.min(at, free), more = same ? ` +${same}` : "";
    context.strokeStyle = ink("none");
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
