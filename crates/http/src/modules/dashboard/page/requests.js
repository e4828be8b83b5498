// Single requests: found by id, or among the last errors and slow ones, with what happened to them.

const RECORDS = "http/request_records";
const NO_RECORDS = "Requests are not recorded: write “request_records on;” in the http block.";

const micros = (value) => millis((value || 0) / 1000);

/// Shows the last requests of a kind.
async function listRequests(kind, words) {
  const body = $("requests-body");
  try {
    const records = await detail(RECORDS, `&${kind}&limit=50`);
    showList(records, words);
  } catch (error) {
    body.replaceChildren(h("p.is-bad", {}, error.status === 404 ? NO_RECORDS : error.message));
  }
}

const RECORD_COLUMNS = [["Ended"], ["Status", "num"], ["Took", "num"], ["Request"], ["Location", "wide"], ["Server", "mid"]];

function showList(records, words) {
  if (!records.length) {
    $("requests-body").replaceChildren(h("p.muted", {}, `There is no record of ${words}.`));
    return;
  }
  const rows = records.map((record) => {
    const server = record.upstream_server ? `${record.upstream_server}${record.upstream && record.upstream !== record.upstream_server ? ` (${record.upstream})` : ""}` : "–";
    const open = h("button.plain.mono", { type: "button", onclick: () => findRequest(record.id) }, record.request || record.id);
    return h("tr", {}, cells([clockTime(record.ended), h("span", { class: record.status >= 500 ? "is-bad" : null }, String(record.status)), micros(record.took), open, h("span.mono", {}, record.location ? record.location.name : "–"), h("span.mono", {}, server)], RECORD_COLUMNS));
  });
  $("requests-body").replaceChildren(h("h3", {}, `Newest ${words} first`), table(`Newest ${words} first`, RECORD_COLUMNS, rows));
}

const clockTime = (text) => new Date(text).toLocaleTimeString("en-GB");

/// Shows the request with an id, ended or under way.
async function findRequest(id) {
  $("request-id").value = id;
  let words;
  for (const path of [RECORDS, "http/requests_under_way"]) {
    try {
      return showRecord(await detail(`${path}/${encodeURIComponent(id)}`));
    } catch (error) {
      words = error.status === 404 ? `There is no record of a request ${id}, and none is under way. Only errors, slow requests and a sample are recorded, where “request_records on;” is in force.` : error.message;
      if (error.status !== 404) break;
    }
  }
  $("requests-body").replaceChildren(h("p.is-bad", {}, words));
}

function showRecord(told) {
  const isOpen = told.doing !== undefined;
  const record = isOpen ? { ...told, took: told.age, server: { name: told.server } } : told;
  const place = (part) => (part ? `${part.name || "(no name)"}${part.place ? ` — ${part.place}` : ""}` : null);
  const ends = { complete: "sent in full", client: "the client went away", client_timeout: "the client was too slow", closed: "closed without a response", broken: "broke off" };
  const facts = [
    ["Request", record.request], ["Id", record.id], ["Trace", record.trace],
    ["Under way", isOpen && `for ${micros(record.age)}; ${doing(record)}, for ${micros(record.doing_for)}`],
    ["Status", !isOpen && `${record.status}${record.sent_status && record.sent_status !== record.status ? `, sent as ${record.sent_status}` : ""}`],
    ["Took", !isOpen && `${micros(record.took)}, ended ${clockTime(record.ended)}, ${ends[record.end] || record.end}`],
    ["Client", `${record.client || "–"}${record.protocol ? `, ${record.protocol}` : ""}${record.tls ? `, ${record.tls.protocol} ${record.tls.cipher}` : ""}, connection ${record.connection} request ${record.connection_request}`],
    ["Bytes", !isOpen && `${bytes(record.received || 0)} received, ${bytes(record.sent || 0)} sent`],
    ["Server", place(record.server)], ["Location", place(record.location)],
    ["Final URI", record.uri],
    ["Cache", record.cache ? `${record.cache.status} — ${record.cache.key}` : null],
    ...Object.entries(record.fields || {}),
  ];
  const list = h("dl.facts", {}, facts.filter(([, text]) => text).flatMap(([name, text]) => [h("dt", {}, name), h("dd.mono", {}, text)]));
  const title = h("h3", { tabindex: "-1" }, `Request ${record.id}`);
  $("requests-body").replaceChildren(title, list, ...waterfall(record), ...rewrites(record), ...attempts(record), ...otherSteps(record));
  title.focus({ preventScroll: true });
}

/// The phases, waits and attempts over time.
function waterfall(record) {
  const steps = record.steps || [];
  const end = Math.max(record.took, 1);
  const rows = [];
  const phases = steps.filter((step) => step.step === "phase" && !step.subrequest);
  phases.forEach((step, at) => {
    const next = phases[at + 1] ? phases[at + 1].at : end;
    rows.push({ at: step.at, label: `${step.name} phase`, parts: [["phase", step.at, next, `${step.name} phase`]] });
  });
  for (const step of steps.filter((step) => step.step === "wait")) {
    rows.push({ at: step.at, label: `waits: ${step.name}`, parts: [["wait", step.at, step.at + (step.took || 0), "waits"]] });
  }
  for (const attempt of record.attempts || []) {
    const [connected, header, ended] = [attempt.connected || attempt.at, attempt.header, attempt.ended || end];
    const failed = attempt.error ? "bad" : null;
    const parts = [];
    if (connected > attempt.at) parts.push(["connect", attempt.at, connected, attempt.reused ? "takes a kept connection" : "connects"]);
    parts.push([failed || "header", connected, header || ended, "waits for the header"]);
    if (header) parts.push([failed || "body", header, ended, "receives the body"]);
    rows.push({ at: attempt.at, label: attempt.server || `${attempt.upstream}: no server`, parts });
  }
  for (const step of steps.filter((step) => step.step === "head" && !step.subrequest)) {
    rows.push({ at: step.at, label: "head is ready", parts: [["mark", step.at, step.at, "the head of the response is ready"]] });
  }
  rows.sort((one, other) => one.at - other.at);
  const fall = rows.flatMap(({ label, parts }) => {
    const [from, to] = [parts[0][1], parts[parts.length - 1][2]];
    const rects = parts.map(([kind, start, stop, words]) => draw("rect", {
      class: `f-${kind}`, x: `${(100 * start) / end}%`, y: 2, height: 10, width: `${Math.max(0.4, (100 * Math.max(0, stop - start)) / end)}%`,
    }, draw("title", {}, `${words}: ${micros(stop - start)}`)));
    const spoken = `from ${micros(from)} for ${micros(to - from)}`;
    return [h("span.label", {}, label), draw("svg", { role: "img", "aria-label": `${label}: ${spoken}` }, rects), h("span.num", {}, micros(to - from))];
  });
  return [h("h3", {}, `Times, of ${micros(end)}`), h("div.fall", {}, fall)];
}

const step = (step, ...parts) => h("li", {}, h("span.tag", {}, micros(step.at)), ...parts, step.place ? h("span.why.mono", {}, `  ${step.place}`) : null);

/// The locations, and what led from one to another.
function rewrites(record) {
  const kinds = { location: "location", rewrite: "rewrite", redirect: "redirect", subrequest: "subrequest" };
  const steps = (record.steps || []).filter((it) => kinds[it.step]);
  if (!steps.length) return [];
  const items = steps.map((it) => step(it, h("b", {}, it.step === "location" ? `${it.name || ""} location ` : `${it.name || it.step} `), h("span.mono", {}, it.from ? `${it.from} → ${it.to || ""}` : it.to || ""), it.status ? ` ${it.status}` : ""));
  return [h("h3", {}, "Locations and rewrites"), h("ul.steps", {}, items)];
}

/// The servers that were asked, and those that were not chosen.
function attempts(record) {
  return (record.attempts || []).flatMap((attempt, at) => {
    const facts = [attempt.status ? `status ${attempt.status}` : null, attempt.error, attempt.next, attempt.queued ? `queued for ${micros(attempt.queued)}` : null, attempt.reused ? "on a kept connection" : null].filter(Boolean);
    const parts = [h("h3", {}, `Attempt ${at + 1}: ${attempt.server || "no server"} of ${attempt.upstream}`), h("p", {}, facts.join("; "))];
    const choice = attempt.choice;
    if (choice) {
      const columns = [["Server"], ["Weight", "num"], ["Active", "num"], ["Score", "num"], [""]];
      const rows = choice.rivals.map((rival) => h(rival.chosen ? "tr.chosen" : "tr", {}, cells([h("span.mono", {}, rival.server), number(rival.weight), number(rival.active), rival.score === undefined ? "–" : String(Math.round(rival.score * 1000) / 1000), rival.chosen ? "chosen" : rival.excluded || ""], columns)));
      parts.push(h("p.muted", {}, `Chosen by ${choice.method} among ${plural(choice.servers, "server")}${rows.length < choice.servers ? `, of which ${rows.length} are shown` : ""}.`));
      if (rows.length) parts.push(table(`Servers that attempt ${at + 1} could choose from`, columns, rows));
    }
    return parts;
  });
}

/// Decisions, errors, the cache and lines of the error log.
function otherSteps(record) {
  const kinds = ["decision", "error", "cache", "log"];
  const steps = (record.steps || []).filter((it) => kinds.includes(it.step));
  const note = record.dropped_notes ? [h("p.muted", {}, `${plural(record.dropped_notes, "note was", "notes were")} beyond the limits.`)] : [];
  if (!steps.length) return note;
  return [h("h3", {}, "Decisions and messages"), h("ul.steps", {}, steps.map((it) => step(it, h("b", {}, `${it.step}${it.name ? ` of ${it.name}` : ""} `), it.to || "", it.status ? ` ${it.status}` : ""))), ...note];
}
