// The course of the page: it asks for the state, shows it, and obeys keys.

/// The time between two questions, in milliseconds, and the longest while there is no answer.
const EVERY = 2000;
const LONGEST = 10000;

const page = {
  state: null, before: null, at: 0, seconds: 1, api: {}, groups: [], unfit: [], left_out: 0,
  points: [], sums: [], courses: new Map(), courseStep: 10000, rates: new Map(), gains: { refused: [] },
  latencies: [], medians: [], minute: null, wrong: 0, zones: false, active: 0,
  wait: EVERY, timer: null, answered: 0, asking: false, paused: false,
};

/// Takes a state in, unless it is the one before: viewers share answers.
function take(state) {
  if (page.state && page.state.at === state.at) return;
  // Over a clock that was set back, nothing is compared.
  const isBack = page.state && state.at < page.at;
  if (isBack) forgetAfter(state.at);
  page.before = isBack ? null : page.state;
  page.state = state;
  page.seconds = page.before ? Math.max(0.2, (state.at - page.before.at) / 1000) : 1;
  page.at = state.at;
  page.api = state.api;
  page.groups = state.groups.map((row, at) => ({ ...groupOf(row), at }));
  page.unfit = state.unfit.map(unfitOf);
  page.left_out = state.unfit_left_out;
  page.zones = Object.keys(state.api["http/server_zones"] || {}).length > 0;
  const isNew = !page.before || page.before.api.nginx?.pid !== state.api.nginx?.pid;
  const before = isNew ? null : page.before;
  const earlier = new Map(before ? before.groups.map((row) => [row[0], groupOf(row)]) : []);
  page.rates = new Map(page.groups.map((group) => [group.name, groupRates(group, earlier.get(group.name))]));
  page.active = page.groups.reduce((sum, group) => sum + group.active, 0);
  const gain = (pick) => (before ? Math.max(0, pick(state) - pick(before)) / page.seconds : 0);
  const refused = new Map(before ? refusedBy(before.api) : []);
  page.gains = {
    accepted: gain((it) => (it.api.connections || {}).accepted || 0),
    dropped: gain((it) => (it.api.connections || {}).dropped || 0),
    refused: refusedBy(state.api).map(([name, count]) => [name, refused.has(name) ? Math.max(0, count - refused.get(name)) / page.seconds : 0]),
  };
  page.points.push(pointOf(state.point));
  trim(page.points, page.at);
  page.sums.push({ at: state.at, requests: sum(page.groups, "requests"), fails: sum(page.groups, "fails") });
  trim(page.sums, page.at);
  page.minute = page.zones ? lastMinute(page.points) : null;
  noteCourses();
}

/// Forgets what was noted by a clock before that was set back.
function forgetAfter(at) {
  const isKnown = (noted) => (noted.at ?? noted[0]) <= at;
  for (const list of ["points", "sums", "latencies", "medians"]) page[list] = page[list].filter(isKnown);
  for (const course of page.courses.values()) course.at = null;
}

const sum = (groups, key) => groups.reduce((all, group) => all + group[key], 0);

function groupRates(group, before) {
  if (!before) return { requests: 0, fails: 0, overflows: 0 };
  const gain = (now, then) => Math.max(0, now - then) / page.seconds;
  return {
    requests: gain(group.requests, before.requests), fails: gain(group.fails, before.fails),
    overflows: group.queue && before.queue ? gain(group.queue[2], before.queue[2]) : 0,
  };
}

/// Adds to the course of each group, once per step of the server's history.
function noteCourses() {
  for (const group of page.groups) {
    let course = page.courses.get(group.name);
    if (!course) page.courses.set(group.name, course = { requests: [], at: page.at, sum: group.requests, changed: 0 });
    if (course.at === null) Object.assign(course, { at: page.at, sum: group.requests });
    if (page.at - course.at < page.courseStep) continue;
    course.requests.push((1000 * Math.max(0, group.requests - course.sum)) / (page.at - course.at));
    while (course.requests.length > BACK / page.courseStep) course.requests.shift();
    Object.assign(course, { at: page.at, sum: group.requests, changed: course.changed + 1 });
  }
  if (page.courses.size > 2 * page.groups.length + 10) {
    const names = new Set(page.groups.map((group) => group.name));
    for (const name of page.courses.keys()) if (!names.has(name)) page.courses.delete(name);
  }
}

/// Takes the server's history in, at the beginning.
function takeHistory(history) {
  page.points = history.points.map(pointOf);
  page.courseStep = history.group_step || page.courseStep;
  for (const [name, [requests]] of Object.entries(history.groups)) {
    page.courses.set(name, { requests: requests.slice(1).map((count) => (1000 * count) / page.courseStep), at: null, sum: 0, changed: 1 });
  }
}

function show() {
  const parts = [showTraffic, showUpstreams, showUnderWay, showSections, showWrong, showHead, showQuestion];
  parts.forEach((part) => part(page));
  listCounts();
}

function showHead({ api, state }) {
  const nginx = api.nginx || {};
  say($("host"), state.host);
  document.title = page.wrong ? `(${page.wrong}) Weir ${state.host}` : `Weir ${state.host}`;
  say($("facts"), nginx.build ? `${nginx.build.replace("-", " ")} · configuration ${nginx.generation}, loaded ${span(page.at - Date.parse(nginx.load_timestamp))} ago · ${nginx.address}` : "");
}

function listCounts() {
  const link = $("nav-wrong");
  const text = page.wrong ? ` ${page.wrong}` : "";
  if (link.dataset.count === text) return;
  link.dataset.count = text;
  link.replaceChildren(NAMES.wrong, text ? h("span.count", {}, text.trim()) : "");
}

/// Asks for the state, and for the servers of open upstreams.
async function poll(isNow) {
  if (page.asking) return void (page.again ||= isNow);
  clearTimeout(page.timer);
  if (page.paused && !isNow) return;
  page.asking = true;
  try {
    const state = await ask("?state");
    page.answered = Date.now();
    page.wait = EVERY;
    const isAnother = page.before && page.state.api.nginx?.generation !== state.api.nginx?.generation;
    take(state);
    show();
    if (isAnother) learnEdits();
    await Promise.all([...shown.open.keys()].map(askServers));
    live();
  } catch (error) {
    page.wait = Math.min(LONGEST, page.wait * 2);
    live(error);
    if (!error.status && !/answer|connection|JSON/.test(error.message)) console.error(error);
  }
  page.asking = false;
  if (page.again) {
    page.again = false;
    return poll(true);
  }
  if (!document.hidden && !page.paused) page.timer = setTimeout(poll, page.wait);
}

/// Says whether the figures are of now.
function live(error) {
  const element = $("live");
  element.className = error ? "stale" : page.paused ? "paused" : "";
  const since = page.answered ? `figures are of ${new Date(page.answered).toLocaleTimeString("en-GB")}` : "no figures yet";
  say($("live-text"), error ? `${error.message}; ${since}` : page.paused ? `paused; ${since}` : "live");
}

function pause() {
  page.paused = !page.paused;
  $("pause").setAttribute("aria-pressed", String(page.paused));
  say($("pause"), page.paused ? "Go on" : "Pause");
  live();
  if (!page.paused) poll(true);
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
  say($("theme"), `Theme: ${theme}`);
  memory.set("theme", theme);
}

const nextTheme = () => setTheme(THEMES[(THEMES.indexOf(memory.get("theme") || "auto") + 1) % THEMES.length]);

const KEYS = [
  ["w", "what is wrong", () => go("#wrong")],
  ["t", "traffic", () => go("#traffic")],
  ["u", "upstreams", () => go("#upstreams")],
  ["/", "filter the upstreams", () => { go("#upstreams"); $("filter").focus(); }],
  ["r", "find a request by its id", () => { go("#requests"); $("request-id").focus(); }],
  ["e", "the last errors", () => { go("#requests"); $("last-errors").click(); }],
  ["s", "the last slow requests", () => { go("#requests"); $("last-slow").click(); }],
  ["z", "undo the last change", () => $("toasts").querySelector(".toast:last-child .undo")?.click()],
  ["p", "pause, and go on", pause],
  ["d", "light, dark, or as the system", () => nextTheme()],
  ["?", "this list", () => showHelp()],
];

function showHelp() {
  const dialog = $("help");
  const rows = [...KEYS, ["↑ ↓", "from one upstream to another"], ["Enter", "open, close, press"], ["Esc", "close"]];
  dialog.replaceChildren(h("h2", { id: "help-h" }, "Keys"),
    h("dl", {}, rows.flatMap(([key, words]) => [h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, words)])),
    h("div.tools", {}, h("button.first", { type: "button", onclick: () => dialog.close() }, "Close")));
  dialog.showModal();
}

function obeyKey(event) {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape" && isTyping) return event.target.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const found = KEYS.find(([key]) => key === event.key);
  if (found) { event.preventDefault(); found[2](); }
}

async function begin() {
  setTheme(THEMES.includes(memory.get("theme")) ? memory.get("theme") : "auto");
  listSections();
  $("pause").addEventListener("click", pause);
  $("theme").addEventListener("click", nextTheme);
  $("help-open").addEventListener("click", showHelp);
  $("filter").addEventListener("input", () => { shown.groups = GROUPS_AT_ONCE; showUpstreams(page); });
  $("order").addEventListener("change", () => showUpstreams(page));
  $("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = $("request-id").value.trim();
    if (id) findRequest(id);
  });
  $("last-errors").addEventListener("click", () => listRequests("errors", "errors"));
  $("last-slow").addEventListener("click", () => listRequests("slow", "slow requests"));
  $("wrong-body").addEventListener("click", ({ target }) => target.dataset.go && go(target.dataset.go));
  document.addEventListener("keydown", obeyKey);
  addEventListener("online", () => poll(true));
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(page.timer) : poll(true)));
  await Promise.all([learnEdits(), ask("?history").then(takeHistory).catch(() => {})]);
  poll(true);
}

begin();
