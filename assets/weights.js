// Modality weights: its files.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});

  async function look(uploads) {
    const { card } = await explorer.ask("POST", "/api/modalities", { uploads });
    return { uploads, card };
  }
  const delivery = explorer.deliver({ name: "weights", look: (sent) => look(sent.map(({ id }) => id)) });

  explorer.acts["weights-demo"] = () => delivery.check("Simulated section", async () => {
    const { upload } = await explorer.ask("POST", "/api/uploads/demo?kind=modalities");
    return look([upload.id]);
  });

  // -- small maps and ramps in the colours of the theme ------------------------------------------

  let palettes = null;
  const loading = fetch("/assets/palettes.json").then((reply) => reply.json()).then((found) => { palettes = found; }).catch(() => {});

  function dressMap(img) {
    const ramp = img.dataset.ramp ? JSON.parse(img.dataset.ramp) : null;
    const query = new URLSearchParams({ palette: `${ramp ? ramp[0] : "ink"}-${explorer.theme()}`, size: 512, v: img.dataset.edition });
    if (ramp) { query.set("lo", ramp[1]); query.set("hi", ramp[2]); }
    const address = `${img.dataset.tile.split("/").map(encodeURIComponent).join("/").replace(/%3A/g, ":")}?${query}`;
    if (img.getAttribute("src") !== address) img.src = address;
  }
  function dressRamp(ramp) {
    const colours = palettes && palettes[`${ramp.dataset.palette}-${explorer.theme()}`];
    if (colours) ramp.style.background = `linear-gradient(90deg, ${colours.join(",")})`;
  }
  function dress() {
    requestAnimationFrame(async () => {
      await loading;
      document.querySelectorAll("#tool-panel img[data-tile]").forEach(dressMap);
      document.querySelectorAll("#tool-panel .ramp[data-palette]").forEach(dressRamp);
    });
    return window.dash_clientside.no_update;
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.weights = { dress };
})();
