// Upstreams: a row for each, which opens to show its servers (servers.js).

/// The number of upstreams that are in the page at once.
const GROUPS_AT_ONCE = 50;

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
  shown.open.set(name, { servers: SERVERS_AT_ONCE, find: "", before: null, last: null });
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
