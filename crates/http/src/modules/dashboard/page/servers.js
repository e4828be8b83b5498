// The servers of open upstreams, which are asked for only while somebody looks at them. Of a large
// upstream, the page has those that fail first and a bounded number of others, and finds the rest.

/// The number of servers of an upstream that come at once, and the maximum that is in the page.
const SERVERS_AT_ONCE = 100;
const MOST_SERVERS = 500;

/// The time in which somebody goes on typing, in milliseconds.
const TYPING = 250;

/// Asks for the servers of an open upstream.
async function askServers(name) {
  const open = shown.open.get(name);
  if (!open || !shown.rows.has(name)) return;
  const { find, servers } = open;
  let answer;
  try {
    answer = await detail(`http/upstreams/${encodeURIComponent(name)}`, `&order=failing&limit=${servers}${find && `&find=${encodeURIComponent(find)}`}`);
  } catch (error) {
    const row = shown.rows.get(name);
    if (row?.detail && !row.servers) row.inside.replaceChildren(h("p.is-bad", {}, `The servers are not known: ${error.message}`));
    return;
  }
  // Others may be looked for by now.
  if (shown.open.get(name) !== open || open.find !== find) return;
  showServers(name, { ...answer, at: performance.now() });
  const group = groupNamed(name);
  if (group && answer.peers.length) learnRights(group, answer.peers[0]);
}

const SERVER_COLUMNS = [["Server"], ["State"], ["Weight", "num"], ["Active", "num"], ["Requests", "num"], ["Share", "num"], ["Time", "num"], ["5xx", "num"], ["Failed", "num"], ["Checks", "num.wide"], ["", "num"]];

function showServers(name, answer) {
  const [open, row, group] = [shown.open.get(name), shown.rows.get(name), groupNamed(name)];
  if (!open || !row || !row.detail || !group) return;
  // Viewers share an answer for a second: rates are over more than that.
  if (!open.last || answer.at - open.last.at > 1000) [open.before, open.last] = [open.last, answer];
  const { before } = open;
  row.servers ||= makeServers(name, open, row);
  const { peers } = answer;
  const earlier = new Map(before ? before.peers.map((peer) => [peer.id, peer]) : []);
  const seconds = before ? (answer.at - before.at) / 1000 : 0;
  const gains = new Map(peers.map((peer) => [peer.id, gainsOf(peer, earlier.get(peer.id), seconds)]));
  const all = seconds > 0 ? (answer.summary.requests - before.summary.requests) / seconds : 0;
  removeServers(name, row, new Set(peers.map((peer) => peer.id)), answer.matching > peers.length);
  const { rows, body } = row.servers;
  const held = body.contains(document.activeElement);
  peers.forEach((peer, at) => {
    const known = rows.get(peer.id) || makeServer(rows, peer.id);
    if (!known.element.parentNode || !held) {
      if (body.children[at] !== known.element) body.insertBefore(known.element, body.children[at] || null);
    }
    const gain = gains.get(peer.id);
    const share = all > 0 ? percent(gain.requests || 0, all) : percent(peer.requests, answer.summary.requests);
    showServer(known, group, peer, gain, share, page.unfit.find((it) => it.id === peer.id && page.groups[it.group]?.name === name));
  });
  showRest(row.servers, open, answer);
  settle(row.servers.facts, groupFacts(group, answer));
}

/// The parts below an open upstream.
function makeServers(name, open, row) {
  const made = table(`Servers of ${name}`, SERVER_COLUMNS, [], "table.servers");
  let typed = null;
  const look = (event) => {
    clearTimeout(typed);
    typed = setTimeout(() => Object.assign(open, { find: event.target.value.trim(), servers: SERVERS_AT_ONCE }) && askServers(name), TYPING);
  };
  const find = h("input", { type: "search", placeholder: "part of an address or a name", autocomplete: "off", spellcheck: "false", maxlength: "200", value: open.find, oninput: look });
  const parts = {
    body: made.querySelector("tbody"), rows: new Map(), facts: h("div"), find: h("label.find", {}, "Find a server ", find), none: h("p.muted", {}, "No server has this in its address or name."),
    more: h("button.more", { type: "button", onclick: () => { open.servers = Math.min(MOST_SERVERS, open.servers + SERVERS_AT_ONCE); askServers(name); } }), rest: h("p.muted.more"),
  };
  row.inside.replaceChildren(parts.facts, parts.find, made, parts.none, parts.more, parts.rest);
  return parts;
}

/// Removes the rows of servers that are not wanted. One in which somebody is, or about which there is
/// a question, stays as it was if it may only have left the list.
function removeServers(name, row, wanted, isPart) {
  for (const [id, known] of row.servers.rows) {
    if (wanted.has(id)) continue;
    const isAsked = question?.peer.id === id && question.group.name === name;
    if (isPart && (isHeld(known) || isAsked)) continue;
    if (isHeld(known)) row.button.focus();
    known.element.remove();
    row.servers.rows.delete(id);
  }
}

/// How many servers are not in the list, and the ways to them.
function showRest({ find, none, more, rest }, open, { matching, peers, summary }) {
  const left = Math.max(0, matching - peers.length);
  find.hidden = summary.servers <= SERVERS_AT_ONCE;
  none.hidden = matching > 0 || !open.find;
  more.hidden = !left || open.servers >= MOST_SERVERS;
  say(more, `Show ${number(Math.min(SERVERS_AT_ONCE, left))} of ${number(left)} more`);
  rest.hidden = !left || open.servers < MOST_SERVERS;
  say(rest, `${number(left)} more servers are not listed: find them by a part of their address or name.`);
}

/// What a server gained per second.
function gainsOf(peer, before, seconds) {
  if (!before || !(seconds > 0)) return { requests: null, errors: null };
  const gain = (pick) => Math.max(0, (pick(peer) - pick(before)) / seconds);
  return { requests: gain((it) => it.requests), errors: gain((it) => it.responses["5xx"]), fails: gain((it) => it.fails) };
}

/// What is said about the whole group above its servers.
function groupFacts(group, answer) {
  const { peers, summary } = answer;
  // Without sums over all, those of the listed ones are named so.
  const of = summary.servers > peers.length && !summary.response_time_hist ? " of those listed" : "";
  const facts = [];
  if (!group.zone) facts.push(h("p.muted", {}, "This group has no zone: its responses are not counted, and its servers cannot be changed here. Add “zone NAME 64k;”."));
  if (answer.zombies) facts.push(h("p.muted", {}, `${plural(answer.zombies, "removed server still has", "removed servers still have")} requests.`));
  for (const [key, title] of [["response_time_hist", "Response time"], ["header_time_hist", "Time to the header"], ["connect_time_hist", "Time to connect"]]) {
    const hist = summary[key] || joined(peers.map((peer) => peer[key]));
    if (hist && (hist.count || key === "response_time_hist") && group.zone) facts.push(latency(`${title}${of}`, hist));
  }
  if (answer.queue && answer.queue.time_hist?.count) facts.push(latency("Time in the queue", answer.queue.time_hist));
  const causes = { ...summary.failures };
  for (const peer of summary.failures ? [] : peers) {
    for (const [cause, count] of Object.entries(peer.failures || {})) causes[cause] = (causes[cause] || 0) + count;
  }
  for (const [cause, count] of [["no_live", answer.no_live], ["retries_refused", answer.retries_refused]]) if (count) causes[cause] = count;
  const listed = Object.entries(causes).filter(([, count]) => count).sort((one, other) => other[1] - one[1]);
  if (listed.length) facts.push(h("p", {}, h("span.muted", {}, `Failures by cause${of}: `), listed.map(([cause, count]) => `${cause.replaceAll("_", " ")} ${number(count)}`).join(", ")));
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
