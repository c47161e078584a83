// The strip of sections: a picture is asked for when it comes into sight.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  const load = (thumb) => {
    const picture = thumb.querySelector("img[data-src]");
    if (picture && picture.getAttribute("src") !== picture.dataset.src) picture.src = picture.dataset.src;
  };
  const sight = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) load(target);
  }, { rootMargin: "0px 200px" });

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
