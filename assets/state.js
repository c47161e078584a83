// The view: one object, one store, one link. Every other script changes it through explorer.set.
(function () {
  "use strict";

  const DEFAULTS = {
    section: "atlas", layer: "", only: [], lo: null, hi: null, lock: false, least: null, fade: false,
    palette: "ink", sort: "count", at: null, panel: "see", job: "", tool: "", using: "",
  };
  const QUIET = ["at"]; // a change of these alone is no step of the history
  const RECENT = 6;

  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  explorer.view = null;
  explorer.atlas = null;

  explorer.props = (id, props) => window.dash_clientside.set_props(id, props);
  explorer.byId = (id) => document.getElementById(id);
  explorer.isQuery = (section) => section.startsWith("query-");
  explorer.jobOf = (section) => section.replace(/^query-/, "").replace(/\..*/, ""); // query-<job>.<k>
  explorer.theme = () => document.documentElement.dataset.theme || "light";
  explorer.kind = () => (explorer.view ? explorer.view.layer.split(":")[0] : "");

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  // -- the link --------------------------------------------------------------------------------

  const digits = (number) => String(Number(number.toPrecision(7)));
  function written(value) {
    if (Array.isArray(value)) return value.map(written).join(",");
    if (value === true) return "1";
    return typeof value === "number" ? digits(value) : String(value);
  }
  explorer.query = function (view) {
    const parts = Object.keys(DEFAULTS)
      .filter((key) => !same(view[key], DEFAULTS[key]) && view[key] !== undefined)
      .map((key) => `${key}=${encodeURIComponent(written(view[key])).replace(/%3A/g, ":").replace(/%2C/g, ",")}`);
    return parts.length ? `?${parts.join("&")}` : "";
  };

  function isQuiet(before, after) {
    return Object.keys(DEFAULTS).every((k) => QUIET.includes(k) || same(before[k], after[k]));
  }

  function writeLink(view, before, replace) {
    const search = explorer.query(view) || location.pathname;
    if ((explorer.query(view) || "") === location.search) return;
    const step = (history.state && history.state.step) || 0;
    if (!before || replace || isQuiet(before, view)) {
      history.replaceState({ step }, "", search);
    } else {
      history.pushState({ step: step + 1 }, "", search);
    }
  }

  // Let the server read an address: it knows which layers a section has.
  let visits = 0; // so that the same address can be read again
  let arriving = ""; // "step" or "history": why the next view comes from the server
  explorer.go = function (search, why) {
    arriving = why || "step";
    visits += 1;
    explorer.props("address", { data: { search, visits } });
  };
  window.addEventListener("popstate", () => explorer.go(location.search, "history"));

  explorer.set = function (patch) {
    if (!explorer.view) return;
    const next = { ...explorer.view, ...patch };
    if (same(next, explorer.view)) return;
    const before = explorer.view;
    explorer.view = next;
    writeLink(next, before);
    explorer.mark(); // what the page can show by itself is shown at once
    explorer.props("view", { data: next });
  };

  // -- parts of the view, for those who listen to one -------------------------------------------

  const last = {};
  function part(name, value) {
    if (same(last[name], value)) return window.dash_clientside.no_update;
    last[name] = value;
    return value;
  }

  function split(view, atlas) {
    const none = window.dash_clientside.no_update;
    if (!view) return [none, none, none, none, none];
    explorer.atlas = atlas;
    const before = explorer.view;
    if (!same(before, view)) {
      // The server has read an address; all other changes were known here first.
      const { notice, ...read } = view;
      explorer.view = { ...DEFAULTS, ...read, recent: read.recent || (before || {}).recent || [] };
      if (notice) explorer.toast(notice);
      writeLink(explorer.view, before, arriving === "history");
      arriving = "";
    }
    const now = explorer.view;
    return [
      part("place", { section: now.section }),
      part("scene", { section: now.section, layer: now.layer, sort: now.sort, recent: now.recent }),
      part("row", {
        layer: now.layer,
        query: explorer.isQuery(now.section) ? now.section : "",
      }),
      part("focus", { layer: now.layer, codes: now.only }),
      part("tool", { tool: now.tool, using: now.using, section: now.section }),
    ];
  }

  explorer.retheme = () => {
    if (!explorer.view) return;
    explorer.mark();
    explorer.props("view", { data: { ...explorer.view } });
  };

  // -- marks: what the state says of rows that the server has drawn ------------------------------

  const codesOf = (element) => (element.dataset.value || "").split(",").filter(Boolean).map(Number);
  explorer.codesOf = codesOf;
  const put = (element, name, value) => {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  };

  function markLegend(only) {
    for (const rule of document.querySelectorAll("[data-rule]")) {
      rule.hidden = (rule.dataset.rule === "any") !== (only.size > 0);
    }
    for (const row of document.querySelectorAll('[data-act="isolate"]')) {
      const codes = codesOf(row);
      const all = only.size > 0 && codes.every((c) => only.has(c));
      put(row, "aria-pressed", all);
      row.classList.toggle("iso", all);
      row.classList.toggle("dim", only.size > 0 && !codes.some((c) => only.has(c)));
    }
  }

  function markTree(only, layer) {
    for (const box of document.querySelectorAll('#tree [data-act="check"]')) {
      const codes = codesOf(box);
      const free = box.dataset.layer !== layer || only.size === 0;
      const n = codes.filter((c) => only.has(c)).length;
      put(box, "aria-checked", free || n === codes.length ? "true" : n ? "mixed" : "false");
    }
    for (const name of document.querySelectorAll('#tree [data-act="alone"]')) {
      const codes = codesOf(name);
      const hit = name.dataset.layer === layer && only.size === codes.length && codes.every((c) => only.has(c));
      name.parentElement.classList.toggle("sel", hit);
      if (hit && name.closest(".branch .kids")) unfold(name.closest(".branch"), true);
    }
  }

  function markStrip(section) {
    for (const thumb of document.querySelectorAll("#strip .th")) {
      const here = thumb.dataset.value === section;
      if (here && !thumb.hasAttribute("aria-current")) {
        const strip = explorer.byId("strip");
        strip.scrollTo({ left: thumb.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + 37 });
      }
      if (here) thumb.setAttribute("aria-current", "true");
      else thumb.removeAttribute("aria-current");
    }
  }

  function markChoices(view) {
    for (const choice of document.querySelectorAll('[data-act="palette"]')) {
      const here = choice.dataset.value === view.palette;
      put(choice, "aria-checked", here);
      choice.classList.toggle("on", here);
    }
    for (const lock of document.querySelectorAll('[data-act="lock"]')) put(lock, "aria-pressed", view.lock);
    for (const fade of document.querySelectorAll('[data-act="fade"]')) put(fade, "aria-pressed", view.fade);
    const kind = view.layer.split(":")[0];
    const rail = kind === "label" ? (/^label:(region|domain|layer|area)$/.test(view.layer) ? "place" : "type") : kind === "measured" || kind === "imputed" ? "gene" : "";
    document.querySelectorAll('[data-act="rail"]').forEach((b) => b.classList.toggle("on", b.dataset.value === rail));
    const annotating = view.panel === "annotate";
    explorer.byId("see").hidden = annotating;
    explorer.byId("annotate").hidden = !annotating;
    const app = explorer.byId("app");
    if (annotating && !app.classList.contains("wide")) explorer.sheet("right", true);
    app.classList.toggle("wide", annotating);
    document.body.classList.toggle("query", explorer.isQuery(view.section));
  }

  explorer.mark = function () {
    const view = explorer.view;
    if (!view || !explorer.byId("app")) return;
    const only = new Set(view.only);
    markLegend(only);
    markTree(only, view.layer);
    markStrip(view.section);
    explorer.markThumbs(view);
    explorer.markRange();
    explorer.markLayout();
    markChoices(view);
    explorer.markTool(view);
    explorer.thin();
  };

  function unfold(branch, open) {
    branch.classList.toggle("open", open);
    if (branch.dataset.list) explorer.folded(branch.dataset.list, branch.dataset.name, open);
    if (branch.hasAttribute("role")) branch.setAttribute("aria-expanded", open);
    const button = branch.querySelector('[data-act="fold"]');
    if (button && button.hasAttribute("aria-expanded")) button.setAttribute("aria-expanded", open);
  }

  // -- what rows and buttons do to the view -------------------------------------------------------

  const numeric = () => (explorer.view.lock ? {} : { lo: null, hi: null });
  function toLayer(layer, only) {
    const recent = /^(measured|imputed):/.test(layer)
      ? [layer, ...explorer.view.recent.filter((r) => r.split(":")[1] !== layer.split(":")[1])].slice(0, RECENT)
      : explorer.view.recent;
    explorer.set({ layer, only: only || [], lo: null, hi: null, least: null, recent });
  }
  explorer.toLayer = toLayer;
  // Another section of the same result keeps its layer and the tool that is open.
  function besides(section) {
    const { section: here, layer, lo, hi, lock, tool, using } = explorer.view;
    const same = explorer.isQuery(here) && explorer.jobOf(here) === explorer.jobOf(section);
    return explorer.query({ ...DEFAULTS, section, ...(same ? { layer, lo, hi, lock, tool, using } : {}) });
  }
  explorer.open = function (section) {
    if (explorer.isQuery(section)) return explorer.go(besides(section));
    if (explorer.isQuery(explorer.view.section)) return explorer.go(section === "atlas" ? "?" : `?section=${section}`);
    return explorer.set({ section, at: null, ...numeric() });
  };
  explorer.step = function (by) {
    const list = explorer.atlas.sections;
    const here = list.findIndex((s) => s.id === explorer.view.section);
    const next = here < 0 ? (by > 0 ? 0 : list.length - 1) : (here + by + list.length) % list.length;
    if (list.length) explorer.open(list[next].id);
  };

  function toggle(codes, add) {
    const only = new Set(explorer.view.only);
    const all = codes.every((c) => only.has(c));
    if (add) codes.forEach((c) => (all ? only.delete(c) : only.add(c)));
    else if (all && only.size === codes.length) only.clear();
    else { only.clear(); codes.forEach((c) => only.add(c)); }
    explorer.set({ only: [...only] });
  }

  function check(codes, layer) {
    const leaves = new Set();
    document.querySelectorAll('#tree [data-act="check"]').forEach((b) => codesOf(b).forEach((c) => leaves.add(c)));
    const here = explorer.view.layer === layer && explorer.view.only.length;
    const only = new Set(here ? explorer.view.only : leaves);
    const all = codes.every((c) => only.has(c));
    codes.forEach((c) => (all ? only.delete(c) : only.add(c)));
    const shown = only.size === leaves.size || only.size === 0 ? [] : [...only];
    if (explorer.view.layer === layer) explorer.set({ only: shown });
    else toLayer(layer, shown);
  }

  Object.assign(explorer.acts, {
    layer: (value) => toLayer(value),
    open: (value) => explorer.open(value),
    step: (value) => explorer.step(Number(value)),
    isolate: (value, event, element) => toggle(codesOf(element), event.shiftKey),
    check: (value, event, element) => check(codesOf(element), element.dataset.layer),
    alone: (value, event, element) => {
      if (explorer.view.layer === element.dataset.layer) toggle(codesOf(element), event.shiftKey);
      else toLayer(element.dataset.layer, codesOf(element));
    },
    "show-all": (value) => (explorer.view.layer === value ? explorer.set({ only: [] }) : toLayer(value)),
    gene: (value) => (value ? toLayer(value) : explorer.focusSearch()),
    sort: (value) => explorer.set({ sort: value }),
    palette: (value) => explorer.set({ palette: value }),
    lock: () => explorer.set({ lock: !explorer.view.lock }),
    fade: () => explorer.set({ fade: !explorer.view.fade }),
    annotate: () => explorer.set({ panel: "annotate" }),
    see: () => explorer.set({ panel: "see" }),
    undo: () => history.state && history.state.step > 0 && history.back(),
    redo: () => history.forward(),
    fold: (value, event, element) => {
      const branch = element.closest(".branch, .lgroup");
      unfold(branch, !branch.classList.contains("open"));
    },
  });

  function perform(element, event) {
    if (!element || element.disabled) return;
    const act = explorer.acts[element.dataset.act];
    if (act) act(element.dataset.value || "", event, element);
  }
  document.addEventListener("click", (event) => perform(event.target.closest("[data-act]"), event));

  // A button that is drawn anew between press and release, as in a card of progress, is the same
  // button to the person who presses it; the browser makes no click of it.
  let pressed = null;
  document.addEventListener("pointerdown", (event) => { pressed = event.target.closest("[data-act]"); });
  document.addEventListener("pointerup", (event) => {
    const [before, now] = [pressed, event.target.closest && event.target.closest("[data-act]")];
    pressed = null;
    if (!before || before.isConnected || !now) return;
    if (isSame(before, now)) perform(now, event);
  });
  const isSame = (a, b) => ["act", "value"].every((name) => a.dataset[name] === b.dataset[name]);

  // Likewise for who goes by keys: the focus moves on to the button that took its place.
  let focused = null;
  document.addEventListener("focusin", (event) => { focused = event.target.closest("[data-act]"); });
  new MutationObserver(() => {
    if (!focused || focused.isConnected || document.activeElement !== document.body) return;
    const before = focused;
    focused = null;
    const now = [...document.querySelectorAll("[data-act]")].find((each) => isSame(before, each) && each.offsetParent);
    if (now) now.focus({ preventScroll: true });
  }).observe(document.documentElement, { childList: true, subtree: true });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.state = {
    split,
    arrive: () => ({ search: location.search, visits: 0 }),
    mark: () => {
      requestAnimationFrame(explorer.mark);
      return window.dash_clientside.no_update;
    },
  };
})();
