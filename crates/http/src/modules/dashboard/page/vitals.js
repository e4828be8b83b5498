// Certificates, TLS, reloads, loops and memory: rules about them, and their sections.

/// The times before the end of a certificate at which it is a warning, and an error: in seconds.
const SOON = 21 * 86400;
const VERY_SOON = 3 * 86400;

/// The loop of a thread is too busy from this part of its time on.
const BUSY = 0.9;

const nameOf = (one) => one.subject || (one.servers && one.servers[0]) || one.file || "a certificate";

VITAL_RULES.push(
  ({ api, at }, add) => {
    for (const one of api.certificates || []) {
      const level = one.expires_in <= VERY_SOON ? "bad" : one.expires_in <= SOON ? "warn" : null;
      const when = one.expires_in <= 0 ? `expired ${span(-1000 * one.expires_in)} ago` : `expires in ${span(1000 * one.expires_in)}`;
      if (level) add(level, `The certificate of ${nameOf(one)} ${when}`, one.file, "#tls");
    }
    for (const [id, one] of Object.entries(api["http/acme_certificates"] || {})) {
      const next = one.next_try ? `; tried again in ${span(Date.parse(one.next_try) - at)}` : "";
      if (one.state === "failed") add(one.not_after && Date.parse(one.not_after) > at + 1000 * VERY_SOON ? "warn" : "bad", `The certificate ${id} could not be ordered`, `${one.fault || ""}${next}`, "#tls");
    }
  },
  ({ api, at }, add) => {
    const reloads = api.reloads;
    if (reloads && reloads.last_failed && !(Date.parse(reloads.last_good) > Date.parse(reloads.last_failed))) {
      add("bad", `The last reload failed ${span(at - Date.parse(reloads.last_failed))} ago; the configuration before it serves on`, reloads.fault, "#process");
    }
  },
  ({ api, before }, add) => {
    for (const load of loopLoads(api, before)) {
      if (load.part > BUSY) add("warn", `The thread ${load.thread} is busy for ${percent(load.part, 1)} of its time`, "requests wait for it", "#process");
    }
  });

/// The part of its time in which each loop was busy since the state before.
function loopLoads(api, before) {
  const earlier = new Map(((before && before.api.loops) || []).map((one) => [one.thread, one]));
  return (api.loops || []).map((one) => {
    const then = earlier.get(one.thread);
    const isSame = then && then.age < one.age;
    const [busy, age] = isSame ? [one.busy - then.busy, one.age - then.age] : [one.busy, one.age];
    return { ...one, part: age > 0 ? busy / age : 0 };
  });
}

const ORDERED_COLUMNS = [["Certificate"], ["Names", "mid"], ["State"], ["Until", "mid"], ["Next", "mid"]];
const CERTIFICATE_COLUMNS = [["Certificate"], ["Expires"], ["Issuer", "wide"], ["File", "wide"]];

/// Certificates, the soonest end first, and handshakes.
function showTls(page) {
  const { api } = page;
  const content = [];
  const certificates = [...(api.certificates || [])].sort((one, other) => one.expires_in - other.expires_in);
  if (certificates.length) {
    const rows = certificates.map((one) => {
      const tone = one.expires_in <= VERY_SOON ? "is-bad" : one.expires_in <= SOON ? "is-warn" : null;
      const left = one.expires_in <= 0 ? "expired" : `in ${span(1000 * one.expires_in)}`;
      return h("tr", {}, cells([nameOf(one), h("span", { class: tone }, `${left}, ${(one.not_after || "").slice(0, 10)}`), one.issuer || "–", h("span.mono", {}, one.file || "–")], CERTIFICATE_COLUMNS));
    });
    content.push(table("Certificates, the soonest end first", CERTIFICATE_COLUMNS, rows));
  }
  const ordered = Object.entries(api["http/acme_certificates"] || {});
  if (ordered.length) {
    const rows = ordered.map(([id, one]) => {
      const left = (time) => `in ${span(Date.parse(time) - page.at)}`;
      const next = one.state === "failed" ? one.next_try && `tried again ${left(one.next_try)}` : one.renew_at && `renewed ${left(one.renew_at)}`;
      const state = `${one.state}${one.orders_elsewhere ? ", by another node" : ""}`;
      return h("tr", {}, cells([id, (one.names || []).join(", "), [h("span", { class: one.state === "failed" ? "is-bad" : one.state === "valid" ? "is-good" : null }, state), one.state === "failed" && one.fault ? h("span.why", {}, ` ${one.fault}`) : null].filter(Boolean), one.not_after ? one.not_after.slice(0, 10) : "–", next || "–"], ORDERED_COLUMNS));
    });
    content.push(h("h3", {}, "Ordered by Weir"), table("Certificates that are ordered by Weir", ORDERED_COLUMNS, rows));
  }
  for (const [side, words] of [["clients", "Handshakes with clients"], ["upstreams", "Handshakes with upstreams"]]) {
    const counts = api.ssl && api.ssl[side];
    if (!counts || !(counts.handshakes + counts.handshakes_failed)) continue;
    const named = (map) => Object.entries(map || {}).filter(([, count]) => count).map(([name, count]) => `${name.replaceAll("_", " ")} ${number(count)}`).join(", ");
    content.push(h("h3", {}, words), facts([
      ["Made", `${number(counts.handshakes)}, ${percent(counts.session_reuses, counts.handshakes)} resumed`],
      ["Failed", `${number(counts.handshakes_failed)}${named(counts.failures) ? `: ${named(counts.failures)}` : ""}`],
      ["Versions", named(counts.protocols)],
    ]));
  }
  return content;
}

function facts(pairs) {
  const list = pairs.filter(([, text]) => text);
  return h("dl.facts", {}, list.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
}

/// The process: its configuration, reloads, threads and memory.
function showProcess(page) {
  const { nginx, processes, reloads, memory: used } = page.api;
  if (!nginx) return [];
  const ago = (text) => `${span(page.at - Date.parse(text))} ago`;
  const zones = Object.entries((used && used.zones) || {}).filter(([, zone]) => zone.size);
  const content = [facts([
    ["Configuration", `number ${number(nginx.generation)}, loaded ${ago(nginx.load_timestamp)}`],
    ["Reloads", reloads && `${number(reloads.good)} good, ${number(reloads.failed)} failed${reloads.took ? `; the last took ${millis(reloads.took)}` : ""}`],
    ["Last fault", reloads && reloads.last_failed && h("span.is-bad", {}, `${reloads.fault} (${ago(reloads.last_failed)})`)],
    ["Held", reloads && reloads.held > 1 && `${plural(reloads.held, "configuration")}, the old ones by their last requests`],
    ["Version", `${nginx.build} (nginx ${nginx.version})`],
    ["Worker", `process ${nginx.pid}, of master ${nginx.ppid}`],
    ["Workers that died", processes && number(processes.respawned)],
    ["Memory", used && `${bytes(used.resident)}, at most ${bytes(used.peak)} so far`],
    ["Zones", zones.map(([name, zone]) => `${name} ${percent(zone.used, zone.size)} of ${bytes(zone.size)}`).join(", ")],
  ])];
  const loads = loopLoads(page.api, page.before);
  if (loads.length) {
    const columns = [["Thread"], ["Busy", "num"], ["Longest turn", "num"], ["Tasks", "num"], ["Timers", "num.mid"]];
    const rows = loads.map((one) => h("tr", {}, cells([one.thread, h("span", { class: one.part > BUSY ? "is-bad" : null }, percent(one.part, 1)), millis(one.longest / 1000), number(one.tasks), number(one.timers)], columns)));
    content.push(h("h3", {}, "Event loops"), table("Event loops", columns, rows));
  }
  return content;
}
