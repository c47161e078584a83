// Keys: single letters act only when no field has the focus; Escape goes back one level.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const act = (name, value) => explorer.acts[name](value || "", { shiftKey: false }, null);

  function otherKind() {
    const [kind, gene] = explorer.view.layer.split(":");
    const other = { measured: "imputed", imputed: "measured" }[kind];
    if (other) explorer.toLayer(`${other}:${gene}`);
  }

  const KEYS = {
    "/": () => explorer.focusSearch(),
    "+": () => act("zoom-in"), "=": () => act("zoom-in"),
    "-": () => act("zoom-out"), "0": () => act("fit"),
    ",": () => explorer.step(-1), ".": () => explorer.step(1),
    "[": () => explorer.toggleFold("left"), "]": () => explorer.toggleFold("right"),
    d: () => explorer.toggleFold("dock"),
    i: otherKind, f: () => act("fade"),
    l: () => act("lasso"),
    s: () => act("copy-link"), t: () => act("theme"), u: () => act("annotate"),
    "?": () => act("help"),
  };

  function back() {
    const jobs = document.getElementById("jobs-card");
    if (explorer.closeSearch() || explorer.closeMenus()) return;
    if (!jobs.hidden) { jobs.hidden = true; return; }
    if (explorer.stopLasso() || explorer.unpin()) return;
    if (explorer.view.panel === "annotate") { act("see"); return; }
    if (explorer.view.tool) { act("tool-close"); return; }
    if (explorer.view.only.length) { explorer.set({ only: [] }); return; }
    if (explorer.view.section !== "atlas") explorer.open("atlas");
  }

  document.addEventListener("keydown", (event) => {
    if (!explorer.view) return;
    if (event.key === "Escape") {
      if (!document.getElementById("help").open) back();
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      if (isField(event.target)) return;
      event.preventDefault();
      act(event.shiftKey ? "redo" : "undo");
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
    const run = KEYS[event.key] || KEYS[event.key.toLowerCase()];
    if (!run || document.getElementById("help").open && event.key !== "?") return;
    // The map zooms by itself when it has the focus.
    if ("+-=".includes(event.key) && event.target.closest(".leaflet-container")) return;
    event.preventDefault();
    run();
  });

  const isField = (target) => /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable;

  // Rows that act like buttons but are labels or handles answer Enter and space.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    if (event.target.matches('[data-act="choose-file"]')) { event.preventDefault(); event.target.click(); }
  });
})();
