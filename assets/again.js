// A picture that was refused because the server is busy (503) is asked for once more, a little later.
(function () {
  "use strict";
  const asked = new WeakMap(); // address that was asked for again, by picture
  const isTile = (node) => node instanceof HTMLImageElement && new URL(node.src, location.href).pathname.startsWith("/tiles/");

  async function again(picture, address) {
    const reply = await fetch(address);
    const wait = reply.status === 503 ? Number(reply.headers.get("Retry-After")) || 1 : 0;
    if (!wait && !reply.ok) return;
    setTimeout(() => {
      // Meanwhile it may show something else, or be gone.
      if (picture.src === address && picture.isConnected) { picture.removeAttribute("src"); picture.src = address; }
    }, 1000 * wait);
  }

  document.addEventListener("error", (event) => {
    const picture = event.target;
    if (!isTile(picture) || asked.get(picture) === picture.src) return;
    asked.set(picture, picture.src);
    again(picture, picture.src).catch(() => {});
  }, true);
})();
