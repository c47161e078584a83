// Files of a tool: choosing or dropping them, sending them in chunks, looking at what they hold.
//
// explorer.deliver({ name, refused, look }): name of the tool, whose store is `<name>-files` and whose
// acts are `<name>-files` and `<name>-again`; refused(files) says why these files cannot be sent, or
// null; look(sent) gets [{file, id}, ...] and returns what the store holds of them.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};

  async function send(file, turn, said) {
    const made = await explorer.ask("POST", "/api/uploads", { name: file.name, size: file.size });
    const state = { file, upload: made.upload || made, get stop() { return turn.stop; } };
    await explorer.transfer(state, said);
    if (turn.stop) { explorer.ask("DELETE", `/api/uploads/${state.upload.id}`).catch(() => {}); return null; }
    await explorer.ask("POST", `/api/uploads/${state.upload.id}/finish?card=none`);
    return { file, id: state.upload.id };
  }

  explorer.deliver = ({ name: tool, refused, look }) => {
    let current = null; // {stop}: the sending that is going on
    const show = (files) => explorer.props(`${tool}-files`, { data: files });

    // Show what looking at files gave, or why it failed; nothing if they were given up meanwhile.
    async function check(name, found, turn = (current = { stop: false })) {
      show({ step: "checking", name });
      try {
        const held = await found();
        if (!turn.stop) show({ step: "check", name, ...held });
      } catch (problem) {
        if (!turn.stop) show({ step: "failed", name, error: explorer.fault(problem) });
      }
    }

    async function sendAll(files) {
      const name = files.map((f) => f.name).join(" and ");
      const fault = refused && refused(files);
      if (fault) { show({ step: "failed", name, error: { error: "BadRequest", ...fault } }); return; }
      const turn = (current = { stop: false });
      const size = files.reduce((sum, f) => sum + f.size, 0);
      const sent = [];
      let before = 0;
      show({ step: "sending", name, size, sent: 0 });
      try {
        for (const file of files) {
          const done = await send(file, turn, (bytes) => show({ step: "sending", name, size, sent: before + bytes }));
          if (!done) return;
          sent.push(done);
          before += file.size;
        }
      } catch (problem) {
        if (!turn.stop) show({ step: "failed", name, error: explorer.fault(problem) });
        return;
      }
      await check(name, () => look(sent), turn);
    }

    const zone = (event) => event.target.closest(`[data-act="${tool}-files"]`);
    document.addEventListener("dragover", (event) => { if (zone(event)) event.preventDefault(); });
    document.addEventListener("drop", (event) => {
      if (!zone(event)) return;
      event.preventDefault();
      if (event.dataTransfer.files.length) sendAll([...event.dataTransfer.files]);
    });
    Object.assign(explorer.acts, {
      [`${tool}-files`]: (value) => {
        const input = document.createElement("input");
        input.type = "file";
        input.multiple = true;
        input.accept = value;
        input.onchange = () => input.files.length && sendAll([...input.files]);
        input.click();
      },
      [`${tool}-again`]: () => {
        if (current) current.stop = true;
        current = null;
        show(null);
      },
    });
    return { check };
  };
})();
