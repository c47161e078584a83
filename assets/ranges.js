// Ranges: handles over a histogram. A drag shows at once; tiles are asked for once it rests.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const REST = 120;
  const hush = () => window.dash_clientside.no_update;
  const hist = () => document.querySelector("#range .hist");
  let palettes = null;
  let timer = 0;
  let draft = null; // values while a handle is dragged

  fetch("/assets/palettes.json").then((reply) => reply.json()).then((found) => { palettes = found; draw(); }).catch(() => {});

  // The default range is the plane's; until it has come for this very layer, there is none.
  const spanOf = (plane) => (plane && plane.asked === explorer.view.layer && plane.section === explorer.view.section ? plane.span : null);

  function values() {
    const view = explorer.view;
    const plane = explorer.plane();
    const span = spanOf(plane) || [0, 1];
    const test = view.least === null && explorer.isQuery(view.section) && explorer.kind() === "label" ? heldOut() : null;
    const least = view.least === null ? (test ? test.threshold : 0) : view.least;
    const base = { lo: view.lo === null ? span[0] : view.lo, hi: view.hi === null ? span[1] : view.hi, least };
    return { ...base, ...draft };
  }

  const short = (v) => (v === 0 ? "0" : Math.abs(v) >= 1000 ? String(Math.round(v)) : String(Number(v.toPrecision(3)))).replace("-", "−");

  function colourAt(t) {
    const table = palettes && (palettes[explorer.palette(explorer.view)] || palettes[explorer.view.palette]);
    if (!table) return "var(--bar)";
    const stop = table[Math.round(Math.min(1, Math.max(0, t)) * (table.length - 1))];
    return typeof stop === "string" ? stop : `rgb(${stop.slice(0, 3).join(",")})`;
  }

  function draw() {
    const box = hist();
    if (!box || !explorer.view || !isCurrent()) return;
    const [from, to] = [Number(box.dataset.lo), Number(box.dataset.hi)];
    const now = values();
    const bars = [...box.querySelectorAll(".bars i")];
    const isThreshold = Boolean(box.querySelector('[data-handle="least"]'));
    if (!isThreshold && !spanOf(explorer.plane())) return;
    bars.forEach((bar, k) => {
      const value = from + ((k + 0.5) / bars.length) * (to - from);
      bar.style.background = isThreshold
        ? value >= now.least ? "var(--accent)" : "var(--none)"
        : colourAt((value - now.lo) / Math.max(now.hi - now.lo, 1e-12));
    });
    for (const handle of box.querySelectorAll(".h")) {
      const value = now[handle.dataset.handle];
      const share = 100 * Math.min(1, Math.max(0, (value - from) / Math.max(to - from, 1e-12)));
      handle.style.left = `${share}%`;
      handle.setAttribute("aria-valuenow", value);
      handle.setAttribute("aria-valuetext", short(value));
      const word = box.querySelector(`.v[data-of="${handle.dataset.handle}"]`);
      word.style.left = `${Math.min(96, Math.max(4, share))}%`;
      word.textContent = short(value);
    }
    if (isThreshold) saySo(bars, from, to, now.least);
    else for (const name of ["lo", "hi"]) write(name, short(now[name]));
    look = lookOf(explorer.view);
  }

  // The fields say the range; what was written here was not typed.
  const said = {};
  function write(name, text) {
    said[name] = text;
    explorer.props(`range-${name}`, { value: text });
  }
  function isCurrent() {
    const [view, plane] = [explorer.view, explorer.plane()];
    return Boolean(plane) && plane.section === view.section && plane.asked === view.layer;
  }

  // Bars wear the palette of the map: drawn anew when palette, theme or range change elsewhere.
  let look = "";
  const lookOf = (view) => [explorer.palette(view), view.lo, view.hi, view.least, spanOf(explorer.plane())].join("|");
  explorer.markRange = () => { if (!draft && lookOf(explorer.view) !== look) draw(); };

  // What the threshold means: counted here, and known from sections that training did not see.
  const format = new Intl.NumberFormat("en-GB");
  function saySo(bars, from, to, least) {
    let kept = 0, all = 0;
    bars.forEach((bar, k) => {
      const n = Number(bar.dataset.n);
      all += n;
      if (from + ((k + 0.5) / bars.length) * (to - from) >= least) kept += n;
    });
    const words = [`${format.format(kept)} of ${format.format(all)} cells are at least this confident.`];
    const test = heldOut();
    if (test) {
      const row = test.table.filter((r) => r.threshold <= least + 1e-6).pop() || test.table[0];
      words.push(`At ${short(least)} about ${Math.round(100 * row.error)} in 100 labels are wrong on ${test.how}.`);
    }
    document.getElementById("threshold").textContent = short(least);
    document.getElementById("threshold-words").textContent = words.join(" ");
  }

  // The record of an annotation says how its confidence was tested.
  const records = new Map();
  function record() {
    const job = explorer.jobOf(explorer.view.section);
    if (!records.has(job)) {
      records.set(job, null);
      fetch(`/api/results/${job}/record`).then((reply) => (reply.ok ? reply.json() : null))
        .then((found) => { records.set(job, found); draw(); }).catch(() => {});
    }
    return records.get(job);
  }
  function heldOut() {
    const found = record();
    const figures = found && found.result && found.result.figures;
    const first = figures && Object.values(figures)[0];
    const label = first && first.labels && first.labels[explorer.view.layer.split(":")[1]];
    const test = label && label.held_out;
    return test && test.table && test.table.length ? { how: test.how, table: test.table, threshold: label.threshold } : null;
  }

  function commit(wait) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!draft) return;
      const patch = { ...draft };
      draft = null;
      explorer.set(patch);
    }, wait);
  }

  function move(name, value) {
    const box = hist();
    const [from, to] = [Number(box.dataset.lo), Number(box.dataset.hi)];
    const now = values();
    const step = (to - from) / 100;
    let next = Math.min(to, Math.max(from, value));
    if (name === "lo") next = Math.min(next, now.hi - step);
    if (name === "hi") next = Math.max(next, now.lo + step);
    draft = { ...draft, [name]: Number(next.toPrecision(3)) };
    draw();
    commit(REST);
  }

  document.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest(".hist .h");
    if (!handle) return;
    event.preventDefault();
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const drag = (e) => {
      const box = hist();
      const r = box.getBoundingClientRect();
      const [from, to] = [Number(box.dataset.lo), Number(box.dataset.hi)];
      move(handle.dataset.handle, from + ((e.clientX - r.left) / r.width) * (to - from));
    };
    handle.addEventListener("pointermove", drag);
    handle.addEventListener("pointerup", () => handle.removeEventListener("pointermove", drag), { once: true });
  });

  document.addEventListener("keydown", (event) => {
    const handle = event.target.closest && event.target.closest(".hist .h");
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!handle || !by) return;
    event.preventDefault();
    const box = hist();
    const step = ((Number(box.dataset.hi) - Number(box.dataset.lo)) / 50) * (event.shiftKey ? 5 : 1);
    move(handle.dataset.handle, values()[handle.dataset.handle] + by * step);
  });

  explorer.acts["range-reset"] = () => { draft = null; explorer.set({ lo: null, hi: null }); requestAnimationFrame(draw); };

  function typed(text, id) {
    const name = id.endsWith("lo") ? "lo" : "hi";
    const value = Number(String(text).replace("−", "-").replace(",", "."));
    if (!explorer.view || text === said[name] || text === "" || text === undefined || !Number.isFinite(value)) return hush();
    if (short(value) === short(values()[name])) return hush();
    const other = values()[name === "lo" ? "hi" : "lo"];
    if (name === "lo" ? value >= other : value <= other) {
      explorer.toast(name === "lo" ? "The lower end must be below the upper" : "The upper end must be above the lower");
      return hush();
    }
    explorer.set({ [name]: value });
    return hush();
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.ranges = {
    typed,
    drawn: () => { requestAnimationFrame(draw); return hush(); },
  };
})();
