// Changes of servers by the API of this server, each after a question, and with a way back.

/// The time for which the way back is offered, in milliseconds.
const UNDO = 30000;

const edits = { path: null, may: false, asked: false };

/// Finds out where the API takes changes.
async function learnEdits() {
  edits.asked = false;
  edits.may = false;
  try {
    const here = await ask("?here");
    edits.path = here.write === null ? null : stripped(here.path) + here.write.replace(/\/+$/, "");
    edits.signedIn = here.signed_in;
    sayEdits(edits.path === null ? "Servers can be changed here where this server has a location with “api write=on;”." : "");
  } catch (error) {
    edits.path = null;
    sayEdits(`Whether servers can be changed is not known: ${error.message}.`);
  }
}

/// The prefix that a proxy in front has taken off the path of this page.
const stripped = (path) => (location.pathname.endsWith(path) ? location.pathname.slice(0, location.pathname.length - path.length) : "");

function sayEdits(note, button) {
  const element = $("edit-note");
  element.hidden = !note;
  element.replaceChildren(note, button || "");
}

/// Finds out whether the viewer may change servers, by a change of this one that changes nothing.
async function learnRights(group, peer, isWanted) {
  if (edits.path === null || !canChange(group) || (edits.asked && !isWanted)) return;
  edits.asked = true;
  const address = serverAddress(group, peer);
  const call = (credentials) => fetch(address, { method: "PATCH", credentials, headers: { "Content-Type": "application/json" }, body: "{}", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  let note = "";
  let button = null;
  try {
    // A browser asks for a password at once; nobody is asked for one just to look.
    let answer = isWanted || edits.signedIn ? null : await call("omit");
    const isPassword = answer?.status === 401 && answer.headers.get("WWW-Authenticate");
    if (isPassword) {
      note = "Servers can be changed by those who sign in. ";
      button = h("button", { type: "button", onclick: () => learnRights(group, peer, true) }, "Sign in");
    } else {
      if (!answer?.ok) answer = await call("same-origin");
      edits.may = answer.ok;
      if (!answer.ok) note = `Servers cannot be changed: the API at ${edits.path} says ${refusal(answer.status, await answer.json().catch(() => null))}.`;
    }
  } catch {
    edits.asked = false;
    note = "Whether servers can be changed is not known: the API gave no answer.";
  }
  sayEdits(note, button);
  for (const name of shown.open.keys()) askServers(name);
}

/// Whether the API can change servers of a group. A browser resolves the names "." and ".." in paths.
const canChange = (group) => group.zone && !/^\.\.?$/.test(group.name);

const isOff = (peer) => peer.state === "down" || peer.state === "draining";

/// The buttons of a server, as they apply to its state; none for those who may not use them. They
/// stay the same elements, so that the focus stays on them.
function showActs(known, group, peer) {
  known.peer = peer;
  if (edits.path === null || !edits.may || !canChange(group)) {
    known.buttons = null;
    return known.acts.replaceChildren();
  }
  if (!known.buttons) {
    const button = (edit) => h("button", { type: "button", onclick: () => begun(group.name, known.peer, edit(known.peer)) });
    known.buttons = [button((peer) => (isOff(peer) ? raise : drain)), button(() => lower), button(() => reweigh)];
    known.acts.replaceChildren(h("div.acts", {}, known.buttons));
  }
  const [turn, down, weigh] = known.buttons;
  const of = `${peer.server} of ${group.name}`;
  const name = (button, text, label) => { say(button, text); button.setAttribute("aria-label", label); };
  if (isOff(peer)) name(turn, "Up", `Let ${of} take requests`);
  else name(turn, "Drain", `Drain ${of}`);
  name(down, "Down", `Take ${of} down`);
  name(weigh, "Weight", `Change the weight of ${of}`);
  if (peer.state === "down" && document.activeElement === down) turn.focus();
  down.hidden = peer.state === "down";
}

const serverAddress = (group, peer) => `${edits.path}/9/http/upstreams/${encodeURIComponent(group.name)}/servers/${peer.id}`;

/// Asks for a server as it is now, before a change of it is asked about: what is shown may be of
/// some seconds ago.
async function begun(name, peer, edit) {
  const group = groupNamed(name);
  if (!group) return;
  try {
    const now = await api("GET", serverAddress(group, peer));
    if (now.server !== peer.server) throw new Error(`it is ${now.server} now`);
    edit(group, peer, now);
  } catch (error) {
    toast(`${peer.server} of ${name} is unchanged: ${error.message}`, true);
    poll(true);
  }
}

const groupNamed = (name) => page.groups.find((it) => it.name === name);

/// Whether no other server of its group takes requests.
const isLast = (group, peer) => group.up - (peer.state === "up" ? 1 : 0) <= 0;

/// What a change leaves of the group, and a warning if that is nothing.
function remains(group, peer) {
  const up = group.up - (peer.state === "up" ? 1 : 0);
  if (up <= 0) return h("p.is-bad", {}, `No other server of ${group.name} is up: its requests will fail.`);
  return h("p", {}, `${plural(up, "server")} of ${group.name} remain${up === 1 ? "s" : ""} up.`);
}

function drain(group, peer, now) {
  confirmed({
    title: `Drain ${peer.server}?`, word: "Drain", group, peer, takesAway: true,
    parts: [h("p", {}, "It gets no new requests. Those that are bound to it by a session still go there, and current ones end as usual.")],
    act: () => change(group, peer, { down: false, drain: true }, now, "drains"),
  });
}

function lower(group, peer, now) {
  confirmed({
    title: `Take ${peer.server} down?`, word: "Take down", group, peer, takesAway: true,
    parts: [h("p", {}, "It gets no more requests at all. Current ones end as usual.")],
    act: () => change(group, peer, { down: true }, now, "is down"),
  });
}

function raise(group, peer, now) {
  confirmed({
    title: `Let ${peer.server} take requests?`, word: "Up", group, peer,
    parts: [h("p", {}, `It takes its share of the requests of ${group.name} again, as far as it is healthy.`)],
    act: () => change(group, peer, { down: false, drain: false }, now, "takes requests"),
  });
}

function reweigh(group, peer, now) {
  const input = h("input", { id: "weight", type: "number", min: "1", max: "65535", step: "1", value: now.weight, required: true });
  confirmed({
    title: `Weight of ${peer.server}`, word: "Change", group, peer, first: input,
    parts: [h("p", {}, h("label", { for: "weight" }, "New weight "), input), h("p.muted", {}, `Its share of the requests is its weight among those of ${group.name}.`)],
    act: () => {
      const weight = Number(input.value);
      if (weight !== now.weight) change(group, peer, { weight }, now, `has weight ${weight}`);
    },
  });
}

/// The question that is open, which follows the state of the group.
let question = null;

/// Asks before something is done. The last server of a group is not taken away by a mere Enter.
function confirmed(wanted) {
  const { title, parts, word, act, first } = wanted;
  const dialog = $("ask");
  const origin = document.activeElement;
  const yes = h("button.first", { type: "submit" }, word);
  const no = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  question = { ...wanted, yes, no, left: h("div", { role: "status" }) };
  const form = h("form", { method: "dialog", onsubmit: act }, h("h2", { id: "ask-h" }, title), parts, question.left, h("div.tools", {}, no, yes));
  dialog.replaceChildren(form);
  dialog.onclose = () => {
    question = null;
    returnFocus(origin, wanted);
  };
  dialog.showModal();
  (first || yes).focus();
  showQuestion();
  first?.select();
}

/// Puts the focus back to where a question came from, or near to it if that is gone.
function returnFocus(origin, { group, peer }) {
  const row = shown.rows.get(group.name);
  const own = row?.servers?.rows.get(peer.id)?.buttons?.find((button) => !button.hidden);
  for (const element of [origin, own, row?.button, $("filter")]) {
    element?.focus();
    if (element && document.activeElement === element) return;
  }
}

/// Brings the open question up to date.
function showQuestion() {
  if (!question) return;
  const group = groupNamed(question.group.name);
  if (!group && !question.yes.disabled) {
    question.left.replaceChildren(h("p.is-bad", {}, "The configuration does not have this upstream any more."));
    question.yes.disabled = true;
    question.no.focus();
  }
  if (!group || question.yes.disabled || !question.takesAway) return;
  const last = isLast(group, question.peer);
  const words = remains(group, question.peer);
  if (question.left.textContent !== words.textContent) question.left.replaceChildren(words);
  question.yes.className = last ? "first danger" : "first";
  say(question.yes, last ? `${question.word} the last one` : question.word);
  if (last && document.activeElement === question.yes) question.no.focus();
}

/// Changes a server that is as it was in `then`, says what happened, and offers the way back.
async function change(group, peer, body, then, words, isUndo) {
  const name = `${peer.server} of ${group.name}`;
  const same = { server: then.server };
  const back = {};
  // A server that is down may be set to drain behind that.
  const touched = "weight" in body ? ["weight"] : ["down", "drain"];
  for (const key of touched) [same[key], back[key]] = [then[key], then[key]];
  try {
    const now = await api("PATCH", serverAddress(group, peer), { if: same, ...body });
    const undo = isUndo ? null : () => change(group, peer, back, now, "is as it was before", true);
    toast(`${name} ${words}.`, false, undo);
  } catch (error) {
    const meanwhile = error.status === 412 ? "it has been changed meanwhile; " : "";
    toast(`${name} is unchanged: ${meanwhile}${error.message}`, true);
  }
  poll(true);
}

/// A call of the API.
async function api(method, address, body) {
  let answer;
  try {
    answer = await fetch(address, {
      method, cache: "no-store", signal: AbortSignal.timeout(PATIENCE),
      ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
    });
  } catch {
    throw new Error("the API gave no answer");
  }
  const found = await answer.json().catch(() => null);
  if (!answer.ok) throw Object.assign(new Error(refusal(answer.status, found)), { status: answer.status });
  if (found === null) throw new Error("the API's answer is not JSON");
  return found;
}

/// Says something for a while. Errors stay until they are closed.
function toast(text, isError, undo) {
  const close = () => element.remove();
  const element = h(isError ? "div.toast.bad" : "div.toast", { role: isError ? "alert" : null }, h("span", {}, text),
    undo ? h("button.undo", { type: "button", title: "Undo (z)", onclick: () => { close(); undo(); } }, "Undo") : null,
    h("button", { type: "button", "aria-label": "Close this message", onclick: close }, "✕"));
  $("toasts").append(element);
  while ($("toasts").children.length > 4) $("toasts").firstChild.remove();
  // The one in which somebody is stays.
  const expire = () => (element.contains(document.activeElement) ? setTimeout(expire, UNDO) : close());
  if (!isError) setTimeout(expire, UNDO);
}
