// Enhance spots: sending spots with their image, and the handle between before and after.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const IMAGES = /\.(jpe?g|png|tiff?)$/i;
  let current = null; // {stop}: the sending that is going on

  const show = (files) => explorer.props("enhance-files", { data: files });
  const refuse = (name, message, ...hint) => show({ step: "failed", name, error: { error: "BadRequest", message, hint } });

  async function send(file, turn, said) {
    const made = await explorer.ask("POST", "/api/uploads", { name: file.name, size: file.size });
    const state = { file, upload: made.upload || made, get stop() { return turn.stop; } };
    await explorer.transfer(state, said);
    if (turn.stop) { explorer.ask("DELETE", `/api/uploads/${state.upload.id}`).catch(() => {}); return null; }
    await explorer.ask("POST", `/api/uploads/${state.upload.id}/finish?card=none`);
    return state.upload.id;
  }

  async function sendAll(files) {
    const spots = files.filter((f) => !IMAGES.test(f.name));
    const images = files.filter((f) => IMAGES.test(f.name));
    const name = files.map((f) => f.name).join(" and ");
    if (spots.length !== 1 || images.length > 1) {
      refuse(name, `${spots.length} files of spots and ${images.length} images were chosen.`, "Choose one .h5ad file and at most one image.");
      return;
    }
    const turn = (current = { stop: false });
    const size = files.reduce((sum, f) => sum + f.size, 0);
    show({ step: "sending", name, size, sent: 0 });
    try {
      const upload = await send(spots[0], turn, (sent) => show({ step: "sending", name, size, sent }));
      if (!upload) return;
      if (images.length) {
        const before = spots[0].size;
        const image = await send(images[0], turn, (sent) => show({ step: "sending", name, size, sent: before + sent }));
        if (!image) return;
        await explorer.ask("POST", `/api/uploads/${upload}/image`, { image });
      }
      show({ step: "checking", name });
      const { card } = await explorer.ask("GET", `/api/uploads/${upload}/spots`);
      show({ step: "check", name, upload, card });
    } catch (problem) {
      if (current === turn) show({ step: "failed", name, error: explorer.fault(problem) });
    }
  }

  Object.assign(explorer.acts, {
    "enhance-files": (value) => {
      const input = document.createElement("input");
      input.type = "file";
      input.multiple = true;
      input.accept = value;
      input.onchange = () => input.files.length && sendAll([...input.files]);
      input.click();
    },
    "enhance-again": () => {
      if (current) current.stop = true;
      current = null;
      show(null);
    },
  });

  const zone = (event) => event.target.closest('[data-act="enhance-files"]');
  document.addEventListener("dragover", (event) => { if (zone(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!zone(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) sendAll([...event.dataTransfer.files]);
  });

  // -- two sliders: the handle between before and after, and the opacity over the tissue ----------------

  let cut = 50; // kept while genes change
  let fade = 75;
  const KINDS = {
    swipe: {
      get: () => cut,
      set(value) { cut = value; },
      box: (control) => control.closest(".swipe"),
      text: (value) => `${value} % spots, ${100 - value} % subspots`,
    },
    fader: {
      get: () => fade,
      set(value) { fade = value; },
      box: (control) => control,
      text: (value) => `${value} %`,
    },
  };
  const kindOf = (control) => ("swipe" in control.dataset ? "swipe" : "fader");

  function place(control) {
    const kind = KINDS[kindOf(control)];
    const value = Math.round(kind.get());
    control.setAttribute("aria-valuenow", value);
    control.setAttribute("aria-valuetext", kind.text(value));
    if (kind === KINDS.swipe) kind.box(control).style.setProperty("--cut", `${kind.get()}%`);
    else {
      control.style.setProperty("--at", `${kind.get()}%`);
      const body = document.getElementById("enhance-body");
      if (body) body.style.setProperty("--fade", kind.get() / 100);
    }
  }
  function move(control, value) {
    KINDS[kindOf(control)].set(Math.min(100, Math.max(0, value)));
    place(control);
  }
  const controls = () => document.querySelectorAll("#enhance-body [data-swipe], #enhance-body [data-fader]");

  function follow(control, event) {
    const box = KINDS[kindOf(control)].box(control).getBoundingClientRect();
    move(control, (100 * (event.clientX - box.left)) / box.width);
  }
  document.addEventListener("pointerdown", (event) => {
    const frame = event.target.closest("#enhance-body .swipe");
    const control = frame ? frame.querySelector("[data-swipe]") : event.target.closest("#enhance-body [data-fader]");
    if (!control || event.button !== 0) return;
    event.preventDefault();
    control.focus({ preventScroll: true });
    follow(control, event);
    const drag = (moved) => follow(control, moved);
    const stop = () => { removeEventListener("pointermove", drag); removeEventListener("pointerup", stop); removeEventListener("pointercancel", stop); };
    addEventListener("pointermove", drag);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  });
  document.addEventListener("keydown", (event) => {
    const control = event.target.closest && event.target.closest("#enhance-body [data-swipe], #enhance-body [data-fader]");
    if (!control) return;
    const step = event.shiftKey ? 10 : 2;
    const now = KINDS[kindOf(control)].get();
    const to = { ArrowLeft: now - step, ArrowDown: now - step, ArrowRight: now + step, ArrowUp: now + step, Home: 0, End: 100 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(control, to);
  }, true);

  function dress() {
    requestAnimationFrame(() => controls().forEach(place));
    return window.dash_clientside.maps.dress();
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.enhance = { dress };
})();
