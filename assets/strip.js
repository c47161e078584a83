// The strip of sections: a picture is asked for when it comes into sight.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  let look = ""; // how pictures were asked for last

  // A thumbnail follows palette, theme, isolated classes, and a range that is locked across sections.
  function address(entry) {
    const view = explorer.view;
    const query = new URLSearchParams({ palette: explorer.palette(view) });
    if (entry.layer === view.layer) {
      const only = explorer.codesIn(entry.id);
      if (only.length) query.set("only", only.join(","));
      if (view.lock && view.lo !== null) query.set("lo", view.lo);
      if (view.lock && view.hi !== null) query.set("hi", view.hi);
    }
    query.set("v", entry.edition);
    return `${entry.tile}?${query}`;
  }
  const load = (thumb) => {
    const picture = thumb.querySelector("img");
    if (!picture || !picture.entry || !explorer.view) return;
    const source = address(picture.entry);
    if (picture.getAttribute("src") !== source) picture.src = source;
  };
  const sight = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) load(target);
  }, { rootMargin: "0px 200px" });

  explorer.markThumbs = function (view) {
    const now = [explorer.palette(view), view.only, view.lock && [view.lo, view.hi]].join("|");
    if (now === look) return;
    look = now;
    explorer.watchStrip();
  };
  explorer.watchStrip = function () {
    for (const thumb of document.querySelectorAll("#strip .th")) {
      sight.unobserve(thumb);
      sight.observe(thumb);
    }
  };
  document.addEventListener("wheel", (event) => {
    const strip = event.target.closest && event.target.closest("#strip");
    if (strip && Math.abs(event.deltaY) > Math.abs(event.deltaX)) strip.scrollLeft += event.deltaY;
  }, { passive: true });
})();
