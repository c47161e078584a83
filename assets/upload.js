// Uploads in chunks that can be resumed, and the jobs that follow from them.
(function () {
  "use strict";
  const explorer = (window.explorer = window.explorer || {});
  explorer.acts = explorer.acts || {};
  const PIECE = 4e6; // bytes per request, unless the server wants fewer
  const hush = () => window.dash_clientside.no_update;
  const byId = (id) => document.getElementById(id);
  const size = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
  let sending = null; // {file, upload, stop}
  let jobs = [];

  const show = (wizard) => explorer.props("wizard", { data: wizard });

  async function ask(method, url, body) {
    const options = { method, headers: {} };
    if (body instanceof Blob) { options.body = body; options.headers["Content-Type"] = "application/octet-stream"; }
    else if (body) { options.body = JSON.stringify(body); options.headers["Content-Type"] = "application/json"; }
    const reply = await fetch(url, options);
    const found = await reply.json().catch(() => ({ error: "Unreadable", message: `The server answered ${reply.status}.`, hint: [] }));
    if (!reply.ok) throw { ...found, status: reply.status };
    return found;
  }
  const fault = (problem) => (problem && problem.message && problem.error ? problem
    : { error: "Offline", message: "The server cannot be reached.", hint: ["Try again in a moment."] });

  explorer.ask = ask;
  explorer.fault = fault;

  // -- sending ----------------------------------------------------------------------------------------

  async function begin(file) {
    show({ step: "sending", name: file.name, size: file.size, sent: 0 });
    try {
      const upload = await ask("POST", "/api/uploads", { name: file.name, size: file.size });
      sending = { file, upload: upload.upload || upload, stop: false };
      await send();
    } catch (problem) { refuse(file, problem); }
  }

  function refuse(file, problem) {
    sending = null;
    show({ step: "failed", name: file.name, error: fault(problem) });
  }

  async function send() {
    const state = sending;
    try {
      await explorer.transfer(state, progress);
    } catch (problem) {
      if (sending !== state) return;
      if (problem && problem.status && problem.status < 500) { refuse(state.file, problem); return; }
      const sent = state.upload.received;
      show({ step: "sending", name: state.file.name, size: state.file.size, sent, paused: true, problem: fault(problem).message });
      return;
    }
    if (sending === state && !state.stop) await finish();
  }

  // Send what is missing of an upload, piece by piece; stops where ``state.stop`` is set.
  explorer.transfer = async function (state, said) {
    const { file } = state;
    while (!state.stop && state.upload.received < file.size) {
      const from = state.upload.received;
      const piece = file.slice(from, from + Math.min(PIECE, state.upload.chunk_bytes || PIECE));
      try {
        const found = await ask("PUT", `/api/uploads/${state.upload.id}?offset=${from}`, piece);
        state.upload = found.upload || found;
        said(state.upload.received, file.size);
      } catch (problem) {
        if (!problem || problem.status !== 409) throw problem;
        // Somebody else's piece came first, or ours did arrive: go on from where it stands.
        state.upload = await ask("GET", `/api/uploads/${state.upload.id}`);
      }
    }
  };

  function progress(sent, total) {
    const bar = byId("upload-bar");
    const line = byId("upload-line");
    if (bar) bar.style.width = `${(100 * sent) / total}%`;
    if (line) line.textContent = `${size.format(sent / 1e6)} of ${size.format(total / 1e6)} MB`;
  }

  async function finish() {
    const { file, upload } = sending;
    show({ step: "checking", name: file.name, size: file.size });
    try {
      checked(await ask("POST", `/api/uploads/${upload.id}/finish`));
      sending = null;
    } catch (problem) { refuse(file, problem); }
  }

  function checked(found) {
    const { upload, preflight } = found;
    show({ step: "check", name: upload.name, size: upload.size, upload: upload.id, expires: upload.expires, preflight });
    current = upload.id;
    const placed = preflight.findings.some((f) => f.key === "coordinates" && f.state !== "blocked");
    if (placed) drawPreview(upload.id).catch(() => {});
  }

  // Positions as they were found, so that a mirrored or turned section is seen before the run.
  async function drawPreview(id) {
    const { xy } = await ask("GET", `/api/uploads/${id}/preview`);
    const canvas = await present("preview");
    if (!xy.length || !canvas) return;
    byId("preview-box").hidden = false;
    const bounds = [0, 1].map((k) => xy.reduce(([a, b], p) => [Math.min(a, p[k]), Math.max(b, p[k])], [Infinity, -Infinity]));
    const spans = bounds.map(([a, b]) => Math.max(b - a, 1e-9));
    const [wide, high] = [canvas.clientWidth || 320, 200];
    const scale = Math.min((wide - 8) / spans[0], (high - 8) / spans[1]);
    const dense = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: wide * dense, height: high * dense });
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--bar");
    const r = Math.max(0.6, Math.min(2, Math.sqrt((wide * high) / xy.length) / 4));
    for (const [x, y] of xy) {
      const [px, py] = [x, y].map((v, k) => (k ? high : wide) / 2 + (v - (bounds[k][0] + bounds[k][1]) / 2) * scale);
      pen.beginPath();
      pen.arc(px, py, r, 0, 2 * Math.PI);
      pen.fill();
    }
  }
  async function present(name) {
    for (let k = 0; k < 40 && !byId(name); k += 1) await new Promise((done) => setTimeout(done, 50));
    return byId(name);
  }
  let current = null;

  explorer.submit = async function (asked) {
    try {
      const { job } = await ask("POST", "/api/jobs", asked);
      jobs = [job, ...jobs.filter((j) => j.id !== job.id)];
      explorer.props("jobs", { data: jobs });
      return job;
    } catch (problem) { throw fault(problem); }
  };

  // -- what the panel's buttons do ----------------------------------------------------------------------

  Object.assign(explorer.acts, {
    "choose-file": (value) => {
      const input = document.createElement("input");
      input.type = "file";
      input.accept = value;
      input.onchange = () => input.files[0] && begin(input.files[0]);
      input.click();
    },
    "demo-upload": async () => {
      show({ step: "checking", name: "Demo section" });
      try { checked(await ask("POST", "/api/uploads/demo")); } catch (problem) { show({ step: "failed", name: "Demo section", error: fault(problem) }); }
    },
    "upload-resume": async () => {
      if (!sending) return;
      const found = await ask("GET", `/api/uploads/${sending.upload.id}`).catch(() => null);
      if (!found) { explorer.toast("The server cannot be reached yet"); return; }
      sending.upload = found.upload || found;
      show({ step: "sending", name: sending.file.name, size: sending.file.size, sent: sending.upload.received });
      await send();
    },
    "upload-cancel": () => {
      if (sending) { ask("DELETE", `/api/uploads/${sending.upload.id}`).catch(() => {}); sending.stop = true; sending = null; }
      show(null);
    },
    "wizard-file": () => { explorer.set({ job: "" }); show(null); },
    submit: async () => {
      try {
        const job = await explorer.submit({ model: "fusemap", verb: "annotate", params: {}, inputs: { upload: current } });
        explorer.set({ job: job.id });
        show({ step: job.state === "done" ? "done" : "run", job, fresh: true });
      } catch (problem) { show({ step: "failed", error: problem }); }
    },
    "cancel-job": async (value) => {
      await ask("DELETE", `/api/jobs/${value}`).catch((problem) => explorer.toast(fault(problem).message));
    },
    "open-job": (value) => { byId("jobs-card").hidden = true; explorer.set({ panel: "annotate", job: value }); },
  });

  document.addEventListener("dragover", (event) => { if (event.target.closest("#annotate")) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!event.target.closest("#annotate")) return;
    event.preventDefault();
    if (event.dataTransfer.files[0]) begin(event.dataTransfer.files[0]);
  });

  // -- jobs ---------------------------------------------------------------------------------------------

  // Jobs that the link names: that of the wizard, and that of the open tool.
  const JOB_ID = /^[0-9a-f]{32}(?=[,|]|$)/; // more of a tool's state may follow after a comma or a bar
  const jobIn = (using) => ((using || "").match(JOB_ID) || [""])[0];
  function linkedJobs() {
    const view = explorer.view || {};
    return [view.job, jobIn(view.using)].filter(Boolean);
  }

  async function poll() {
    try {
      const found = (await ask("GET", "/api/jobs")).jobs;
      for (const linked of linkedJobs()) {
        if (found.some((j) => j.id === linked)) continue;
        const { job } = await ask("GET", `/api/jobs/${linked}`);
        found.unshift(job);
      }
      jobs = found;
    } catch (problem) {
      if (problem && problem.error === "UnknownJob") {
        explorer.toast(problem.message);
        explorer.set({ job: "", using: jobIn(explorer.view.using) ? "" : explorer.view.using });
      }
    }
    return jobs;
  }

  // A link may name a job of another session, which the list does not hold yet.
  explorer.findJob = async function (using) {
    const id = jobIn(using);
    if (!id || jobs.some((j) => j.id === id)) return;
    const found = await poll();
    explorer.props("jobs", { data: [...found] });
  };

  // The wizard follows the job of the link; when a run that was watched is done, its result opens.
  function follow(list, view, wizard) {
    if (!view || !view.job) return hush();
    const job = (list || []).find((j) => j.id === view.job);
    if (!job) { if (view.panel === "annotate") poll().then((found) => { if (found.some((j) => j.id === view.job)) explorer.props("jobs", { data: found }); }); return hush(); }
    const step = { queued: "run", running: "run", done: "done", failed: "failed", cancelled: "failed" }[job.state];
    const watched = wizard && wizard.step === "run" && wizard.job && wizard.job.id === job.id;
    if (watched && step === "done") setTimeout(() => explorer.go(`?section=query-${job.id}&job=${job.id}`), 0);
    if (wizard && wizard.job && JSON.stringify(wizard.job) === JSON.stringify(job) && wizard.step === step) return hush();
    return { step, job, name: job.id };
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.upload = { follow };
  window.dash_clientside.jobs = { poll };
})();
