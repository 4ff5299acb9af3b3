// The error of every model on one suite at a glance: mean with its interval, and worst.

function dotsLayout(subset) {
  return (context, width) => {
    const shown = seriesOf(subset), metric = data.metrics[0];
    const stats = shown.map((s) => s.stats[metric.key]);
    // one for all suites, to be compared
    const every = data.series.filter(shows).map((s) => s.stats[metric.key]);
    const scale = new LogScale(
      every.flatMap((s) => [s.mean, s.worst, s.low, s.high].filter((v, i) => i < 2 || v === v)),
      metric.zero,
    );
    const row = 19, top = 6, bottom = top + row * shown.length;
    const names = shown.map(titleOf);
    const left = labelWidth(context, names, width * (several ? 0.5 : 0.42)) + 10;
    const wide = width - left - 22;
    const x = (value) => left + scale.place(value) * wide;
    const paint = () => {
      horizontalAxis(context, scale, left, wide, top, bottom);
      caption(context, heading(metric), left + wide / 2, bottom + 27, "center");
      return shown.map((series, i) => {
        const { mean, low, high, none, worst, case: at } = stats[i], y = top + row * (i + 0.5);
        caption(context, fitted(context, names[i], left - 10), left - 8, y, "right", "text");
        if (Number.isFinite(low) && high >= metric.zero) {
          context.strokeStyle = ink("mean");
          context.globalAlpha = 0.4;
          context.lineWidth = 4;
          context.beginPath();
          context.moveTo(x(low), y);
          context.lineTo(x(high), y);
          context.stroke();
          context.globalAlpha = 1;
        }
        diamond(context, x(worst), y, 4, ink("worst"));
        dot(context, x(mean), y, 4, ink("mean"));
        const missing = none ? ` (no 95 % interval: ${none})` : "";
        const interval = Number.isFinite(low) ? ` (95 %: ${text(low)} … ${text(high)})` : missing;
        const lines = [
          names[i],
          `mean ${metric.title} ${text(mean, metric.format)}${interval}`,
          `worst ${text(worst, metric.format)}, ${at}`,
        ];
        return { x: x(mean), y, r: 4, lines };
      });
    };
    return { height: bottom + 36, paint };
  };
}

function dots() {
  for (const host of document.querySelectorAll('[data-chart="dots"]')) {
    const subset = host.dataset.subset;
    new Chart(host, `Error of each model on ${subset}`, dotsLayout(subset));
  }
}
