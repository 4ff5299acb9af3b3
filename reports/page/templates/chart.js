// A canvas that is sharp on every display, redraws itself, and answers the pointer and arrow keys.

const tip = byId("tip");
const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

class Chart {
  // layout(context, width) returns { height, paint }, and paint() its marks:
  // { x, y, w, h } or { x, y, r }, each with its lines of text; or why there is nothing to draw
  constructor(host, label, layout) {
    this.canvas = element("canvas", { tabindex: 0, role: "img", "aria-label": label });
    this.layout = layout;
    this.marks = [];
    this.cursor = -1;
    host.append(this.canvas);
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    for (const name of ["pointerleave", "blur"])
      this.canvas.addEventListener(name, () => this.leave());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    Chart.all.push(this);
    this.words = element("p", { class: "muted", hidden: true });
    host.append(this.words);
    Chart.sizes.observe(host);
    this.measure();
  }

  get host() {
    return this.canvas.parentElement;
  }

  measure() {
    const width = this.host.clientWidth;
    if (!width) return;
    const context = this.canvas.getContext("2d");
    context.font = FONT;
    const found = this.layout(context, width), nothing = typeof found === "string";
    this.canvas.hidden = nothing;
    this.words.hidden = !nothing;
    this.words.textContent = nothing ? found : "";
    if (nothing) Object.assign(this, { width, paint: () => [], height: 0, marks: [] });
    else Object.assign(this, { width, ...found });
    this.canvas.style.height = `${this.height}px`;
    if (this.inView()) this.draw();
    else Chart.postpone(this);
  }

  inView() {
    const { top, bottom } = this.canvas.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }

  draw() {
    Chart.postponed.delete(this);
    if (!this.width || this.canvas.hidden) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = FONT;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    this.marks = this.paint();
    const mark = this.marks[this.cursor];
    if (!mark) return;
    context.strokeStyle = ink("text");
    context.lineWidth = 2;
    context.beginPath();
    if (mark.r) context.arc(mark.x, mark.y, mark.r + 3, 0, 7);
    else context.rect(mark.x, mark.y, mark.w, mark.h);
    context.stroke();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = 16 ** 2;
    this.marks.forEach((mark, i) => {
      const inside = !mark.r && x >= mark.x && x < mark.x + mark.w && y >= mark.y && y < mark.y + mark.h;
      const away = mark.r ? (mark.x - x) ** 2 + (mark.y - y) ** 2 : inside ? 0 : Infinity;
      if (away < least) [best, least] = [i, away];
    });
    this.select(best);
  }

  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") return this.leave();
    if (!step || !this.marks.length) return;
    event.preventDefault();
    this.select(this.marks[this.cursor] ? this.next(...step) : 0, true);
  }

  // the nearest mark in that direction; what lies aside counts three times
  next(dx, dy) {
    const from = centre(this.marks[this.cursor]);
    let best = this.cursor, least = Infinity;
    this.marks.forEach((mark, i) => {
      const to = centre(mark);
      const along = (to.x - from.x) * dx + (to.y - from.y) * dy;
      const aside = Math.abs((to.x - from.x) * dy) + Math.abs((to.y - from.y) * dx);
      if (along > 0.5 && along + 3 * aside < least) [best, least] = [i, along + 3 * aside];
    });
    return best;
  }

  select(index, spoken = false) {
    if (index !== this.cursor) {
      this.cursor = index;
      this.draw();
    }
    const mark = this.marks[index];
    if (!mark) return this.hide();
    tip.replaceChildren(
      ...mark.lines.map((line, i) => element(i ? "div" : "b", {}, line)),
    );
    tip.hidden = false;
    const box = this.canvas.getBoundingClientRect(), { x, y } = centre(mark);
    const left = Math.min(Math.max(box.left + x + 12, 8), innerWidth - tip.offsetWidth - 8);
    const above = box.top + y - tip.offsetHeight - 12;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : box.top + y + 14}px`;
    if (spoken) byId("live").textContent = mark.lines.join(", ");
  }

  hide() {
    tip.hidden = true;
  }

  leave() {
    this.select(-1);
    this.hide();
  }

  static all = [];
  static redraw() {
    tip.hidden = true;
    Chart.all = Chart.all.filter((chart) => chart.canvas.isConnected);
    for (const chart of Chart.all) {
      chart.cursor = -1;
      chart.measure();
    }
  }
  // what is not on the screen is drawn right after, a chart at a time: whoever prints or captures
  // the page never scrolls there
  static postponed = new Set();
  static postpone(chart) {
    if (!Chart.postponed.size) setTimeout(Chart.drawNext);
    Chart.postponed.add(chart);
  }
  static drawNext() {
    const [next] = Chart.postponed;
    next?.draw();
    Chart.postponed.delete(next);
    if (Chart.postponed.size) setTimeout(Chart.drawNext);
  }
  static drawAll() {
    Chart.postponed.forEach((chart) => chart.draw());
  }
  static sizes = new ResizeObserver((entries) => {
    for (const { target } of entries)
      for (const chart of Chart.all)
        if (chart.host === target && chart.width !== target.clientWidth) chart.measure();
  });
}

const centre = (mark) =>
  mark.r ? mark : { x: mark.x + mark.w / 2, y: mark.y + mark.h / 2 };

// ---- pieces of drawings
function fitted(context, name, width) {
  if (context.measureText(name).width <= width) return name;
  let keep = name.length - 1;
  const cut = () => {
    const head = Math.ceil(keep / 2);
    return `${name.slice(0, head)}…${name.slice(name.length - (keep - head))}`;
  };
  while (keep > 2 && context.measureText(cut()).width > width) keep -= 1;
  return cut();
}

// powers of ten with the exponent raised
function tickLabel(context, label, x, y) {
  context.fillStyle = ink("muted");
  if (typeof label === "string") {
    context.textAlign = "center";
    return context.fillText(label, x, y);
  }
  context.textAlign = "left";
  const wide = context.measureText("10").width;
  context.fillText("10", x - wide * 0.75, y);
  context.save();
  context.font = FONT.replace("12px", "9px");
  context.fillText(signed(label), x + wide * 0.28, y - 5);
  context.restore();
}

function horizontalAxis(context, scale, left, width, top, bottom) {
  for (const [share, label] of scale.ticks(Math.floor(width / 44))) {
    const x = left + share * width;
    context.strokeStyle = ink("line");
    context.lineWidth = 1;
    context.setLineDash(label === "0" || label === "∞" ? [2, 3] : []);
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, top);
    context.lineTo(Math.round(x) + 0.5, bottom);
    context.stroke();
    context.setLineDash([]);
    tickLabel(context, label, x, bottom + 11);
  }
}

function dot(context, x, y, r, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, r, 0, 7);
  context.fill();
}

function diamond(context, x, y, r, colour) {
  context.strokeStyle = colour;
  context.fillStyle = ink("raised");
  context.lineWidth = 1.8;
  context.beginPath();
  context.moveTo(x, y - r);
  context.lineTo(x + r, y);
  context.lineTo(x, y + r);
  context.lineTo(x - r, y);
  context.closePath();
  context.fill();
  context.stroke();
}

function caption(context, words, x, y, align = "left", colour = "muted") {
  context.fillStyle = ink(colour);
  context.textAlign = align;
  context.fillText(words, x, y);
}

function labelWidth(context, names, most) {
  return Math.min(most, Math.max(0, ...names.map((name) => context.measureText(name).width)) + 4);
}
