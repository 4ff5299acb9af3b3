// The worst case of each model: input, shifted input, both outputs aligned, and their difference.

function shot(picture) {
  const { numbers } = picture, [dy, dx] = picture.shift;
  const name = titleOf(picture);
  const where = picture.element || `shift ${shiftText(...picture.shift)}`;
  const cut = picture.slice === null ? "" : `, slice ${picture.slice}`;
  const row = element("div", { class: "row" });
  const put = (node, words) => row.append(element("div", {}, node, words));
  const image = (source, what) => element("img", { src: source, alt: `${what}, ${name}`, loading: "lazy" });
  const rolled = element("canvas", { role: "img", "aria-label": `shifted input, ${name}` });
  put(image(picture.input, "input"), "input");
  const under = picture.element ? `input, ${picture.element}` : `input, shifted by ${shiftText(...picture.shift)}`;
  put(picture.moved ? image(picture.moved, under) : rolled, under);
  put(image(picture.output, "output"), "output");
  if (picture.element) put(image(picture.shifted, "output of the moved input"), "output of the moved, moved back");
  else put(image(picture.shifted, "output of the shifted input"), "output of the shifted, shifted back");
  if (picture.difference && picture.labels) {
    const share = text(num(100 * picture.largest), ".2g");
    put(image(picture.difference, "changed pixels"), `red: another class, ${share} % of the pixels`);
  } else if (picture.difference && picture.line) {
    put(image(picture.difference, "difference"), `difference, up to ${text(num(picture.largest), ".2g")}`);
  } else if (picture.difference) {
    const map = element("canvas", { role: "img", "aria-label": `difference, ${name}` });
    put(map, `difference, yellow from ${text(num(picture.largest), ".2g")}`);
    painted(picture.difference, (source) => coloured(map, source));
  } else put(element("div", { class: "blank" }, "nothing"), picture.labels ? "no pixel changes" : "difference: 0");
  if (!picture.moved) painted(picture.input, (source) => roll(rolled, source, dy, dx));
  const facts = Object.entries({
    NMSE: [numbers.eq_nmse, ".2e", ""],
    SSIM: [numbers.eq_ssim, ".4f", ""],
    "ΔPSNR": [numbers.delta_psnr, ".2g", " dB"],
    PSNR: [numbers.psnr, ".2f", " dB"],
    "PSNR, shifted": [numbers.psnr_shifted, ".2f", " dB"],
    ...Object.fromEntries(data.labels.map(([key, title, format, unit]) => [title, [numbers[key], format, unit]])),
  }).filter(([, [value]]) => value !== undefined);
  return element(
    "figure",
    { class: "shot", "data-run": picture.run, "data-subset": picture.subset, "data-model": picture.model },
    element("h3", { title: picture.model }, name, element("small", {}, ` on ${picture.subset}, ${picture.case}, ${where}${cut}`)),
    row,
    element("figcaption", { class: "numbers" },
      ...facts.map(([title, [value, format, unit]]) =>
        element("span", {}, `${title} `, element("b", {}, text(num(value), format)), unit))),
  );
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

function gallery() {
  const host = byId("gallery");
  if (!host) return;
  const fill = (holder) => {
    if (!holder.firstChild) holder.append(...shot(data.pictures[holder.index]).childNodes);
  };
  // made as it comes near: decoding them all would hold the page up
  const make = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) fill(target);
  }, { rootMargin: "800px" });
  addEventListener("beforeprint", () => [...host.children].forEach(fill));
  data.pictures.forEach((picture, index) => {
    const { run, subset, model } = picture;
    const holder = element("figure", {
      class: "shot", "data-run": run, "data-subset": subset, "data-model": model,
      style: "min-height: 16rem",
    });
    Object.assign(holder, { index });
    host.append(holder);
    make.observe(holder);
    onChange(() => (holder.hidden = !shows({ run, subset, model })));
  });
}
