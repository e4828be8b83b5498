// Changes of servers by the API of this server, each after a question, and with a way back.

/// The time for which the way back is offered, in milliseconds.
const UNDO = 30000;

const edits = { path: null, note: "", may: false };

/// Finds out where the API takes changes, and whether it answers this viewer.
async function learnEdits() {
  let note = "";
  let path = null;
  let may = false;
  try {
    path = (await ask("?here")).write;
    if (path === null) {
      note = "Servers can be changed here where this server has a location with “api write=on;”.";
    } else {
      path = path.replace(/\/+$/, "");
      const answer = await fetch(`${path}/9/nginx`, { cache: "no-store" });
      may = answer.ok;
      if (!may) note = `Servers cannot be changed: the API at ${path} says ${refusal(answer.status, await answer.json().catch(() => null))}.`;
    }
  } catch (error) {
    note = `Whether servers can be changed is not known: ${error.message}.`;
  }
  Object.assign(edits, { path, note, may });
  say($("edit-note"), note);
  $("edit-note").hidden = !note;
}

/// The buttons of a server, as they apply to its state.
function showActs(known, group, peer) {
  known.peer = peer;
  const offered = edits.path !== null && group.zone;
  const key = `${offered} ${edits.may} ${peer.state} ${peer.weight}`;
  if (known.actsKey === key) return;
  known.actsKey = key;
  if (!offered) return known.acts.replaceChildren();
  const of = `${peer.server} of ${group.name}`;
  const button = (text, label, edit) =>
    h("button", { type: "button", disabled: !edits.may, title: edits.may ? null : edits.note, "aria-label": label, onclick: () => edit(page.groups.find((it) => it.name === group.name) || group, known.peer) }, text);
  const isOff = peer.state === "down" || peer.state === "draining";
  const held = known.acts.contains(document.activeElement) ? [...known.acts.querySelectorAll("button")].indexOf(document.activeElement) : -1;
  known.acts.replaceChildren(h("div.acts", {},
    isOff ? button("Up", `Let ${of} take requests`, raise) : button("Drain", `Drain ${of}`, drain),
    peer.state === "down" ? null : button("Down", `Take ${of} down`, lower),
    button("Weight", `Change the weight of ${of}`, reweigh)));
  if (held >= 0) (known.acts.querySelectorAll("button")[held] || known.acts.querySelector("button"))?.focus();
}

/// What a change leaves of the group, and a warning if that is nothing.
function remains(group, peer) {
  const up = group.up - (peer.state === "up" ? 1 : 0);
  const text = up > 0 ? `${plural(up, "server")} of ${group.name} remain${up === 1 ? "s" : ""} up.` : `No other server of ${group.name} is up: its requests will fail.`;
  return h(up > 0 ? "p" : "p.is-bad", {}, text);
}

const before = (peer) => (peer.state === "down" ? { down: true } : peer.state === "draining" ? { down: false, drain: true } : { down: false, drain: false });

function drain(group, peer) {
  confirmed(`Drain ${peer.server}?`, [h("p", {}, "It gets no new requests. Those that are bound to it by a session still go there, and current ones end as usual."), remains(group, peer)], "Drain",
    () => change(group, peer, { drain: true }, before(peer), "drains"));
}

function lower(group, peer) {
  confirmed(`Take ${peer.server} down?`, [h("p", {}, "It gets no more requests at all. Current ones end as usual."), remains(group, peer)], "Take down",
    () => change(group, peer, { down: true }, before(peer), "is down"));
}

function raise(group, peer) {
  confirmed(`Let ${peer.server} take requests?`, [h("p", {}, `It takes its share of the requests of ${group.name} again, as far as it is healthy.`)], "Up",
    () => change(group, peer, { down: false, drain: false }, before(peer), "takes requests"));
}

function reweigh(group, peer) {
  const input = h("input", { id: "weight", type: "number", min: "1", max: "65535", step: "1", value: peer.weight, required: true });
  confirmed(`Weight of ${peer.server}`, [h("p", {}, h("label", { for: "weight" }, "New weight "), input), h("p.muted", {}, `Its share of the requests is its weight among those of ${group.name}.`)], "Change", () => {
    const weight = Number(input.value);
    if (weight !== peer.weight) change(group, peer, { weight }, { weight: peer.weight }, `has weight ${weight}`);
  }, input);
}

/// Asks before something is done.
function confirmed(title, parts, word, act, first) {
  const dialog = $("ask");
  const origin = document.activeElement;
  const yes = h("button.first", { type: "submit" }, word);
  const form = h("form", { method: "dialog", onsubmit: act }, h("h2", { id: "ask-h" }, title), parts,
    h("div.tools", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), yes));
  dialog.replaceChildren(form);
  dialog.onclose = () => { if (origin && origin.isConnected) origin.focus(); };
  dialog.showModal();
  (first || yes).focus();
  first?.select();
}

/// Changes a server, says what happened, and offers the way back.
async function change(group, peer, body, back, words) {
  const name = `${peer.server} of ${group.name}`;
  try {
    await patch(group.name, peer.id, body);
    const undo = back && (() => change(group, peer, back, null, "is as it was before"));
    toast(`${name} ${words}.`, false, undo);
  } catch (error) {
    toast(`${name} is unchanged: ${error.message}`, true);
  }
  poll(true);
}

async function patch(group, id, body) {
  let answer;
  try {
    answer = await fetch(`${edits.path}/9/http/upstreams/${encodeURIComponent(group)}/servers/${id}`, {
      method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Error("the API gave no answer");
  }
  if (!answer.ok) throw new Error(refusal(answer.status, await answer.json().catch(() => null)));
}

/// Says something for a while. Errors stay until they are closed.
function toast(text, isError, undo) {
  const close = () => element.remove();
  const element = h(isError ? "div.toast.bad" : "div.toast", { role: isError ? "alert" : null }, h("span", {}, text),
    undo ? h("button.undo", { type: "button", title: "Undo (z)", onclick: () => { close(); undo(); } }, "Undo") : null,
    h("button", { type: "button", "aria-label": "Close this message", onclick: close }, "✕"));
  $("toasts").append(element);
  while ($("toasts").children.length > 4) $("toasts").firstChild.remove();
  if (!isError) setTimeout(close, UNDO);
}
