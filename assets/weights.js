// Modality weights: sending the files of one section.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  let current = null; // {stop}: the sending that is going on

  const show = (files) => explorer.props("weights-files", { data: files });

  async function sendAll(files) {
    const turn = (current = { stop: false });
    const name = files.map((f) => f.name).join(" and ");
    const size = files.reduce((sum, f) => sum + f.size, 0);
    let before = 0;
    const uploads = [];
    show({ step: "sending", name, size, sent: 0 });
    try {
      for (const file of files) {
        const made = await explorer.ask("POST", "/api/uploads", { name: file.name, size: file.size });
        const state = { file, upload: made.upload || made, get stop() { return turn.stop; } };
        await explorer.transfer(state, (sent) => show({ step: "sending", name, size, sent: before + sent }));
        if (turn.stop) { explorer.ask("DELETE", `/api/uploads/${state.upload.id}`).catch(() => {}); return; }
        await explorer.ask("POST", `/api/uploads/${state.upload.id}/finish?card=none`);
        uploads.push(state.upload.id);
        before += file.size;
      }
      await look(uploads, name);
    } catch (problem) {
      if (current === turn) show({ step: "failed", name, error: explorer.fault(problem) });
    }
  }

  async function look(uploads, name) {
    show({ step: "checking", name });
    const { card } = await explorer.ask("POST", "/api/modalities", { uploads });
    show({ step: "check", name, uploads, card });
  }

  Object.assign(explorer.acts, {
    "weights-files": (value) => {
      const input = document.createElement("input");
      input.type = "file";
      input.multiple = true;
      input.accept = value;
      input.onchange = () => input.files.length && sendAll([...input.files]);
      input.click();
    },
    "weights-demo": async () => {
      const name = "Simulated section";
      show({ step: "checking", name });
      try {
        const { upload } = await explorer.ask("POST", "/api/uploads/demo?kind=modalities");
        await look([upload.id], name);
      } catch (problem) { show({ step: "failed", name, error: explorer.fault(problem) }); }
    },
    "weights-again": () => {
      if (current) current.stop = true;
      current = null;
      show(null);
    },
  });

  const zone = (event) => event.target.closest('[data-act="weights-files"]');
  document.addEventListener("dragover", (event) => { if (zone(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!zone(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) sendAll([...event.dataTransfer.files]);
  });
})();
