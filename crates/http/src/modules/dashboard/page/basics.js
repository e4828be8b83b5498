// Small things that all parts use: elements, words for figures, and questions to the server.

const $ = (id) => document.getElementById(id);

/// An element: its name with classes ("td.num"), attributes and handlers, and children.
function h(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  fill(element, attributes, children);
  return element;
}

/// An element of a drawing.
function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
}

/// Changes a text only if it differs: the page changes thousands of them.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/// Makes the children of an element like others, and touches only what differs: the focus, a
/// selection, a press of the mouse and scrolled places stay. Children must have no handlers.
function settle(element, wanted) {
  wanted.forEach((next, at) => {
    const now = element.childNodes[at];
    const node = typeof next === "string" ? document.createTextNode(next) : next;
    if (!now) return element.append(node);
    if (now.nodeName !== node.nodeName) return now.replaceWith(node);
    if (node.nodeType === Node.TEXT_NODE) return say(now, node.data);
    for (const { name } of [...now.attributes]) if (!node.hasAttribute(name)) now.removeAttribute(name);
    for (const { name, value } of node.attributes) {
      if (now.getAttribute(name) === value) continue;
      // The policy of the page permits no attribute with a style.
      if (name === "style") now.style.cssText = node.style.cssText;
      else now.setAttribute(name, value);
    }
    settle(now, [...node.childNodes]);
  });
  while (element.childNodes.length > wanted.length) element.lastChild.remove();
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });

function number(value) {
  return Math.abs(value) < 100000 ? whole.format(value) : short.format(value);
}

/// An amount per second.
function rate(value) {
  if (!(value > 0)) return "0";
  return value < 10 ? value.toFixed(value < 0.1 ? 2 : 1) : number(value);
}

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function percent(part, all) {
  if (!all) return "–";
  const value = (100 * part) / all;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

function millis(value) {
  if (value === undefined || value === null) return "–";
  if (value < 10) return `${Math.round(value * 100) / 100} ms`;
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s`;
}

/// A length of time, in its two largest units.
function span(value) {
  const seconds = Math.max(0, Math.round(value / 1000));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  const [size, name] = units[first];
  const count = Math.floor(seconds / size);
  const next = units[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
  return `${count} ${name}${rest && count < 10 ? ` ${rest} ${next[1]}` : ""}`;
}

const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many || `${one}s`}`;

/// The milliseconds after which a question counts as unanswered.
const PATIENCE = 10000;

/// Asks this page's own address. Throws an error whose message is for people.
async function ask(query) {
  const address = location.pathname + query;
  let answer;
  try {
    answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "no answer within 10 s" : "no connection");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw Object.assign(new Error(refusal(answer.status, body)), { status: answer.status });
  if (body === null) throw new Error("the answer is not JSON");
  return body;
}

/// What a refusal says, in words.
function refusal(status, body) {
  const text = body && body.error && body.error.text;
  const meanings = {
    401: "a user and a password are needed",
    403: "this is not permitted to you",
    404: "there is no such thing",
    405: "changes are not permitted here",
    413: "the request is too large",
    429: "too many requests",
    502: "the proxy in front has no answer",
    503: "it is not available at present",
    504: "the proxy in front has no answer in time",
  };
  return `${text || meanings[status] || "the server refused"} (${status})`;
}

const detail = (path, more) => ask(`?api=${encodeURIComponent(path)}${more || ""}`);

/// What is kept in this browser; nothing if it keeps nothing.
const memory = {
  get: (key) => { try { return localStorage.getItem(`weir-${key}`); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(`weir-${key}`, value); } catch { /* private */ } },
};

/// A table with a caption that screen readers say. Columns are [title, classes].
function table(caption, columns, rows, name) {
  const heads = columns.map(([title, classes]) => h(`th${classes ? `.${classes}` : ""}`, { scope: "col" }, title));
  return h("div.scroll", {}, h(name || "table", {}, h("caption.vh", {}, caption), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows)));
}

const cells = (values, columns) =>
  values.map((value, at) => h(`td${columns[at][1] ? `.${columns[at][1]}` : ""}`, {}, value));
