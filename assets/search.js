// The search box: its list opens while typing; arrows move, Enter chooses, Escape closes.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const box = () => document.getElementById("search");
  const list = () => document.getElementById("results");
  const hits = () => [...list().querySelectorAll(".hit")];

  explorer.focusSearch = function () { box().focus(); box().select(); };
  function close(clear) {
    list().hidden = true;
    box().closest(".search").classList.remove("on");
    if (clear) fill("");
    box().blur();
  }

  // The box belongs to the person who types: what is asked goes through a store, so that no
  // answer ever writes into the box again.
  const PAUSE = 120; // ms without a key
  let asking = 0;
  function ask(pause) {
    clearTimeout(asking);
    asking = setTimeout(() => explorer.props("typed", { data: box().value }), pause);
  }
  function fill(text) { box().value = text; ask(0); }
  explorer.closeSearch = function () {
    const open = !list().hidden || document.activeElement === box();
    if (open) close(false);
    return open;
  };

  function choose(index) {
    const rows = hits();
    rows.forEach((row, k) => {
      row.classList.toggle("sel", k === index);
      row.setAttribute("aria-selected", k === index);
    });
    if (rows[index]) rows[index].scrollIntoView({ block: "nearest" });
  }

  let eager = false; // Enter was pressed before the answer was there
  function isAnswered() {
    const mark = list().querySelector("[data-query]");
    return Boolean(mark) && mark.dataset.query === box().value.trim();
  }
  function take() {
    const rows = hits();
    const row = rows.find((r) => r.classList.contains("sel")) || rows[0];
    eager = false;
    if (row) row.click();
  }

  function show() {
    const some = list().childElementCount > 0 && box().value.trim() !== "";
    list().hidden = !some || document.activeElement !== box();
    box().closest(".search").classList.toggle("on", document.activeElement === box());
    if (some) choose(hits().findIndex((row) => !row.classList.contains("btn")));
    if (some && eager && isAnswered()) take();
  }

  function field() {
    const input = Object.assign(document.createElement("input"), {
      id: "search", type: "text", autocomplete: "off", spellcheck: false, className: "searchfield",
      placeholder: "Gene, cell type or region",
    });
    document.getElementById("search-place").append(input);
  }

  function wire() {
    if (!list() || !document.getElementById("search-place")) return setTimeout(wire, 100);
    if (!box()) field();
    new MutationObserver(show).observe(list(), { childList: true });
    box().setAttribute("role", "combobox");
    box().setAttribute("aria-controls", "results");
    box().setAttribute("aria-label", "Gene, cell type or region");
    return undefined;
  }
  document.addEventListener("input", (event) => { if (event.target === box()) ask(PAUSE); });
  document.addEventListener("focusin", (event) => { if (event.target === box()) show(); });
  document.addEventListener("mousedown", (event) => {
    if (list() && !list().hidden && !event.target.closest(".search")) close(false);
  });

  document.addEventListener("keydown", (event) => {
    if (event.target !== box()) return;
    const rows = hits();
    const here = rows.findIndex((row) => row.classList.contains("sel"));
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const by = event.key === "ArrowDown" ? 1 : -1;
      if (rows.length) choose((here + by + rows.length) % rows.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (isAnswered() && !list().hidden) take();
      else eager = box().value.trim() !== "";
    } else {
      eager = false;
    }
  });

  explorer.acts["focus-search"] = () => explorer.focusSearch();
  explorer.acts.retype = (value) => { fill(value); box().focus(); };
  explorer.acts.find = function (value) {
    const [layer, code] = value.split("|");
    explorer.toLayer(layer, [Number(code)]);
    close(true);
  };
  explorer.acts["find-gene"] = function (value) { explorer.toLayer(value); close(true); };
  wire();
})();
