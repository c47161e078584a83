// Modality weights: its files.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});

  async function look(uploads) {
    const { card } = await explorer.ask("POST", "/api/modalities", { uploads });
    return { uploads, card };
  }
  const delivery = explorer.deliver({ name: "weights", look: (sent) => look(sent.map(({ id }) => id)) });

  explorer.acts["weights-demo"] = () => delivery.check("Simulated section", async () => {
    const { upload } = await explorer.ask("POST", "/api/uploads/demo?kind=modalities");
    return look([upload.id]);
  });
})();
