// The other sections, each of which is there only if the server tells of it.

/// Rules about these sections for the list of what is wrong: see RULES.
const VITAL_RULES = [];

const sections = new Map();

/// Shows a section, or removes it if there is nothing to show.
function section(id, title, content, isWhole) {
  let made = sections.get(id);
  if (!content || !content.length) {
    made?.element.remove();
    sections.delete(id);
    return;
  }
  if (!made) {
    made = { body: h("div") };
    made.element = h(isWhole ? "section.whole" : "section", { id, tabindex: "-1", "aria-labelledby": `${id}-h` }, h("h2", { id: `${id}-h` }, title), made.body);
    sections.set(id, made);
    const order = ORDER.indexOf(id);
    const next = [...sections.keys()].filter((other) => ORDER.indexOf(other) > order).map((other) => sections.get(other).element);
    $("more").insertBefore(made.element, next.find((element) => element.parentNode) || null);
    listSections();
  }
  settle(made.body, content);
}

const ORDER = ["zones", "errors", "tls", "caches", "limits", "pair", "resolvers", "process"];
const NAMES = { wrong: "What is wrong", traffic: "Traffic", upstreams: "Upstreams", requests: "Requests", zones: "Zones", errors: "Errors", tls: "Certificates", caches: "Caches", limits: "Limits", pair: "Pair", resolvers: "Resolvers", process: "Process" };

/// The links to the sections that are there.
function listSections() {
  const ids = ["wrong", "traffic", "upstreams", "requests", ...ORDER].filter((id) => $(id));
  $("nav").replaceChildren(...ids.map((id) => h("a", { href: `#${id}`, id: `nav-${id}` }, NAMES[id])));
}

function showSections(page) {
  section("zones", "Zones", showZones(page), true);
  section("errors", "Errors by cause", showErrors(page));
  section("tls", "Certificates and TLS", showTls(page));
  section("caches", "Caches", showCaches(page));
  section("limits", "Limits", showLimits(page));
  section("pair", "The pair", showPair(page));
  section("resolvers", "Resolvers", showResolvers(page));
  section("process", "Process and reloads", showProcess(page));
}

const ZONE_COLUMNS = [["Zone"], ["Requests", "num"], ["Now", "num.mid"], ["4xx", "num"], ["5xx", "num"], ["Sent", "num.mid"], ["p50", "num.wide"], ["p95", "num.mid"], ["p99", "num"]];

function showZones(page) {
  const content = [];
  for (const [path, title] of [["http/server_zones", "Servers"], ["http/location_zones", "Locations"]]) {
    const zones = Object.entries(page.api[path] || {});
    if (!zones.length) continue;
    const earlier = (page.before && page.before.api[path]) || {};
    const rows = zones.map(([name, zone]) => {
      const before = earlier[name] || zone;
      const gain = (pick) => Math.max(0, pick(zone) - pick(before)) / page.seconds;
      const hist = zone.request_time_hist;
      const errors = gain((it) => it.responses["5xx"]);
      const part = (of) => (hist ? millis(quantile(hist, of)) : "–");
      return h("tr", {}, cells([name, `${rate(gain((it) => it.requests))}/s`, number(zone.processing || 0), number(zone.responses["4xx"]), h("span", { class: errors > 0 ? "is-bad" : null }, number(zone.responses["5xx"])), `${bytes(gain((it) => it.sent))}/s`, part(0.5), part(0.95), part(0.99)], ZONE_COLUMNS));
    });
    content.push(h("h3", {}, title), table(`Zones of ${title.toLowerCase()}`, ZONE_COLUMNS, rows));
    const hist = joined(zones.map(([, zone]) => zone.request_time_hist));
    if (hist && hist.count) content.push(latency(`All ${title.toLowerCase()}`, hist));
  }
  return content;
}

const CACHE_COLUMNS = [["Cache"], ["Hits", "num"], ["Size", "num"], ["Of", "num"], ["Misses", "num.mid"], ["Expired", "num.wide"], ["Stale", "num.wide"], ["Bypassed", "num.wide"]];

function showCaches(page) {
  const caches = Object.entries(page.api["http/caches"] || {});
  if (!caches.length) return [];
  const rows = caches.map(([name, cache]) => {
    const count = (state) => (cache[state] || { responses: 0 }).responses;
    const hits = count("hit") + count("stale") + count("updating") + count("revalidated");
    const all = hits + count("miss") + count("expired") + count("bypass");
    return h("tr", {}, cells([`${name}${cache.cold ? " (loading)" : ""}`, percent(hits, all), bytes(cache.size), cache.max_size ? bytes(cache.max_size) : "–", number(count("miss")), number(count("expired")), number(count("stale") + count("updating")), number(count("bypass"))], CACHE_COLUMNS));
  });
  return [table("Caches", CACHE_COLUMNS, rows)];
}

const LIMIT_COLUMNS = [["Limit"], ["Passed", "num"], ["Delayed", "num.mid"], ["Refused", "num"], ["Now", "num"]];

/// What the limits have refused, as [name, count].
function refusedBy(api) {
  const all = [...Object.entries(api["http/limit_reqs"] || {}), ...Object.entries(api["http/limit_conns"] || {})];
  return all.map(([name, counts]) => [name, (counts.rejected || 0) + (counts.exhausted || 0)]);
}

function showLimits(page) {
  const limits = [...Object.entries(page.api["http/limit_reqs"] || {}), ...Object.entries(page.api["http/limit_conns"] || {})];
  if (!limits.length) return [];
  const now = new Map(page.gains.refused);
  const rows = limits.map(([name, counts]) => h("tr", {}, cells([name, number(counts.passed || 0), counts.delayed === undefined ? "–" : number(counts.delayed), number((counts.rejected || 0) + (counts.exhausted || 0)), h("span", { class: now.get(name) > 0 ? "is-warn" : null }, `${rate(now.get(name) || 0)}/s`)], LIMIT_COLUMNS)));
  return [table("Limits", LIMIT_COLUMNS, rows)];
}

/// What the causes of errors mean; others are shown by their names.
const CAUSES = {
  bad_request: "the request is malformed", head_too_large: "the head of the request is too large", body_too_large: "the body of the request is too large",
  bad_body: "the body of the request is malformed", client_timeout: "the client was too slow", client_closed: "the client went away",
  client_certificate: "no valid certificate of the client", plain_http: "plain HTTP on a port for TLS", unauthorized: "no valid user and password",
  forbidden: "not permitted", not_found: "there is no such file", method_not_allowed: "the method is not permitted",
  condition_failed: "a condition of the request does not hold", only_if_cached: "only a cached response is wanted", limit_req: "a limit of requests (limit_req)",
  limit_conn: "a limit of connections (limit_conn)", configured: "the configuration answers so", closed: "closed without a response",
  auth_request: "auth_request failed", internal: "a fault in the server itself", no_local_port: "no local port is free",
  no_live_upstream: "no server of the upstream takes requests", queue_full: "the queue of the upstream is full", queue_timeout: "waited too long in the queue",
  resolver: "a name could not be resolved", upstream_refused: "the server refused the connection", upstream_unreachable: "the server cannot be reached",
  upstream_connect_timeout: "no connection to the server in time", upstream_tls: "TLS with the server failed", upstream_send_timeout: "the server did not take the request in time",
  upstream_read_timeout: "the server did not answer in time", upstream_closed: "the server closed the connection early",
  upstream_head_too_large: "the head of the server's answer is too large", upstream_bad_response: "the server's answer is invalid", upstream_other: "the server failed otherwise",
};

const causeWords = (cause) => CAUSES[cause] || cause.replaceAll("_", " ");

const ERROR_COLUMNS = [["Cause"], ["Side", "mid"], ["Count", "num"], ["Now", "num"], ["Last", "num.mid"], ["Zones", "wide"]];

function showErrors(page) {
  const causes = Object.entries((page.api.errors || {}).causes || {}).sort((one, other) => other[1].total - one[1].total);
  if (!causes.length) return [];
  const before = ((page.before && page.before.api.errors) || {}).causes || {};
  const zones = Object.entries(page.api.errors.server_zones || {});
  const rows = causes.map(([cause, { total, side, last }]) => {
    const then = before[cause] ? before[cause].total : page.before ? 0 : total;
    const now = Math.max(0, total - then) / page.seconds;
    const places = zones.filter(([, counts]) => counts[cause]).sort((one, other) => other[1][cause] - one[1][cause]);
    const where = places.slice(0, 3).map(([name, counts]) => `${name} ${number(counts[cause])}`).join(", ");
    return h("tr", {}, cells([causeWords(cause), side, number(total), h("span", { class: now > 0 ? (side === "client" ? "is-warn" : "is-bad") : null }, `${rate(now)}/s`),
      last ? `${span(page.at - Date.parse(last))} ago` : "–", `${where}${places.length > 3 ? ", …" : ""}`], ERROR_COLUMNS));
  });
  return [table("Errors by cause", ERROR_COLUMNS, rows)];
}
