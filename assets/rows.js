// Long lists drawn by the script from data: legend, region tree, table of an upload, section strip.
// Names are text nodes; a row is a button with what it says and does in its attributes.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  const format = new Intl.NumberFormat("en-GB");
  const unfolded = new Map(); // what the reader has folded, by list and name

  function make(tag, className, attributes, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children.filter((c) => c !== null));
    return element;
  }
  const button = (className, attributes, ...children) => make("button", className, { type: "button", ...attributes }, ...children);
  const icon = (name) => make("span", `i i-${name}`, { "aria-hidden": "true" });
  function swatch(colour) {
    const square = make("span", colour ? "sw" : "sw un");
    if (colour) square.style.background = colour;
    return square;
  }
  function bar(share, colour) {
    const fill = make("i");
    fill.style.width = `${(100 * share).toFixed(1)}%`;
    fill.style.background = colour;
    return make("span", "tk", {}, fill);
  }
  function percent(n, total) {
    const share = (100 * n) / Math.max(total, 1);
    return n === 0 ? "0 %" : share < 9.95 ? `${share.toFixed(1)} %` : `${share.toFixed(0)} %`;
  }

  function fold(list, name, open) {
    const key = `${list}:${name}`;
    return unfolded.has(key) ? unfolded.get(key) : open;
  }
  explorer.folded = (list, name, open) => unfolded.set(`${list}:${name}`, open);

  // -- legend ------------------------------------------------------------------------------------

  function legendRow(className, codes, name, colour, cells, data) {
    const said = `${name}, ${format.format(cells)} ${data.noun}${cells === 1 ? "" : "s"}, ${percent(cells, data.total)}`;
    return button(className, {
      title: `${said}. Click isolates, Shift adds`, "aria-label": said, "aria-pressed": "false",
      "data-act": "isolate", "data-value": codes.join(","), "data-name": name,
    }, swatch(colour), make("span", "cut", {}, name), bar(cells / data.most, colour), make("span", "n num", {}, format.format(cells)));
  }

  function legendGroup(group, data) {
    const rows = group.rows.map(([code, name, colour, cells]) => legendRow(group.name ? "lg k" : "lg", [code], name, colour, cells, data));
    if (!group.name) return make("div", "lgroup open", {}, ...rows);
    const open = fold("legend", group.name, group.open);
    return make("div", open ? "lgroup open" : "lgroup", { "data-list": "legend", "data-name": group.name },
      button("fold", { "aria-label": `Unfold ${group.name}`, "aria-expanded": open, "data-act": "fold" }, icon("chev")),
      legendRow("lg p", group.rows.map((r) => r[0]), group.name, group.colour, group.cells, data),
      make("div", "kids", {}, ...rows));
  }

  function legend(data) {
    const parts = data.groups.map((group) => legendGroup(group, data));
    if (data.missing) {
      parts.push(make("div", "row between s t2 plain", { title: "Those that carry no label of this kind" },
        make("span", "row", {}, swatch(null), make("span", "", {}, "Without label")),
        make("span", "num", {}, `${format.format(data.missing)} ${data.noun}s, ${percent(data.missing, data.total)}`)));
    }
    if (data.absent) parts.push(make("div", "xs t3 plain", {}, `${data.absent} ${data.absent === 1 ? "class" : "classes"} not on screen`));
    return parts;
  }

  // -- region tree -------------------------------------------------------------------------------

  function treeRow(className, name, codes, layer, count, chevron) {
    const value = codes.join(",");
    return make("div", className, {}, chevron,
      button("chk", { role: "checkbox", "aria-checked": "true", "aria-label": `Show ${name}`, "data-act": "check", "data-layer": layer, "data-value": value }, icon("check")),
      button("cut grow", { title: `${name}. Click shows it alone`, "data-act": "alone", "data-layer": layer, "data-value": value }, name),
      make("span", "n num", {}, count));
  }

  function treeGroup(group, layer) {
    const leaves = group.rows.map(([code, name, , cells]) => {
      const row = treeRow(group.name ? "tr k" : "tr flat", name, [code], layer, cells ? format.format(cells) : "", null);
      row.setAttribute("role", "treeitem");
      return row;
    });
    if (!group.name) return leaves;
    const open = fold("tree", group.name, false);
    const chevron = button("chev", { "aria-label": `Unfold ${group.name}`, "data-act": "fold" }, icon("chev"));
    const head = treeRow("tr", group.name, group.rows.map((r) => r[0]), layer, String(group.rows.length), chevron);
    return [make("div", open ? "branch open" : "branch", { role: "treeitem", "aria-expanded": open, "data-list": "tree", "data-name": group.name },
      head, make("div", "kids", { role: "group" }, ...leaves))];
  }

  // -- an upload beside the atlas ----------------------------------------------------------------

  function yours(rows) {
    const head = make("div", "xs t3 qgrid qhead", {}, make("span"), make("span", "", {}, "Class"),
      ...["cells", "yours", "atlas"].map((word) => make("span", "r", {}, word)));
    return [head, ...rows.map(([code, name, colour, n, share, atlas]) => button("lg qgrid", {
      "aria-label": `${name}, ${format.format(n)} cells, ${share} of yours, atlas ${atlas}`, title: name,
      "aria-pressed": "false", "data-act": "isolate", "data-value": code, "data-name": name,
    }, swatch(colour), make("span", "cut", {}, name), make("span", "n num", {}, format.format(n)),
    make("span", "n num", {}, share), make("span", "n num t3", {}, atlas)))];
  }

  // -- strip of sections ---------------------------------------------------------------------------

  function thumb(entry) {
    const picture = make("img", "", { alt: "" });
    const [side, left, top] = entry.picture;
    Object.assign(picture.style, { width: `${side}px`, left: `${left}px`, top: `${top}px` });
    const crop = make("span", "crop", {}, picture);
    Object.assign(crop.style, { width: `${entry.box[0]}px`, height: `${entry.box[1]}px` });
    picture.entry = entry;
    return button("th", { title: `${entry.dataset}, ${entry.title}`, "aria-label": `Open ${entry.title}`, "data-act": "open", "data-value": entry.id },
      make("span", "pic", {}, crop), make("span", "cap2 cut", {}, entry.word));
  }

  // The same sections keep their buttons: only the pictures change, and the old ones stay until then.
  function strip(entries, box) {
    const known = [...box.querySelectorAll(".th")];
    if (known.length === entries.length && known.every((t, k) => t.dataset.value === entries[k].id)) {
      known.forEach((t, k) => { t.querySelector("img").entry = entries[k]; });
      return null;
    }
    return entries.flatMap((entry, k) => {
      const apart = k > 0 && entries[k - 1].dataset !== entry.dataset;
      return apart ? [make("span", "rule", { title: entry.dataset }), thumb(entry)] : [thumb(entry)];
    });
  }

  const DRAW = {
    legend: (data) => legend(data),
    tree: (data) => data.groups.flatMap((group) => treeGroup(group, data.layer)),
    yours: (rows) => yours(rows),
    strip: (entries, box) => strip(entries, box),
  };

  function draw(list) {
    for (const [kind, act] of Object.entries(DRAW)) {
      for (const box of list.querySelectorAll(`[data-${kind}]`)) {
        const text = box.dataset[kind];
        if (box.drawn === text) continue;
        box.drawn = text;
        const parts = act(JSON.parse(text), box);
        if (parts) box.replaceChildren(...parts);
      }
    }
    explorer.mark();
    explorer.watchStrip();
  }

  function wire(id) {
    const list = document.getElementById(id);
    if (!list) { setTimeout(() => wire(id), 100); return; }
    const options = { childList: true, subtree: true, attributes: true, attributeFilter: ["data-legend", "data-tree", "data-yours", "data-strip"] };
    const watch = new MutationObserver(() => {
      watch.disconnect();
      draw(list);
      watch.observe(list, options);
    });
    watch.observe(list, options);
    draw(list);
  }
  ["legend", "tree", "strip"].forEach(wire);
})();
