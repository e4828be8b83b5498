// What is wrong, worst first, each with its reason.

const STATES = ["up", "draining", "down", "unavail", "checking", "unhealthy"];
const LEVELS = { bad: "✖ Error", warn: "▲ Warning", info: "● Note" };

/// What the reasons of a server mean.
const REASONS = {
  down: "set down",
  draining: "draining: only bound requests",
  fails: "too many failed requests",
  health_check: "fails its health check",
  outlier: "ejected as an outlier",
  agent: "its agent says so",
  other_nodes: "found unhealthy by another node",
};

/// Why a server takes no requests, in words.
function why(state, reasons, since, until) {
  const parts = (reasons || []).map((reason) => REASONS[reason] || reason);
  if (!parts.length && state === "checking") parts.push("waits for its first health check");
  if (since !== null && since !== undefined) parts.push(`for ${span(since)}`);
  if (until !== null && until !== undefined) parts.push(`tried again in ${span(until)}`);
  return parts.join(", ");
}

/// The faults, as { level, text, why, go }: `go` is the name of an upstream, or that
/// of a section behind a #.
function faults(page) {
  const found = [];
  const add = (level, text, reason, go) => found.push({ level, text, why: reason || "", go });
  for (const rule of RULES) rule(page, add);
  const order = Object.keys(LEVELS);
  return found.sort((one, other) => order.indexOf(one.level) - order.indexOf(other.level));
}

const RULES = [
  // Groups without a server, those with failures first.
  ({ groups }, add) => {
    for (const group of groups.filter((group) => group.up === group.backupsUp).sort(ORDERS.wrong)) {
      const states = STATES.map((state, at) => [state, group.states[at]]).filter(([, count]) => count);
      const kinds = states.map(([state, count]) => `${count} ${state}`).join(", ");
      if (group.total === 0) add("bad", `Upstream ${group.name} has no server`, "no address is known", group.name);
      else if (group.up === 0) add("bad", `Upstream ${group.name} has no server that takes new requests`, kinds, group.name);
      else add("bad", `Upstream ${group.name} lives on its backup servers`, plural(group.backupsUp, "backup server"), group.name);
    }
  },
  // Servers that are not up, those of one group and reason together.
  ({ groups, unfit, left_out }, add) => {
    const kinds = new Map();
    for (const server of unfit) {
      const key = `${server.group} ${server.state} ${server.reasons}`;
      if (!kinds.has(key)) kinds.set(key, []);
      kinds.get(key).push(server);
    }
    for (const servers of kinds.values()) {
      const { group, state, reasons, since, until } = servers[0];
      const name = groups[group] && groups[group].name;
      const chosen = state === "down" || state === "draining" || state === "checking";
      const what = servers.length === 1
        ? `${servers[0].server} of ${name} is ${state}`
        : `${servers.length} servers of ${name} are ${state}: ${servers.slice(0, 3).map((it) => it.server).join(", ")}${servers.length > 3 ? ", …" : ""}`;
      const one = servers.length === 1;
      add(chosen ? "info" : "warn", what, why(state, reasons, one ? since : null, one ? until : null), name);
    }
    if (left_out) add("warn", `${number(left_out)} more servers are not up`, "see the upstreams", "#upstreams");
  },
  // Queues and limits of servers.
  ({ groups, rates }, add) => {
    for (const group of groups) {
      const full = group.total - group.states[2];
      if (group.full && group.full >= full) add("warn", `All servers of ${group.name} have as many requests as they may`, "max_conns", group.name);
      if (group.queue && group.queue[0]) add("warn", `${plural(group.queue[0], "request waits", "requests wait")} for a server of ${group.name}`, `at most ${group.queue[1]}`, group.name);
      const gain = rates.get(group.name);
      if (gain && gain.fails > 0.05) {
        add("warn", `${rate(gain.fails)}/s attempts fail at ${group.name}`, `${percent(gain.fails, gain.requests)} of ${rate(gain.requests)}/s`, group.name);
      }
      if (gain && gain.overflows > 0) add("bad", `The queue of ${group.name} is full`, `${rate(gain.overflows)}/s are refused`, group.name);
    }
  },
  // Responses.
  ({ minute }, add) => {
    if (!minute || !minute.responses) return;
    const part = minute.classes[4] / minute.responses;
    if (minute.classes[4] > 0) {
      add(part > 0.01 ? "bad" : "warn", `${percent(minute.classes[4], minute.responses)} of the last minute's responses are 5xx`, `${number(minute.classes[4])} of ${number(minute.responses)}`, "#requests");
    }
  },
  ({ api, gains }, add) => {
    if (gains.dropped > 0) add("bad", `${rate(gains.dropped)}/s new connections are dropped`, "worker_connections are used up", "#traffic");
    const respawned = api.processes && api.processes.respawned;
    if (respawned) add("warn", `The worker has died ${respawned === 1 ? "once" : `${number(respawned)} times`}`, "see the error log; it is replaced each time", "#process");
  },
  // Limits that refuse.
  ({ gains }, add) => {
    for (const [name, refused] of gains.refused) {
      if (refused > 0) add("info", `The limit ${name} refuses ${rate(refused)}/s`, "", "#limits");
    }
  },
  (page, add) => VITAL_RULES.forEach((rule) => rule(page, add)),
];

/// Shows the faults. Buttons are heard of by `begin`.
function showWrong(page) {
  const found = faults(page);
  const body = $("wrong-body");
  page.wrong = found.filter((fault) => fault.level !== "info").length;
  const held = document.activeElement && body.contains(document.activeElement) ? document.activeElement.dataset.go : null;
  const list = found.slice(0, 60).map((fault) =>
    h(`li.${fault.level}`, {},
      h("span.level", {}, LEVELS[fault.level]),
      h("span", {}, fault.text, fault.why ? h("span.why", {}, ` — ${fault.why}`) : null),
      fault.go ? h("button.plain", { type: "button", "data-go": fault.go, "aria-label": `Show ${fault.go.replace("#", "")}` }, "show") : null));
  const more = found.length > 60 ? h("p.muted.more", {}, `and ${found.length - 60} more`) : null;
  const up = page.groups.reduce((sum, group) => sum + group.up, 0);
  const fine = `Nothing is wrong. ${plural(up, "server")} of ${plural(page.groups.length, "upstream")} take${up === 1 ? "s" : ""} requests.`;
  settle(body, [
    page.wrong === 0 ? h("p.fine", {}, page.groups.length ? fine : "Nothing is wrong.") : "",
    found.length ? h("ul.wrong-list", {}, list) : "", more || ""]);
  if (held && document.activeElement.dataset.go !== held) [...body.querySelectorAll("button")].find((button) => button.dataset.go === held)?.focus();
}

/// Goes to a section, or opens an upstream.
function go(target) {
  if (!target.startsWith("#")) return openUpstream(target);
  const element = $(target.slice(1));
  if (!element) return;
  element.scrollIntoView({ block: "start" });
  element.focus({ preventScroll: true });
}
