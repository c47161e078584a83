// Pictures of the tools' plots, saved by a button: take-plot with "<id of the graph>|png" or svg.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  explorer.acts["take-plot"] = function (value) {
    const [id, format] = value.split("|");
    const place = document.getElementById(id);
    const plot = place && place.querySelector(".js-plotly-plot");
    if (!plot || !window.Plotly) return;
    const { width, height } = plot.getBoundingClientRect();
    window.Plotly.downloadImage(plot, { format, width, height, scale: format === "png" ? 3 : 1, filename: id });
  };
})();
