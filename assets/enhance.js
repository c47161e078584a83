// Enhance spots: which files are sent, and the handle between before and after.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  const IMAGES = /\.(jpe?g|png|tiff?)$/i;

  explorer.deliver({
    name: "enhance",
    refused(files) {
      const images = files.filter((f) => IMAGES.test(f.name)).length;
      const spots = files.length - images;
      if (spots === 1 && images <= 1) return null;
      return { message: `${spots} files of spots and ${images} images were chosen.`, hint: ["Choose one .h5ad file and at most one image."] };
    },
    async look(sent) {
      const spots = sent.find(({ file }) => !IMAGES.test(file.name));
      const image = sent.find(({ file }) => IMAGES.test(file.name));
      if (image) await explorer.ask("POST", `/api/uploads/${spots.id}/image`, { image: image.id });
      const { card } = await explorer.ask("GET", `/api/uploads/${spots.id}/spots`);
      return { upload: spots.id, card };
    },
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
