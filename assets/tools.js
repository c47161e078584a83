// The tools below the map: open, close, start a run, and let callbacks steer the view.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const hush = () => window.dash_clientside.no_update;
  const byId = (id) => document.getElementById(id);
  let shown = "";
  let known = ""; // the job that was last asked for

  function show(name) {
    const panel = byId("tool-panel");
    if (!panel) return;
    let found = false;
    for (const tool of panel.querySelectorAll(".tool")) {
      tool.hidden = tool.dataset.tool !== name;
      found = found || !tool.hidden;
    }
    panel.hidden = !found;
    byId("app").classList.toggle("with-tool", found);
    const now = found ? name : "";
    if (now === shown) return;
    shown = now;
    // Plots that were laid out while hidden take the size of their place now.
    requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
  }
  explorer.markTool = function (view) {
    show(view.tool);
    if (!view.tool || view.using === known) return;
    known = view.using;
    explorer.findJob(known);
  };

  const close = () => explorer.set({ tool: "", using: "" });
  function open(name) {
    explorer.closeMenus();
    if (explorer.view.tool === name) return;
    explorer.set({ tool: name, using: "" });
    const body = document.querySelector(`.tool[data-tool="${CSS.escape(name)}"] .toolbody`);
    if (body) body.focus({ preventScroll: true });
  }

  async function run(value, event, element) {
    element.disabled = true;
    try {
      const job = await explorer.submit(JSON.parse(value));
      explorer.set({ using: job.id });
    } catch (problem) {
      explorer.toast([problem.message, ...(problem.hint || [])].join(" "));
    }
    element.disabled = false;
  }

  Object.assign(explorer.acts, {
    tool: open,
    "tool-close": close,
    "tool-tall": () => byId("app").classList.toggle("tall-tool") || window.dispatchEvent(new Event("resize")),
    using: (value) => explorer.set({ using: value }),
    "open-tool": (value) => {
      const [tool, using] = value.split("|");
      byId("jobs-card").hidden = true;
      explorer.set({ tool, using });
    },
    run,
    steer: (value) => steer(JSON.parse(value)),
  });

  // Dash leaves handle and field of a slider without a name; what holds it has one.
  document.addEventListener("focusin", (event) => {
    const part = event.target.closest(".dash-slider-thumb, .dash-range-slider-input");
    const named = part && part.closest("[data-named]");
    if (named) part.setAttribute("aria-label", named.dataset.named);
  });

  // What a callback may change of the view; a layer also clears what belongs to the old one.
  const MAY = ["tool", "using", "section", "only"];
  function steer(order) {
    if (!order || !explorer.view) return hush();
    const { layer, ...rest } = order;
    const patch = Object.fromEntries(Object.entries(rest).filter(([name]) => MAY.includes(name)));
    const moves = patch.section && patch.section !== explorer.view.section;
    if (moves) patch.at = null;
    setTimeout(() => {
      // A section on a plane of its own is opened by the server, which knows its layers.
      if (moves && (explorer.isQuery(patch.section) || explorer.isQuery(explorer.view.section))) {
        const cleared = { only: [], lo: null, hi: null, least: null, panel: "see" };
        explorer.go(explorer.query({ ...explorer.view, ...cleared, ...patch, layer: layer || "" }));
        return;
      }
      if (layer && layer !== explorer.view.layer) explorer.toLayer(layer, patch.only);
      explorer.set(patch);
    }, 0);
    return hush();
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.tools = { steer };
})();
