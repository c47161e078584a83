// The strip of sections: a picture is asked for when it comes into sight.
(function () {
  "use strict";
  const sight = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      const picture = target.querySelector("img[data-src]");
      if (isIntersecting && picture && picture.getAttribute("src") !== picture.dataset.src) picture.src = picture.dataset.src;
    }
  }, { rootMargin: "0px 200px" });

  function watch() {
    for (const thumb of document.querySelectorAll("#strip .th")) {
      sight.unobserve(thumb);
      sight.observe(thumb);
    }
  }
  function wire() {
    const strip = document.getElementById("strip");
    if (!strip) return setTimeout(wire, 100);
    new MutationObserver(watch).observe(strip, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-src"] });
    strip.addEventListener("wheel", (event) => {
      if (Math.abs(event.deltaY) > Math.abs(event.deltaX)) strip.scrollLeft += event.deltaY;
    }, { passive: true });
    watch();
    return undefined;
  }
  wire();
})();
