// Traffic: figures per second with their last ten minutes.

/// The time that lines go back.
const BACK = 600000;

/// A point of the server's history, as an object.
function pointOf([at, requests, connections, received, sent, ...classes]) {
  return { at, requests, connections, received, sent, classes };
}

/// The rate of a count between points that follow each other; null over a gap or a restart.
function rates(points, pick) {
  const found = [];
  for (let at = 1; at < points.length; at++) {
    const [one, next] = [points[at - 1], points[at]];
    const time = next.at - one.at;
    const gain = pick(next) - pick(one);
    found.push(gain < 0 || time <= 0 || time > 20000 ? null : (1000 * gain) / time);
  }
  return found;
}

/// Leaves out what is too old, and thins the rest to what a line can show.
function trim(points, now) {
  while (points.length && points[0].at < now - BACK) points.shift();
  for (let at = points.length - 2; at > 0; at--) {
    if (points[at + 1].at - points[at - 1].at < 1500) points.splice(at, 1);
  }
}

/// The sums of the last minute.
function lastMinute(points) {
  const last = points[points.length - 1];
  const first = points.find((point) => point.at >= last.at - 60000);
  if (!first || first === last) return null;
  const classes = last.classes.map((count, at) => Math.max(0, count - first.classes[at]));
  return { classes, responses: classes.reduce((sum, count) => sum + count, 0), seconds: (last.at - first.at) / 1000 };
}

const tiles = new Map();

/// A tile: a name, a value, what is beside it, and a line.
function tile(key, name, red) {
  if (!tiles.has(key)) {
    const made = { value: h("span.value"), sub: h("span.sub"), extra: h("div"), line: spark(name, red) };
    made.element = h("div.tile", {}, h("span.name", {}, name), made.value, made.sub, made.extra, made.line.svg);
    tiles.set(key, made);
    $("tiles").append(made.element);
  }
  return tiles.get(key);
}

function lastOf(values) {
  for (let at = values.length - 1; at >= 0; at--) if (values[at] !== null) return values[at];
  return 0;
}

function showTraffic(page) {
  const { points, api } = page;
  if (!points.length) return;
  const connections = api.connections || {};
  const requests = tile("requests", "Requests");
  const perSecond = rates(points, (point) => point.requests);
  say(requests.value, `${rate(lastOf(perSecond))}/s`);
  say(requests.sub, `${number((api["http/requests"] || {}).current || 0)} in progress`);
  requests.line.update(perSecond, (value) => `${rate(value)}/s`);

  const open = tile("connections", "Connections");
  say(open.value, number((connections.active || 0) + (connections.idle || 0)));
  say(open.sub, `${number(connections.active || 0)} active, ${number(connections.idle || 0)} idle, ${rate(page.gains.accepted)}/s new`);
  open.line.update(points.map((point) => point.connections), number);

  if (page.zones) {
    showClasses(page);
    const sent = tile("sent", "Sent");
    const out = rates(points, (point) => point.sent);
    const received = rates(points, (point) => point.received);
    say(sent.value, `${bytes(lastOf(out))}/s`);
    say(sent.sub, `${bytes(lastOf(received))}/s received`);
    sent.line.update(out, (value) => `${bytes(value)}/s`);
  }
  showLatency(page);
  if (page.groups.length) {
    const tries = tile("tries", "Attempts at servers");
    const sums = page.sums;
    say(tries.value, `${rate(lastOf(rates(sums, (it) => it.requests)))}/s`);
    say(tries.sub, `${rate(lastOf(rates(sums, (it) => it.fails)))}/s failed, ${number(page.active)} active`);
    tries.line.update(rates(sums, (it) => it.requests), (value) => `${rate(value)}/s`);
  }
}

/// Responses by class, and the line of server errors.
function showClasses(page) {
  const errors = tile("errors", "Server errors (5xx)", true);
  const perSecond = rates(page.points, (point) => point.classes[4]);
  const minute = page.minute || { classes: [0, 0, 0, 0, 0], responses: 0, seconds: 1 };
  say(errors.value, `${rate(lastOf(perSecond))}/s`);
  errors.value.classList.toggle("is-bad", minute.classes[4] > 0);
  say(errors.sub, `${percent(minute.classes[4], minute.responses)} of the last minute`);
  errors.line.update(perSecond, (value) => `${rate(value)}/s`);
  const classes = tile("classes", "Responses of the last minute");
  say(classes.value, number(minute.responses));
  const kinds = ["mute", "good", "info", "warn", "bad"];
  const shown = minute.classes.map((count, at) => [at, count]).filter(([, count]) => count > 0);
  settle(classes.extra, [bar(shown.map(([at, count]) => [kinds[at], count])),
    h("div.classes", {}, shown.map(([at, count]) => h(`span.c${at + 1}`, {}, `${at + 1}xx ${percent(count, minute.responses)}`)))]);
  classes.line.svg.remove();
}

/// Percentiles of the last minute, by the times of the server zones.
function showLatency(page) {
  const now = joined(Object.values(page.api["http/server_zones"] || {}).map((zone) => zone.request_time_hist));
  if (!now) return;
  page.latencies.push([page.at, now]);
  while (page.latencies.length > 2 && page.latencies[1][0] < page.at - 60000) page.latencies.shift();
  const gain = gained(now, page.latencies.length > 1 ? page.latencies[0][1] : null);
  const times = tile("latency", "Time of a request");
  say(times.value, gain && gain.count ? millis(quantile(gain, 0.5)) : "–");
  say(times.sub, gain && gain.count ? `p95 ${millis(quantile(gain, 0.95))}, p99 ${millis(quantile(gain, 0.99))}` : "none in the last minute");
  const before = page.medians[page.medians.length - 1];
  if (!before || before[0] < page.at - 1500) page.medians.push([page.at, gain && gain.count ? quantile(gain, 0.95) : null]);
  while (page.medians.length && page.medians[0][0] < page.at - BACK) page.medians.shift();
  times.line.update(page.medians.map(([, value]) => value), millis);
}
