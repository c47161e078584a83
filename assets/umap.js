// The UMAP in the dock: one tile of the layout, in the style of the map. The next picture is drawn
// beside the old one and takes its place when it is there, so that nothing blanks.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  let wanted = "";

  explorer.markLayout = function () {
    const panel = document.getElementById("umap");
    if (!panel || !explorer.view) return;
    const isQuery = explorer.isQuery(explorer.view.section);
    panel.hidden = isQuery;
    const source = isQuery ? null : explorer.layoutUrl(panel.dataset.layout);
    if (source === null || source === wanted) return;
    wanted = source;
    say(panel);
    if (!source) { panel.querySelector(".umapbox").replaceChildren(); return; }
    const picture = new Image();
    picture.alt = "";
    picture.draggable = false;
    picture.src = source;
    picture.decode().then(() => {
      if (wanted === source) panel.querySelector(".umapbox").replaceChildren(picture);
    }).catch(() => { if (wanted === source) wanted = ""; });
  };

  function say(panel) {
    const view = explorer.view;
    const known = explorer.atlas.sections.find((s) => s.id === view.section);
    const whose = known ? `cells of ${known.title}, all others in grey` : "all cells";
    const [kind, name] = view.layer.split(":");
    panel.querySelector(".umapbox").setAttribute("aria-label", `UMAP of ${whose}, coloured by ${kind} ${name}`);
    document.getElementById("umap-note").textContent = known ? "this section" : "all cells";
  }

  // A click on a place leads to its cell: the cell on the map, or the section it is in.
  document.addEventListener("click", async (event) => {
    const box = event.target.closest && event.target.closest(".umapbox");
    const picture = box && box.querySelector("img");
    if (!picture) return;
    const r = picture.getBoundingClientRect();
    const side = Math.min(r.width, r.height);
    const at = [(event.clientX - r.left - (r.width - side) / 2) / side, (event.clientY - r.top - (r.height - side) / 2) / side];
    if (at.some((v) => v < 0 || v > 1)) return;
    const view = explorer.view;
    const own = view.section === "atlas" ? "" : `@${view.section}`;
    const query = new URLSearchParams({ section: `layout:${document.getElementById("umap").dataset.layout}${own}`, x: at[0], y: at[1] });
    const reply = await fetch(`/api/pick?${query}`).catch(() => null);
    const found = reply && reply.ok ? await reply.json() : null;
    if (!found || !found.cell) return;
    if (view.section === "atlas") explorer.open(found.section);
    else if (explorer.view.section === found.section) explorer.pinCell(found.cell.x, found.cell.y);
  });
})();
