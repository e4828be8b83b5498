// Upstreams: a row for each, and its servers when it is open. Servers are asked for only then.

/// The number of upstreams, and of servers of one, that are in the page at once.
const GROUPS_AT_ONCE = 50;
const SERVERS_AT_ONCE = 100;

/// The number of upstreams that can be open.
const MOST_OPEN = 4;

const shown = { groups: GROUPS_AT_ONCE, rows: new Map(), open: new Map() };

/// A group of the state, as an object.
function groupOf([name, zone, states, [backups, backupsUp, full], [active, requests, fails, kept], queue]) {
  const total = states.reduce((sum, count) => sum + count, 0);
  return { name, zone, states, total, up: states[0], backups, backupsUp, full, active, requests, fails, kept, queue };
}

function unfitOf([group, id, server, state, reasons, since, until, backup]) {
  return { group, id, server, state, reasons, since, until, backup };
}

/// How bad a group is: the first of two is worse if this is larger. What fails is worse than what
/// somebody has taken out on purpose, since only the latter is known.
function badness(group) {
  const fails = group.total === 0 || failing(group) > 0;
  if (group.up === 0) return fails ? 6 : 3;
  if (group.up === group.backupsUp) return fails ? 5 : 2;
  if (fails) return 4;
  return group.total > group.up ? 1 : 0;
}

/// The number of servers that fail.
const failing = (group) => group.states[3] + group.states[5];

const TONE_OF_GROUPS = ["", "", "is-bad", "is-bad", "is-warn", "is-bad", "is-bad"];

const ORDERS = {
  wrong: (one, other) => badness(other) - badness(one) || one.at - other.at,
  name: (one, other) => one.name.localeCompare(other.name, "en", { numeric: true }),
  rate: (one, other) => rateOf(other) - rateOf(one) || one.at - other.at,
  conf: (one, other) => one.at - other.at,
};

const rateOf = (group) => (page.rates.get(group.name) || { requests: 0 }).requests;

const GROUP_COLUMNS = [["Upstream"], ["Servers"], ["Requests", "num"], ["10 minutes", "mid"], ["Active", "num.mid"], ["Failed", "num"], ["Queue", "num.wide"], ["Kept", "num.wide"]];

function showUpstreams(page) {
  const body = $("upstreams-body");
  if (!page.groups.length) {
    body.replaceChildren(h("p.muted", {}, "The configuration has no upstream block."));
    return;
  }
  if (!shown.body || !body.contains(shown.body)) {
    const made = table("Upstreams", GROUP_COLUMNS, []);
    shown.body = made.querySelector("tbody");
    shown.more = h("button.more", { type: "button", onclick: () => { shown.groups += GROUPS_AT_ONCE; showUpstreams(page); } });
    shown.none = h("p.muted", {}, "No upstream has this in its name.");
    body.replaceChildren(made, shown.none, shown.more);
    made.addEventListener("keydown", moveAmongRows);
  }
  const filter = $("filter").value.trim().toLowerCase();
  const found = page.groups.filter((group) => group.name.toLowerCase().includes(filter));
  found.sort(ORDERS[$("order").value]);
  // What is open, and where somebody is, does not vanish behind the end of the list.
  const visible = found.filter((group, at) => at < shown.groups || shown.open.has(group.name) || isHeld(shown.rows.get(group.name)));
  say($("upstreams-count"), `${number(found.length)} with ${plural(found.reduce((sum, group) => sum + group.total, 0), "server")}`);
  shown.none.hidden = found.length > 0;
  shown.more.hidden = found.length <= visible.length;
  say(shown.more, `Show ${Math.min(GROUPS_AT_ONCE, found.length - visible.length)} of ${number(found.length - visible.length)} more`);
  arrange(visible);
  visible.forEach(showGroup);
}

/// Whether the focus is in a row or what belongs to it.
const isHeld = (row) => Boolean(row && [row.element, row.detail].some((part) => part?.contains(document.activeElement)));

/// Brings the rows into this order without touching those that are in place, so that the focus and
/// the reader's place stay.
function arrange(groups) {
  const wanted = new Set(groups.map((group) => group.name));
  let lost = false;
  for (const [name, row] of shown.rows) {
    if (!wanted.has(name)) {
      lost ||= isHeld(row);
      row.element.remove();
      row.detail?.remove();
      row.detail = null;
      shown.rows.delete(name);
    }
  }
  // An open upstream keeps the order as it is while the focus is in the table.
  const held = shown.body.contains(document.activeElement);
  let last = null;
  for (const group of groups) {
    const row = shown.rows.get(group.name) || makeRow(group);
    const isNew = !row.element.parentNode;
    if (isNew || !held) {
      const next = last ? last.nextSibling : shown.body.firstChild;
      if (next !== row.element) shown.body.insertBefore(row.element, next);
      if (row.detail && row.element.nextSibling !== row.detail) row.element.after(row.detail);
    }
    last = row.detail || row.element;
  }
  if (lost) (shown.body.querySelector(".toggle") || $("filter")).focus();
}

function makeRow(group) {
  const button = h("button.plain.toggle", { type: "button", "aria-expanded": "false", onclick: () => toggle(group.name) }, group.name);
  const row = { button, bar: h("div"), counts: h("span"), rate: h("td.num"), line: spark(`requests of ${group.name}`), active: h("td.num.mid"), failed: h("td.num"), queue: h("td.num.wide"), kept: h("td.num.wide") };
  row.element = h("tr.group", {}, h("td.name", {}, button), h("td", {}, row.bar, row.counts), row.rate, h("td.mid", {}, row.line.svg), row.active, row.failed, row.queue, row.kept);
  shown.rows.set(group.name, row);
  if (shown.open.has(group.name)) openRow(group.name);
  return row;
}

function showGroup(group) {
  const row = shown.rows.get(group.name);
  const gain = page.rates.get(group.name) || { requests: 0, fails: 0 };
  const [up, draining, down, unavail, checking, unhealthy] = group.states;
  const states = `${group.states}`;
  if (row.states !== states) {
    row.states = states;
    row.bar.replaceChildren(bar([["good", up], ["info", draining + checking], ["mute", down], ["bad", unavail + unhealthy]]));
    const others = STATES.map((state, at) => [state, group.states[at]]).filter(([state, count]) => count && state !== "up");
    say(row.counts, [`${number(up)}${others.length ? "" : ` of ${number(group.total)}`} up`, ...others.map(([state, count]) => `${number(count)} ${state}`)].join(", "));
    row.counts.className = TONE_OF_GROUPS[badness(group)];
  }
  say(row.rate, `${rate(gain.requests)}/s`);
  say(row.active, number(group.active));
  say(row.failed, gain.fails > 0 ? `${rate(gain.fails)}/s` : "0");
  row.failed.classList.toggle("is-bad", gain.fails > 0);
  say(row.queue, group.queue ? `${number(group.queue[0])} of ${number(group.queue[1])}` : "–");
  say(row.kept, number(group.kept));
  const course = page.courses.get(group.name);
  if (course && row.course !== course.changed) {
    row.course = course.changed;
    row.line.update(course.requests, (value) => `${rate(value)}/s`);
  }
}

/// Up and down move among the upstreams.
function moveAmongRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.classList.contains("toggle")) return;
  const all = [...shown.body.querySelectorAll(".toggle")];
  const next = all[all.indexOf(event.target) + step];
  if (next) { event.preventDefault(); next.focus(); }
}

function openUpstream(name) {
  if (!shown.rows.has(name)) {
    $("filter").value = name;
    showUpstreams(page);
  }
  const row = shown.rows.get(name);
  if (!row) return;
  if (!shown.open.has(name)) toggle(name);
  row.element.scrollIntoView({ block: "start" });
  row.button.focus({ preventScroll: true });
}

function toggle(name) {
  if (shown.open.has(name)) return closeRow(name);
  if (shown.open.size >= MOST_OPEN) closeRow(shown.open.keys().next().value);
  shown.open.set(name, { servers: SERVERS_AT_ONCE, before: null, shown: null });
  openRow(name);
  askServers(name);
}

function openRow(name) {
  const row = shown.rows.get(name);
  row.button.setAttribute("aria-expanded", "true");
  row.element.classList.add("open");
  row.inside = h("div", {}, h("p.muted", {}, "Asking for the servers…"));
  row.detail = h("tr.detail", {}, h("td", { colspan: GROUP_COLUMNS.length }, row.inside));
  row.element.after(row.detail);
  row.servers = null;
}

function closeRow(name) {
  shown.open.delete(name);
  const row = shown.rows.get(name);
  if (!row) return;
  row.button.setAttribute("aria-expanded", "false");
  row.element.classList.remove("open");
  row.detail?.remove();
  row.detail = null;
}

/// Asks for the servers of an open upstream.
async function askServers(name) {
  const open = shown.open.get(name);
  if (!open || !shown.rows.has(name)) return;
  try {
    const answer = await detail(`http/upstreams/${encodeURIComponent(name)}`);
    showServers(name, { ...answer, at: performance.now() });
    const group = groupNamed(name);
    if (group?.zone && answer.peers.length) learnRights(group, answer.peers[0]);
  } catch (error) {
    const row = shown.rows.get(name);
    if (row?.detail && !row.servers) row.inside.replaceChildren(h("p.is-bad", {}, `The servers are not known: ${error.message}`));
  }
}

const SERVER_COLUMNS = [["Server"], ["State"], ["Weight", "num"], ["Active", "num"], ["Requests", "num"], ["Share", "num"], ["Time", "num"], ["5xx", "num"], ["Failed", "num"], ["Checks", "num.wide"], ["", "num"]];

function showServers(name, answer) {
  const [open, row, group] = [shown.open.get(name), shown.rows.get(name), page.groups.find((it) => it.name === name)];
  if (!open || !row || !row.detail || !group) return;
  const before = open.before;
  open.before = answer;
  const rank = { unhealthy: 0, unavail: 1, checking: 2, draining: 3, down: 4, up: 5 };
  const peers = answer.peers.map((peer, at) => ({ peer, at })).sort((one, other) => rank[one.peer.state] - rank[other.peer.state] || one.at - other.at).map(({ peer }) => peer);
  const earlier = new Map(before ? before.peers.map((peer) => [peer.id, peer]) : []);
  const seconds = before ? (answer.at - before.at) / 1000 : 0;
  const gains = new Map(peers.map((peer) => [peer.id, gainsOf(peer, earlier.get(peer.id), seconds)]));
  const all = [...gains.values()].reduce((sum, gain) => sum + (gain.requests || 0), 0);
  const ever = peers.reduce((sum, peer) => sum + peer.requests, 0);
  if (!row.servers) {
    const made = table(`Servers of ${name}`, SERVER_COLUMNS, [], "table.servers");
    row.servers = { body: made.querySelector("tbody"), rows: new Map(), facts: h("div"), more: h("button.more", { type: "button", onclick: () => { open.servers += SERVERS_AT_ONCE; askServers(name); } }) };
    row.inside.replaceChildren(row.servers.facts, made, row.servers.more);
  }
  const { rows, body, facts, more } = row.servers;
  const visible = peers.filter((peer, at) => at < open.servers || isHeld(rows.get(peer.id)) || (question?.peer.id === peer.id && question.group.name === name));
  const wanted = new Set(visible.map((peer) => peer.id));
  for (const [id, known] of rows) {
    if (wanted.has(id)) continue;
    if (isHeld(known)) row.button.focus();
    known.element.remove();
    rows.delete(id);
  }
  const held = body.contains(document.activeElement);
  visible.forEach((peer, at) => {
    const known = rows.get(peer.id) || makeServer(rows, peer.id);
    if (!known.element.parentNode || !held) {
      if (body.children[at] !== known.element) body.insertBefore(known.element, body.children[at] || null);
    }
    const gain = gains.get(peer.id);
    const share = all > 0 ? percent(gain.requests || 0, all) : percent(peer.requests, ever);
    showServer(known, group, peer, gain, share, page.unfit.find((it) => it.id === peer.id && page.groups[it.group]?.name === name));
  });
  more.hidden = peers.length <= visible.length;
  say(more, `Show ${Math.min(SERVERS_AT_ONCE, peers.length - visible.length)} of ${number(peers.length - visible.length)} more`);
  settle(facts, groupFacts(group, answer, peers));
}

/// What a server gained per second.
function gainsOf(peer, before, seconds) {
  if (!before || !(seconds > 0)) return { requests: null, errors: null };
  const gain = (pick) => Math.max(0, (pick(peer) - pick(before)) / seconds);
  return { requests: gain((it) => it.requests), errors: gain((it) => it.responses["5xx"]), fails: gain((it) => it.fails) };
}

/// What is said about the whole group above its servers.
function groupFacts(group, answer, peers) {
  const facts = [];
  if (!group.zone) facts.push(h("p.muted", {}, "This group has no zone: its responses are not counted, and its servers cannot be changed here. Add “zone NAME 64k;”."));
  if (answer.zombies) facts.push(h("p.muted", {}, `${plural(answer.zombies, "removed server still has", "removed servers still have")} requests.`));
  for (const [key, title] of [["response_time_hist", "Response time"], ["header_time_hist", "Time to the header"], ["connect_time_hist", "Time to connect"]]) {
    const hist = joined(peers.map((peer) => peer[key]));
    if (hist && (hist.count || key === "response_time_hist") && group.zone) facts.push(latency(title, hist));
  }
  if (answer.queue && answer.queue.time_hist?.count) facts.push(latency("Time in the queue", answer.queue.time_hist));
  const causes = {};
  for (const peer of peers) {
    for (const [cause, count] of Object.entries(peer.failures || {})) causes[cause] = (causes[cause] || 0) + count;
  }
  for (const [cause, count] of [["no_live", answer.no_live], ["retries_refused", answer.retries_refused]]) if (count) causes[cause] = count;
  const listed = Object.entries(causes).filter(([, count]) => count).sort((one, other) => other[1] - one[1]);
  if (listed.length) facts.push(h("p", {}, h("span.muted", {}, "Failures by cause: "), listed.map(([cause, count]) => `${cause.replaceAll("_", " ")} ${number(count)}`).join(", ")));
  return facts;
}

function makeServer(rows, id) {
  const cell = (title, classes) => h(`td${classes || ""}`, { "data-name": title });
  const known = { name: h("td.name.mono"), state: h("span.state"), why: h("span.why"), weight: cell("weight", ".num"), active: cell("active", ".num"), rate: cell("requests", ".num"), share: cell("share", ".num"), time: cell("time", ".num"), errors: cell("5xx", ".num"), fails: cell("failed", ".num"), checks: cell("checks", ".num.wide"), acts: h("td.num.acts-cell") };
  known.element = h("tr", {}, known.name, h("td", {}, known.state, known.why), known.weight, known.active, known.rate, known.share, known.time, known.errors, known.fails, known.checks, known.acts);
  rows.set(id, known);
  return known;
}

const TONES = { up: "is-good", draining: "is-warn", checking: "is-warn", down: "muted", unavail: "is-bad", unhealthy: "is-bad" };

function showServer(known, group, peer, gain, share, unfit) {
  const sure = unfit && unfit.state === peer.state ? unfit : null;
  say(known.name, `${peer.server}${peer.name !== peer.server ? ` (${peer.name})` : ""}${peer.backup ? " · backup" : ""}`);
  say(known.state, peer.state);
  known.state.className = `state ${TONES[peer.state] || ""}`;
  const since = peer.downstart ? page.at - Date.parse(peer.downstart) : null;
  const reasons = sure ? sure.reasons : peer.reasons;
  const words = [peer.state === "up" ? "" : why(peer.state, reasons, since, sure && sure.until), slowStart(peer), agentWords(peer)];
  say(known.why, words.filter(Boolean).join("; "));
  say(known.weight, `${peer.weight}${peer.effective_weight !== undefined && peer.effective_weight !== peer.weight ? ` → ${peer.effective_weight}` : ""}`);
  say(known.active, `${number(peer.active)}${peer.max_conns ? ` of ${number(peer.max_conns)}` : ""}`);
  known.active.classList.toggle("is-warn", peer.max_conns > 0 && peer.active >= peer.max_conns);
  say(known.rate, gain.requests === null ? number(peer.requests) : `${rate(gain.requests)}/s`);
  say(known.share, share);
  say(known.time, peer.header_time === undefined && peer.response_time === undefined ? "–" : `${millis(peer.header_time)} / ${millis(peer.response_time)}`);
  known.time.title = "average to the header / to the last byte";
  say(known.errors, number(peer.responses["5xx"]));
  known.errors.classList.toggle("is-bad", gain.errors > 0);
  say(known.fails, number(peer.fails));
  known.fails.classList.toggle("is-bad", gain.fails > 0);
  const checks = peer.health_checks;
  say(known.checks, checks.checks ? `${number(checks.fails)} of ${number(checks.checks)} failed` : "–");
  showActs(known, group, peer);
}

function slowStart(peer) {
  const part = peer.slow_start_share;
  return part === undefined ? "" : `slow start: has ${Math.round(part * 100)} % of its weight`;
}

function agentWords(peer) {
  const agent = peer.agent;
  return agent ? `agent: ${agent.state}, weight ${agent.weight}${agent.up ? "" : ", down"}` : "";
}
