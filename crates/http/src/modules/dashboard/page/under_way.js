// Requests under way: what each does, for how long and where, the oldest first.

const UNDER_WAY_COLUMNS = [["Age", "num"], ["Does"], ["Request"], ["Location", "wide"], ["Client", "mid"]];

/// What waits are for; others are shown by their names.
const WAITS = {
  request_body: "waits for the body of the request", queue: "waits in the queue of the upstream", cache_lock: "waits for another request that fills the cache",
  limit_req: "is delayed by limit_req", auth_delay: "is delayed by auth_delay",
};

/// What a request does, in words.
function doing(request) {
  const server = request.upstream_server || "a server";
  const whose = request.upstream && request.upstream !== request.upstream_server ? `${server} of ${request.upstream}` : server;
  const words = {
    wait: WAITS[request.what] || `waits: ${(request.what || "").replaceAll("_", " ")}`,
    connect: `connects to ${whose}`, response_head: `waits for the response of ${whose}`, response_body: `passes on the response of ${whose}`,
    send: "sends the response", phase: request.what ? `is in the ${request.what} phase` : "begins",
  };
  return words[request.doing] || request.doing;
}

const underWay = { rows: new Map(), table: null, height: 0 };

function showUnderWay({ state }) {
  const { shown: listed, left_out } = state.under_way || { shown: [], left_out: 0 };
  const box = $("under-way");
  if (!underWay.table) {
    underWay.table = table("Requests under way, the oldest first", UNDER_WAY_COLUMNS, []);
    underWay.none = h("p.muted", {}, "No request that is recorded is under way.");
    box.append(underWay.none, underWay.table);
    addEventListener("resize", () => { box.style.minHeight = ""; underWay.height = 0; });
  }
  say($("under-way-count"), left_out ? `the oldest ${number(listed.length)}, and ${number(left_out)} more` : listed.length ? number(listed.length) : "");
  arrangeUnderWay(listed);
  underWay.none.hidden = underWay.rows.size > 0;
  underWay.table.hidden = underWay.rows.size === 0;
  // What is below keeps its place when requests end.
  const height = box.offsetHeight;
  if (height > underWay.height) box.style.minHeight = `${underWay.height = height}px`;
}

/// Adds the new ones and removes those that have ended. The one in which somebody is stays.
function arrangeUnderWay(listed) {
  const { rows } = underWay;
  const body = underWay.table.querySelector("tbody");
  const wanted = new Set(listed.map((request) => request.id));
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    if (row.element.contains(document.activeElement)) {
      say(row.does, "has ended");
      say(row.since, "");
    } else {
      row.element.remove();
      rows.delete(id);
    }
  }
  let last = null;
  for (const request of listed) {
    const row = rows.get(request.id) || makeUnderWay(request);
    if (!row.element.parentNode) body.insertBefore(row.element, last ? last.nextSibling : body.firstChild);
    last = row.element;
    say(row.age, micros(request.age));
    say(row.does, doing(request));
    say(row.since, `for ${micros(request.doing_for)}`);
    say(row.location, request.location ? request.location.name : "–");
    row.location.title = request.location?.place || "";
  }
}

function makeUnderWay(request) {
  const row = { age: h("td.num"), does: h("span"), since: h("span.why"), location: h("td.mono.wide") };
  const open = h("button.plain.mono", { type: "button", title: request.host || null, onclick: () => findRequest(request.id) }, request.request || request.id);
  row.element = h("tr", {}, row.age, h("td", {}, row.does, row.since), h("td.name", {}, open), row.location, h("td.mono.mid", {}, request.client || "–"));
  underWay.rows.set(request.id, row);
  return row;
}
