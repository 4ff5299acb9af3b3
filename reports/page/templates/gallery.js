// The worst case of each model: input, shifted input, both outputs aligned, and their difference.

function shot(picture) {
  const { numbers } = picture, [dy, dx] = picture.shift;
  const name = titleOf(picture);
  const where = picture.element || `shift ${shiftText(...picture.shift)}`;
  const borrowed = picture.exact ? "; it errs nowhere beyond rounding, and is shown where the least robust one is worst" : "";
  const cut = picture.slice === null ? "" : `, slice ${picture.slice}`;
  const row = element("div", { class: "row" });
  const put = (node, words) => row.append(element("div", {}, node, words));
  const image = (source, what) => element("img", { src: source, alt: `${what}, ${name}` });
  const rolled = element("canvas", { role: "img", "aria-label": `shifted input, ${name}` });
  put(image(picture.input, "input"), "input");
  const under = picture.element ? `input, ${picture.element}` : `input, shifted by ${shiftText(...picture.shift)}`;
  put(picture.moved ? image(picture.moved, under) : rolled, under);
  const between = picture.range.map((end) => text(num(end), ".2g"));
  put(image(picture.output, "output"), between.length ? `output, from ${signed(between[0])} to ${signed(between[1])}` : "output");
  if (picture.element) put(image(picture.shifted, "output of the moved input"), "output of the moved, moved back");
  else put(image(picture.shifted, "output of the shifted input"), "output of the shifted, shifted back");
  if (picture.difference && picture.labels) {
    const share = text(num(100 * picture.largest), ".2g");
    put(image(picture.difference, "changed pixels"), `red: another class, ${share} % of the pixels`);
  } else if (picture.difference && picture.line) {
    put(image(picture.difference, "difference"), `difference, ${reach(picture)}`);
  } else if (picture.difference) {
    const map = element("canvas", { role: "img", "aria-label": `difference, ${name}` });
    put(map, `difference, yellow from ${reach(picture)}`);
    painted(picture.difference, (source) => coloured(map, source));
  } else put(element("div", { class: "blank" }, noDifference(picture)), "no difference");
  if (!picture.moved) painted(picture.input, (source) => roll(rolled, source, dy, dx));
  const facts = Object.entries({
    NMSE: [numbers.eq_nmse, ".2e", ""],
    "SSIM between outputs": [numbers.eq_ssim, ".4f", ""],
    "ΔPSNR": [numbers.delta_psnr, ".2g", " dB"],
    "PSNR with the truth": [numbers.psnr, ".2f", " dB"],
    "PSNR with the truth, shifted": [numbers.psnr_shifted, ".2f", " dB"],
    ...Object.fromEntries(data.labels.map(([key, title, format, unit]) => [title, [numbers[key], format, unit]])),
  }).filter(([, [value]]) => value !== undefined);
  return element(
    "figure",
    { class: "shot", "data-run": picture.run, "data-subset": picture.subset, "data-model": picture.model },
    element("h3", { title: picture.model }, name, element("small", {}, ` on ${picture.subset}, ${picture.case}, ${where}${cut}${borrowed}`)),
    row,
    element("figcaption", { class: "numbers" },
      ...facts.map(([title, [value, format, unit]]) =>
        element("span", {}, `${title} `, element("b", {}, text(num(value), format)), unit))),
  );
}

// how large a difference is, in the output's units and beside its range
function reach(picture) {
  const [low, high] = picture.range.map(num), largest = num(picture.largest);
  const share = high > low ? `, ${text((100 * largest) / (high - low), ".2g")} % of the output's range` : "";
  return `${text(largest, ".2g")}${share}`;
}

function noDifference(picture) {
  if (picture.labels) return "No pixel changes its class.";
  if (num(picture.numbers.eq_nmse) === 0) return "Both outputs are equal in every pixel, to the last bit.";
  return "What is shown of both outputs is equal: they differ in what has no grey value, a phase, say.";
}

function painted(source, then) {
  const image = new Image();
  image.onload = () => then(image);
  image.src = source;
}

function roll(canvas, image, dy, dx) {
  const { width, height } = image;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), wrap = (k, n) => ((k % n) + n) % n;
  const [x, y] = [wrap(dx, width), wrap(dy, height)];
  for (const left of [x, x - width]) for (const top of [y, y - height]) context.drawImage(image, left, top);
}

function coloured(canvas, image) {
  const { width, height } = image;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height), { data: bytes } = pixels;
  for (let i = 0; i < bytes.length; i += 4) bytes.set(viridis(bytes[i] / 255), i);
  context.putImageData(pixels, 0, 0);
}

// worst first, all runs together
const byError = (a, b) => num(b.numbers.eq_nmse) - num(a.numbers.eq_nmse) || a.exact - b.exact;

// one suite: the worst of what is shown, the others on demand
function galleryOf(subset) {
  const pictures = data.pictures.filter((picture) => picture.subset === subset).sort(byError);
  const made = new Map();
  const figure = (picture) => {
    if (!made.has(picture)) made.set(picture, shot(picture));
    return made.get(picture);
  };
  const worst = element("div"), others = element("div", { class: "gallery" });
  const summary = element("summary"), rest = element("details", {}, summary, others);
  const block = element("div", { class: "gallery", "data-subset": subset }, worst, rest);
  let hidden = [];
  const open = () => rest.open && others.replaceChildren(...hidden.map(figure));
  const arrange = () => {
    const [first, ...further] = pictures.filter(shows);
    hidden = further;
    block.hidden = !first;
    worst.replaceChildren(...(first ? [figure(first)] : []));
    rest.hidden = !further.length;
    const whose = further.length > 4 ? `${further.length} other networks` : further.map(titleOf).join(", ");
    summary.textContent = `${subset}: also ${whose}`;
    open();
  };
  rest.addEventListener("toggle", open);
  onChange(arrange);
  arrange();
  return block;
}

function gallery() {
  const host = byId("gallery");
  if (host) host.append(...[...new Set(data.pictures.map((picture) => picture.subset))].map(galleryOf));
}
