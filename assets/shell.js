// The shell: theme, folding, menus, toasts, copying, files to take away.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const root = document.documentElement;
  const recall = (key) => { try { return localStorage.getItem(key); } catch (error) { return null; } };
  const keep = (key, value) => { try { localStorage.setItem(key, value); } catch (error) { /* private window */ } };

  // -- theme -----------------------------------------------------------------------------------

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  root.dataset.theme = recall("theme") || (dark.matches ? "dark" : "light");
  explorer.acts.theme = function () {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    keep("theme", root.dataset.theme);
    explorer.retheme();
  };

  // -- toasts and copying ----------------------------------------------------------------------

  let toastTimer = 0;
  explorer.toast = function (text) {
    const box = document.getElementById("status");
    if (!box) return;
    box.textContent = text;
    box.classList.add("on");
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => box.classList.remove("on"), Math.max(2000, 60 * text.length));
  };

  async function copy(text, said) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    explorer.toast(said);
  }
  explorer.copy = copy;

  const link = (search) => location.origin + location.pathname + search;
  explorer.acts["copy-link"] = () => copy(link(explorer.query(explorer.view)), "Link copied");
  explorer.acts.copy = (value) => copy(value, "Id copied");
  explorer.acts["copy-command"] = (value) => copy(value, "Command copied");
  explorer.acts["copy-job"] = function (value) {
    const here = explorer.view.using.startsWith(value) ? explorer.query(explorer.view) : `?panel=annotate&job=${value}`;
    return copy(link(here), "Link to the result copied");
  };

  // -- files -----------------------------------------------------------------------------------

  function address(path, extra) {
    const view = explorer.view;
    const query = new URLSearchParams({ section: view.section, layer: view.layer, ...extra });
    return `${path}?${query}`;
  }
  function figureExtra() {
    const view = explorer.view;
    const extra = { palette: explorer.palette(view) };
    if (view.lo !== null) extra.lo = view.lo;
    if (view.hi !== null) extra.hi = view.hi;
    if (view.only.length) extra.only = view.only.join(",");
    return extra;
  }
  function save(url) {
    const anchor = document.createElement("a");
    anchor.href = url;
    anchor.download = "";
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
  }
  const table = () => address("/api/download", { format: "csv" });
  const result = (job, format) => `/api/results/${job}/download?format=${format}`;
  const PYTHON = (url) => `import pandas as pd\n\ncells = pd.read_csv("${url}", skiprows=${explorer.atlas.simulated ? 2 : 1})\n`;
  const takes = {
    csv: () => save(table()),
    figure: () => save(address("/api/figure.png", figureExtra())),
    h5ad: (job) => save(result(job, "h5ad")),
    mapmycells: (job) => save(result(job, "csv")),
    python: () => copy(PYTHON(location.origin + table()), "Python copied"),
    command: () => copy(`curl -o cells.csv "${location.origin}${table()}"`, "Command copied"),
  };
  explorer.acts.take = function (value) {
    const section = explorer.view.section;
    const needsSection = value !== "figure";
    if (section === "atlas" && needsSection) return explorer.toast("Open a section first: a table is of one section");
    closeMenus();
    return takes[value](explorer.jobOf(section));
  };
  explorer.acts["take-result"] = function (value) {
    const [job, format] = value.split("|");
    save(result(job, format));
  };

  // -- menus, help, folding --------------------------------------------------------------------

  function closeMenus(but) {
    document.querySelectorAll("details.drop[open]").forEach((menu) => { if (menu !== but) menu.open = false; });
  }
  explorer.closeMenus = () => {
    const open = document.querySelector("details.drop[open]");
    closeMenus();
    if (open) open.querySelector("summary").focus();
    return Boolean(open);
  };
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.drop")));

  explorer.acts.help = function () {
    const help = document.getElementById("help");
    if (help.open) help.close();
    else help.showModal();
  };
  explorer.acts.jobs = () => { const card = document.getElementById("jobs-card"); card.hidden = !card.hidden; };
  explorer.acts["jobs-close"] = () => { document.getElementById("jobs-card").hidden = true; };

  explorer.toggleFold = function (side) {
    if (isNarrow() && sheets.includes(side)) { explorer.acts.sheet(side); return; }
    const app = document.getElementById("app");
    app.classList.toggle(`no-${side}`);
    window.dispatchEvent(new Event("resize"));
  };
  // On narrow screens panels are sheets: one at a time, closed by the button that opened it.
  const sheets = ["right", "dock"];
  const isNarrow = () => window.matchMedia("(max-width: 1023px)").matches;
  function sheet(name, open) {
    const app = document.getElementById("app");
    for (const each of sheets) app.classList.toggle(`show-${each}`, each === name && open);
    for (const button of document.querySelectorAll('[data-act="sheet"]')) {
      button.setAttribute("aria-pressed", app.classList.contains(`show-${button.dataset.value}`));
    }
    window.dispatchEvent(new Event("resize"));
  }
  explorer.sheet = sheet;
  explorer.acts.sheet = (value) => sheet(value, !document.getElementById("app").classList.contains(`show-${value}`));

  explorer.acts.rail = function (value) {
    const left = document.getElementById("left");
    left.classList.toggle("over", value !== left.dataset.over || !left.classList.contains("over"));
    left.dataset.over = value;
  };
  document.addEventListener("click", (event) => {
    const left = document.getElementById("left");
    if (left && left.classList.contains("over") && !event.target.closest("#left")) left.classList.remove("over");
  });
})();
