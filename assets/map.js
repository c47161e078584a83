// The map: two planes of tiles, painted by two layers in turn so that nothing blanks.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
  const WORLD = 256; // units of the flat plane at zoom 0
  const FADE = 200; // ms for which the old picture stays below the new one
  const maps = (explorer.maps = { atlas: null, query: null });
  const byId = (id) => document.getElementById(id);
  const hush = () => window.dash_clientside.no_update;
  let plane = null; // what the server last said of the scene

  explorer.plane = () => plane;
  const isQuery = () => Boolean(plane) && plane.plane !== "atlas";
  const main = () => (isQuery() ? maps.query : maps.atlas);
  const worldOf = (map) => (map === maps.query ? plane.world : explorer.atlas.world);

  // -- coordinates -------------------------------------------------------------------------------

  const latLng = (x, y, world) => L.latLng((-WORLD * y) / world, (WORLD * x) / world);
  const um = (at, world) => [(at.lng * world) / WORLD, (-at.lat * world) / WORLD];
  const rectangle = (b, world) => L.latLngBounds(latLng(b[0], b[3], world), latLng(b[2], b[1], world));
  const umPerPixel = (map) => worldOf(map) / WORLD / Math.pow(2, map.getZoom());
  explorer.umPerPixel = () => umPerPixel(main());
  explorer.toPlane = (at) => um(at, worldOf(main()));
  explorer.mainMap = main;

  function boundsOf(section) {
    if (plane && plane.section === section) return plane.bounds;
    const known = explorer.atlas.sections.find((s) => s.id === section);
    return known ? known.bounds : null;
  }

  // -- painting: A and B take turns ----------------------------------------------------------------

  // Weights have a middle; the palette a person chooses is for values from low to high.
  const isShare = (view) => view.layer.startsWith("weight:") && view.palette === "ink";
  explorer.palette = (view) => `${isShare(view) ? "div" : view.palette}-${explorer.theme()}`;

  const isCurrent = (view) => plane && plane.asked === view.layer && plane.section === view.section;

  // Isolated classes in the codes of a section: an upload numbers its classes in its own way.
  explorer.codesIn = function (section) {
    const only = explorer.view.only;
    if (!isQuery() || explorer.isQuery(section)) return only;
    return only.map((c) => plane.codes[c]).filter((c) => c >= 0);
  };

  function styleOf(view, section) {
    const query = new URLSearchParams({ palette: explorer.palette(view) });
    if (plane.kind === "label") {
      const only = explorer.codesIn(section);
      if (only.length) query.set("only", only.join(","));
      if (view.least !== null && (!isQuery() || explorer.isQuery(section))) query.set("least", view.least);
    } else if (plane.span) {
      query.set("lo", view.lo === null ? plane.span[0] : view.lo);
      query.set("hi", view.hi === null ? plane.span[1] : view.hi);
      if (view.fade && plane.kind === "imputed") query.set("fade", 1);
    }
    return query;
  }
  const tiles = (section, layer) => `/tiles/${encodeURIComponent(section)}/${encodeURIComponent(layer).replace("%3A", ":")}`;
  const pathOf = (section) => tiles(section, plane.layer);

  function tileUrl(view, name) {
    if (!isCurrent(view)) return null;
    if (!plane.drawn || (name === "atlas" && plane.lone)) return BLANK;
    // Tiles are those of the plane, which places are told on, not of the section alone.
    const section = name === "atlas" ? "atlas" : `query-${explorer.jobOf(plane.plane)}.all`;
    // What only the section on the other side has is shown beside the tissue of the atlas.
    const other = name === "atlas" && isQuery() && plane.beside !== plane.layer;
    const query = other ? new URLSearchParams({ palette: `grey-${explorer.theme()}` }) : styleOf(view, section);
    if (window.devicePixelRatio > 1.3) query.set("size", 512);
    query.set("v", name === "atlas" ? plane.atlas_edition : plane.edition);
    return `${tiles(section, other ? plane.beside : plane.layer)}/{z}/{x}/{y}.png?${query}`;
  }

  // The same scene on another plane of the same cells; null while the server has not said of it.
  explorer.layoutUrl = function (name) {
    const view = explorer.view;
    if (!isCurrent(view) || isQuery()) return null;
    if (!plane.ok) return "";
    const own = view.section === "atlas" ? "" : `@${view.section}`;
    const query = styleOf(view, "atlas");
    query.set("size", 512);
    query.set("v", plane.atlas_edition);
    return `${pathOf(`layout:${name}${own}`)}/0/0/0.png?${query}`;
  };

  function painter(name, ids) {
    const turn = { front: 0, urls: [BLANK, BLANK], loads: [0, 0], pending: false, timer: 0 };
    const drawn = () => [0, 1].flatMap((k) => [
      turn.urls[k], k === turn.front ? 1 : 2, k === turn.front || !turn.pending ? 1 : 0,
    ]);
    const rest = () => { turn.urls[1 - turn.front] = BLANK; explorer.props(ids[1 - turn.front], { url: BLANK }); };
    return function (view, shown, loadsA, loadsB) {
      if (!view || !shown) return Array(6).fill(hush());
      plane = shown;
      explorer.markRange();
      const loads = [loadsA || 0, loadsB || 0];
      const back = 1 - turn.front;
      if (turn.pending && loads[back] !== turn.loads[back]) {
        // The new picture is complete: it comes to the front, the old one rests after the fade.
        turn.pending = false;
        turn.front = back;
        turn.timer = setTimeout(rest, FADE);
        turn.loads = loads;
        return [0, 1].flatMap((k) => [turn.urls[k], k === turn.front ? 2 : 1, 1]);
      }
      turn.loads = loads;
      if (name === "query" && !isQuery()) return Array(6).fill(hush());
      const url = tileUrl(explorer.view || view, name);
      const target = turn.pending ? turn.urls[back] : turn.urls[turn.front];
      if (url === null || url === target) return Array(6).fill(hush());
      clearTimeout(turn.timer);
      if (url === turn.urls[turn.front]) { turn.pending = false; rest(); return Array(6).fill(hush()); }
      turn.urls[back] = url;
      turn.pending = true;
      return drawn();
    };
  }

  // -- placing: the view says where, the map goes there ----------------------------------------------

  let placed = "";
  let home = ""; // the plane that was placed last
  let fitted = false; // whether the section was fitted and not moved since
  function fitOptions(map) {
    const wide = map.getSize().x > 520;
    const left = wide && !isQuery() ? 72 : 24;
    const top = isQuery() ? 44 : 24;
    return { paddingTopLeft: [left, top], paddingBottomRight: [24, isQuery() ? 44 : 28] };
  }
  // Wheel and buttons go by whole levels, whose tiles are drawn pixel by pixel; a fit goes between.
  function freely(map, act) {
    const snap = map.options.zoomSnap;
    map.options.zoomSnap = 0;
    act();
    map.options.zoomSnap = snap;
  }
  const goTo = (map, at, zoom) => freely(map, () => map.setView(at, zoom, { animate: false }));
  function fit(map, bounds, world) {
    freely(map, () => map.fitBounds(rectangle(bounds, world), { ...fitOptions(map), animate: false }));
  }
  const LOOSE = 0.8; // levels that one may zoom out of all there is
  const LOWEST = -4;
  function hold(map) {
    const all = map === maps.query ? [plane.bounds] : explorer.atlas.sections.map((s) => s.bounds);
    const frame = L.latLngBounds(all.map((b) => rectangle(b, worldOf(map))).flatMap((r) => [r.getSouthWest(), r.getNorthEast()]));
    if (!frame.isValid()) return;
    map.setMaxBounds(frame.pad(1));
    freely(map, () => map.setMinZoom(map.getBoundsZoom(frame) - LOOSE));
  }

  function place(shown, view) {
    if (!shown || !view || !explorer.view) return hush();
    const now = explorer.view;
    if (shown.section === now.section) plane = shown;
    const ready = plane && (plane.section === now.section || !explorer.isQuery(now.section) && !isQuery());
    if (!ready) return hush();
    document.body.classList.toggle("lone", plane.lone);
    explorer.markLayout();
    requestAnimationFrame(() => settle(now));
    return !isQuery();
  }

  let settling = false; // the map moves because the view says so, not by hand
  function settle(view) {
    settling = true;
    goThere(view);
    settling = false;
  }
  function goThere(view) {
    const map = main();
    if (!map || !boundsOf(view.section)) return;
    for (const each of Object.values(maps)) if (each) each.invalidateSize({ animate: false, pan: false });
    if (!map.getSize().x || !map.getSize().y) return; // not on screen yet: its size will be reported
    const key = `${view.section}|${JSON.stringify(view.at)}|${plane.plane}`;
    if (key === placed) return;
    placed = key;
    home = plane.plane;
    const world = worldOf(map);
    fitted = view.at === null;
    map.options.minZoom = LOWEST; // that of a larger map must not keep a smaller one from fitting
    if (fitted) fit(map, boundsOf(view.section), world);
    else goTo(map, latLng(view.at[0], view.at[1], world), view.at[2]);
    hold(map);
    moved(map);
    if (isQuery()) follow(maps.query, maps.atlas);
  }

  // Two panes, one physical scale: the other map keeps the same micrometres per pixel. An upload
  // whose unit is not known is taken to be as large as the section beside it.
  let following = false;
  function follow(from, to) {
    if (following || !isQuery() || !from || !to) return;
    following = true;
    const near = plane.near ? boundsOf(plane.near) : [0, 0, explorer.atlas.world, explorer.atlas.world];
    const centre = (b) => [(b[0] + b[2]) / 2, (b[1] + b[3]) / 2];
    const [q, a] = [centre(plane.bounds), centre(near)];
    const [source, target] = from === maps.query ? [q, a] : [a, q];
    const at = um(from.getCenter(), worldOf(from));
    const side = (b) => Math.max(b[2] - b[0], b[3] - b[1], 1e-9);
    const size = plane.unit === "um" || !plane.near ? 1 : side(near) / side(plane.bounds);
    const k = from === maps.query ? size : 1 / size;
    const zoom = from.getZoom() + Math.log2(worldOf(to) / worldOf(from) / k);
    goTo(to, latLng((at[0] - source[0]) * k + target[0], (at[1] - source[1]) * k + target[1], worldOf(to)), zoom);
    following = false;
  }

  // -- after a move: the link, the screen, the scale bar, the section one is in -----------------------

  let byHand = false;
  let screenTimer = 0;
  function moved(map) {
    // A map that was not yet sent to where the view says has nothing to tell of it.
    if (map !== main() || !explorer.view || !plane || home !== plane.plane) return;
    if (explorer.view.at === null && !settling) return;
    const [x, y] = um(map.getCenter(), worldOf(map));
    const at = [x, y, map.getZoom()].map((v) => Number(v.toPrecision(7)));
    const patch = { at };
    if (byHand) fitted = false;
    const arrived = byHand && !isQuery() ? arrivedIn(map) : null;
    byHand = false;
    if (arrived && arrived !== explorer.view.section) {
      patch.section = arrived;
      if (!explorer.view.lock) Object.assign(patch, { lo: null, hi: null });
    }
    placed = `${patch.section || explorer.view.section}|${JSON.stringify(at)}|${plane.plane}`;
    explorer.set(patch);
    drawScale(map);
    thin();
    byId("position").textContent = explorer.view.section === "atlas" ? "scroll in to open a section" : "";
    clearTimeout(screenTimer);
    screenTimer = setTimeout(() => explorer.props("screen", { data: screenOf(map) }), 200);
  }

  function screenOf(map) {
    const section = explorer.view.section;
    const world = worldOf(map);
    const seen = map.getBounds();
    const view = [...um(seen.getNorthWest(), world), ...um(seen.getSouthEast(), world)];
    const b = boundsOf(section);
    const all = b && view[0] <= b[0] && view[1] <= b[1] && view[2] >= b[2] && view[3] >= b[3];
    return { section, bounds: all ? null : view.map((v) => Math.round(v)) };
  }

  // Zooming out of a section arrives on all sections; zooming in opens the one in the middle.
  function arrivedIn(map) {
    const world = explorer.atlas.world;
    const centre = um(map.getCenter(), world);
    const holds = (b) => b[0] <= centre[0] && centre[0] <= b[2] && b[1] <= centre[1] && centre[1] <= b[3];
    const fits = (b) => map.getBoundsZoom(rectangle(b, world));
    const section = explorer.view.section;
    const here = section === "atlas" ? null : boundsOf(section);
    if (here && map.getZoom() < fits(here) - 0.9) return "atlas";
    if (here && holds(here)) return section;
    const under = explorer.atlas.sections.find((s) => holds(s.bounds));
    return under && map.getZoom() > fits(under.bounds) - 0.35 ? under.id : section;
  }

  const STEPS = [1, 2, 5];
  function drawScale(map) {
    const per = umPerPixel(map);
    const most = 110 * per;
    const tens = Math.pow(10, Math.floor(Math.log10(most)));
    const length = Math.max(...STEPS.map((s) => s * tens).filter((s) => s <= most));
    const unit = plane && plane.unit !== "um" ? plane.unit : "µm";
    byId("scale-word").textContent = length >= 1000 && unit === "µm" ? `${length / 1000} mm` : `${length} ${unit}`;
    byId("scale-bar").style.width = `${length / per}px`;
  }

  // -- names: largest first, those that collide are dropped -------------------------------------------

  const NARROW = 48; // pixels
  function thin() {
    const box = byId("map-atlas");
    if (!box) return;
    const edge = byId("map").getBoundingClientRect();
    const taken = [];
    const only = explorer.view && plane && plane.named === plane.layer ? explorer.view.only : [];
    for (const name of box.querySelectorAll(".lab")) {
      const code = Number(name.dataset.code);
      // A section's title is no wider than the section, so that it names nothing else.
      if (name.dataset.um) name.style.maxWidth = `${Math.max(40, Number(name.dataset.um) / umPerPixel(maps.atlas))}px`;
      // Small sections go by the name of their data set, until they are wide enough for their own.
      if (name.dataset.each) {
        const narrow = Number(name.dataset.each) / umPerPixel(maps.atlas) < NARROW;
        if (narrow !== name.classList.contains("group")) { name.style.visibility = "hidden"; continue; }
      }
      if (only.length && code >= 0 && !only.includes(code)) { name.style.visibility = "hidden"; continue; }
      const r = name.getBoundingClientRect();
      const off = r.left < edge.left + 4 || r.right > edge.right - 4 || r.top < edge.top + 4 || r.bottom > edge.bottom - 4;
      const hit = off || taken.some((t) => r.left < t.right + 6 && r.right > t.left - 6 && r.top < t.bottom + 3 && r.bottom > t.top - 3);
      name.style.visibility = hit ? "hidden" : "visible";
      if (!hit) taken.push(r);
    }
  }
  explorer.thin = thin;

  // -- wiring a Leaflet map ---------------------------------------------------------------------------

  function wire(map) {
    const id = map.getContainer().id;
    const name = id === "map-query" ? "query" : id === "map-atlas" ? "atlas" : null;
    if (!name || maps[name] === map) return;
    maps[name] = map;
    const box = map.getContainer();
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", name === "query" ? "Your section" : "Atlas; arrow keys pan, plus and minus zoom");
    map.on("zoomstart dragstart", () => { if (!following && !settling) byHand = true; });
    map.on("moveend", () => { if (!following && !settling) moved(map); });
    map.on("move", () => { if (!following) follow(map, map === maps.query ? maps.atlas : maps.query); });
    map.on("zoomend viewreset", thin);
    // Between whole levels tiles are scaled: they overlap by a hair, so that no seam shows.
    map.on("zoomend moveend", () => box.classList.toggle("between", map.getZoom() % 1 !== 0));
    explorer.wirePointer(map);
    sizes.observe(box);
    if (explorer.view && plane) requestAnimationFrame(() => settle(explorer.view));
  }
  if (window.L) L.Map.addInitHook(function () { setTimeout(() => wire(this), 0); });

  function resized() {
    for (const map of Object.values(maps)) if (map) map.invalidateSize({ animate: false, pan: true });
    if (!plane || !main()) return;
    if (fitted) { placed = ""; settle({ ...explorer.view, at: null }); } else settle(explorer.view);
    drawScale(main());
    thin();
  }
  const sizes = new ResizeObserver(resized);

  // -- tools ------------------------------------------------------------------------------------------

  Object.assign(explorer.acts, {
    "zoom-in": () => main() && main().zoomIn(),
    "zoom-out": () => main() && main().zoomOut(),
    fit: () => { placed = "refit"; explorer.set({ at: null }); if (main()) settle({ ...explorer.view, at: null }); },
  });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.map = {
    paint_atlas: painter("atlas", ["tiles-a", "tiles-b"]),
    paint_query: painter("query", ["query-a", "query-b"]),
    place,
    thin_names: () => { setTimeout(thin, 30); return hush(); },
    show_card: (children, hover) => explorer.showCard(children, hover),
  };
})();
