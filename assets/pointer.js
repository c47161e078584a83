// The pointer: position, the cell under it after a short rest, pinning, the lasso.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const REST = 80; // ms without a move before a cell is asked for
  const REACH = 8; // pixels around the pointer in which a cell is found
  const byId = (id) => document.getElementById(id);
  const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
  let timer = 0;
  let pinned = false;
  let tool = "pan";

  explorer.wirePointer = function (map) {
    const isMain = () => map === explorer.mainMap();
    map.on("mousemove", (event) => {
      if (!isMain() || !explorer.plane()) return;
      const [x, y] = explorer.toPlane(event.latlng);
      position(x, y);
      if (tool === "lasso" || pinned) return;
      clearTimeout(timer);
      timer = setTimeout(() => ask(x, y, false), REST);
    });
    map.on("mouseout", () => {
      clearTimeout(timer);
      if (!pinned) timer = setTimeout(() => forget(), 120);
    });
    map.on("movestart zoomstart", () => { clearTimeout(timer); if (!pinned) forget(); });
    map.on("move zoomend", () => mark());
    map.on("click", (event) => {
      if (!isMain() || tool === "lasso" || !explorer.plane()) return;
      const cells = explorer.view.section !== "atlas";
      clearTimeout(timer); // a rest just before the click must not undo the pin
      pinned = cells;
      ask(...explorer.toPlane(event.latlng), cells);
    });
    map.on("dblclick", (event) => {
      const [x, y] = explorer.toPlane(event.latlng);
      const under = explorer.atlas.sections.find((s) => s.bounds[0] <= x && x <= s.bounds[2] && s.bounds[1] <= y && y <= s.bounds[3]);
      if (explorer.view.section === "atlas" && under) explorer.open(under.id);
      else map.setZoomAround(event.latlng, map.getZoom() + 1);
    });
    wireLasso(map);
  };

  function position(x, y) {
    const plane = explorer.plane();
    const box = byId("position");
    const b = plane.bounds;
    if (explorer.view.section === "atlas") { box.textContent = "scroll in to open a section"; return; }
    if (x < b[0] || x > b[2] || y < b[1] || y > b[3]) { box.textContent = ""; return; }
    const unit = plane.unit === "um" ? "µm" : plane.unit;
    box.textContent = `x ${number.format(x + plane.offset[0])} ${unit}, y ${number.format(y + plane.offset[1])} ${unit}`;
  }

  function ask(x, y, pin) {
    const plane = explorer.plane();
    explorer.props("hover", {
      data: {
        plane: plane.plane, x, y, radius: REACH * explorer.umPerPixel(), layer: plane.layer,
        pinned: pin, cells: explorer.view.section !== "atlas",
      },
    });
  }

  // Pin the card of a cell of the open section, by its coordinates there.
  explorer.pinCell = function (x, y) {
    const plane = explorer.plane();
    pinned = true;
    ask(x - plane.offset[0], y - plane.offset[1], true);
  };

  function forget() { explorer.props("hover", { data: null }); }
  explorer.unpin = function () {
    const was = pinned;
    pinned = false;
    if (was) forget();
    return was;
  };
  explorer.acts.unpin = () => explorer.unpin();

  // -- ring, frame and card ----------------------------------------------------------------------------

  let shown = null; // place of what the card is about, micrometres of the plane
  function pixel(x, y) {
    const map = explorer.mainMap();
    const world = explorer.plane().plane === "atlas" ? explorer.atlas.world : explorer.plane().world;
    const at = map.latLngToContainerPoint(L.latLng((-256 * y) / world, (256 * x) / world));
    const box = map.getContainer().getBoundingClientRect();
    const edge = byId("map").getBoundingClientRect();
    return [at.x + box.left - edge.left, at.y + box.top - edge.top];
  }

  function mark() {
    const ring = byId("ring");
    const frame = byId("frame");
    if (!ring || !frame) return;
    ring.hidden = !(shown && shown.length === 2);
    frame.hidden = !(shown && shown.length === 4);
    if (!shown) return;
    const [x, y] = pixel(shown[0], shown[1]);
    if (shown.length === 2) Object.assign(ring.style, { left: `${x}px`, top: `${y}px` });
    else {
      const [right, bottom] = pixel(shown[2], shown[3]);
      Object.assign(frame.style, { left: `${x - 3}px`, top: `${y - 3}px`, width: `${right - x + 6}px`, height: `${bottom - y + 6}px` });
    }
  }

  // The card stands beside the cell, never on it; a pinned one goes to the corner.
  function stand(card) {
    const edge = byId("map").getBoundingClientRect();
    const [x, y] = pixel(shown[0], shown[1]);
    const right = shown.length === 4 ? pixel(shown[2], shown[3])[0] : x;
    card.style.visibility = "hidden";
    card.hidden = false;
    const { width, height } = card.getBoundingClientRect();
    let left = right + 20;
    if (left + width > edge.width - 12) left = x - width - 20;
    if (left < 60) left = Math.max(60, Math.min(edge.width - width - 12, right + 20));
    let top = Math.min(Math.max(12, y - 24), Math.max(12, edge.height - height - 40));
    if (pinned) { left = edge.width - width - 16; top = 16; if (x > left - 20 && y < height + 36) left = 64; }
    Object.assign(card.style, { left: `${left}px`, top: `${top}px`, visibility: "visible" });
  }

  explorer.showCard = function (children, hover) {
    const card = byId("card");
    requestAnimationFrame(() => {
      const told = card.querySelector("[data-place]");
      shown = hover && told ? told.dataset.place.split(",").map(Number) : null;
      if (!shown) pinned = false;
      card.classList.toggle("pinned", pinned);
      mark();
      if (shown) stand(card);
      lightLegend(told ? told.dataset.name : "");
    });
    return !(hover && children);
  };

  function lightLegend(name) {
    document.querySelectorAll(".lg.lit").forEach((row) => row.classList.remove("lit"));
    if (!name) return;
    for (const row of document.querySelectorAll('[data-act="isolate"]')) {
      if (row.dataset.name === name && !row.classList.contains("p")) row.classList.add("lit");
    }
  }

  // -- the lasso ----------------------------------------------------------------------------------------

  let outline = null;
  let corners = null;
  function choose(name) {
    tool = name;
    for (const each of ["pan", "lasso"]) {
      const button = byId(`tool-${each}`);
      button.classList.toggle("on", each === name);
      button.setAttribute("aria-pressed", each === name);
    }
    byId("map").classList.toggle("drawing", name === "lasso");
    for (const map of Object.values(explorer.maps)) if (map) map.dragging[name === "lasso" ? "disable" : "enable"]();
  }
  function clear() {
    if (outline) outline.remove();
    outline = null;
    explorer.props("lasso", { data: null });
  }
  explorer.stopLasso = function () {
    const was = tool === "lasso" || outline !== null;
    if (was) { clear(); choose("pan"); }
    return was;
  };
  explorer.acts.pan = () => choose("pan");
  explorer.acts["lasso-clear"] = () => clear();
  explorer.acts.lasso = function () {
    if (explorer.view.section === "atlas") return explorer.toast("Open a section first: a lasso counts cells of one section");
    if (explorer.view.panel === "annotate") explorer.set({ panel: "see" });
    return choose(tool === "lasso" ? "pan" : "lasso");
  };

  function wireLasso(map) {
    map.on("mousedown", (event) => {
      if (tool !== "lasso" || map !== explorer.mainMap()) return;
      clear();
      corners = [event.latlng];
      const colour = getComputedStyle(document.documentElement).getPropertyValue("--text");
      outline = L.polygon(corners, { color: colour, weight: 2, fill: true, fillOpacity: 0.06, interactive: false }).addTo(map);
    });
    map.on("mousemove", (event) => {
      if (!corners || map !== explorer.mainMap()) return;
      corners.push(event.latlng);
      outline.setLatLngs(corners);
    });
    map.on("mouseup", () => {
      if (!corners) return;
      const plane = explorer.plane();
      const polygon = corners.map((at) => {
        const [x, y] = explorer.toPlane(at);
        return [x + plane.offset[0], y + plane.offset[1]];
      });
      corners = null;
      setTimeout(() => choose("pan"), 0);
      if (polygon.length > 2) explorer.props("lasso", { data: { section: explorer.view.section, polygon } });
    });
  }
})();
