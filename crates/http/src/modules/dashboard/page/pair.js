// The pair: the addresses, the other nodes, and what is shared with them. And names that are resolved.

VITAL_RULES.push(({ api }, add) => {
  const { ha } = api;
  if (!ha?.configured) return;
  if (ha.fit === false) add("bad", "This node is not fit to hold the addresses of the pair", ha.unfit, "#pair");
  for (const link of ha.links || []) {
    if (!link.up) add("warn", `Node ${link.node} is not connected`, link.reason, "#pair");
    else if (link.fit === false) add("warn", `Node ${link.node} is not fit to hold the addresses of the pair`, link.unfit, "#pair");
    if (link.up && link.same_configuration === false) add("warn", `Node ${link.node} has another configuration`, "", "#pair");
  }
  const { mirror } = ha;
  if (mirror?.trouble) add("warn", "The configuration is not shared with the other nodes", mirror.trouble.reason, "#pair");
  if (mirror?.left_out) add("warn", `${plural(mirror.left_out, "record is", "records are")} not shared with the other nodes`, "there are too many", "#pair");
});

const LINK_COLUMNS = [["Node"], ["Link"], ["Fit"], ["Configuration", "mid"], ["Waiting", "num.mid"], ["Version", "wide"]];
const ADDRESS_COLUMNS = [["Addresses"], ["Here"], ["For", "num"], ["Why", "mid"]];

const fitWords = (fit, unfit) => (fit === null || fit === undefined ? "–" : fit ? "yes" : `no${unfit ? `: ${unfit}` : ""}`);

function showPair(page) {
  const { ha } = page.api;
  if (!ha?.configured) return [];
  const content = [facts([["This node", ha.node], ["Fit", h("span", { class: ha.fit === false ? "is-bad" : null }, fitWords(ha.fit, ha.unfit))]])];
  if (ha.groups?.length) {
    const rows = ha.groups.map((group) => h("tr", {}, cells([h("span.mono", {}, group.addresses.join(", ")), h("span", { class: group.holds ? "is-good" : null }, group.holds ? "held" : "not held"), span(group.for_ms), group.why || ""], ADDRESS_COLUMNS)));
    content.push(h("h3", {}, "Addresses"), table("Addresses of the pair", ADDRESS_COLUMNS, rows));
  }
  if (ha.links?.length) {
    const rows = ha.links.map((link) => h("tr", {}, cells([
      link.node, h("span", { class: link.up ? "is-good" : "is-bad" }, link.up ? "up" : `down${link.reason ? `: ${link.reason}` : ""}`),
      h("span", { class: link.fit === false ? "is-bad" : null }, fitWords(link.fit, link.unfit)), link.same_configuration === undefined ? "–" : link.same_configuration ? "the same" : h("span.is-warn", {}, "another"),
      number(link.waiting || 0), link.weir || "–"], LINK_COLUMNS)));
    content.push(h("h3", {}, "Other nodes"), table("Other nodes of the pair", LINK_COLUMNS, rows));
  }
  return ha.mirror ? [...content, h("h3", {}, "Shared"), mirrorFacts(ha.mirror)] : content;
}

function mirrorFacts(mirror) {
  const version = (it) => (it ? `${it.counter} of ${it.proposer}` : "none");
  return facts([
    ["Configuration", mirror.has_configuration ? `version ${version(mirror.version)}${mirror.acknowledged ? ", which all nodes have" : ""}` : "each node has its own"],
    ["Under way", typeof mirror.under_way === "string" ? mirror.under_way : mirror.under_way ? "a change" : null],
    ["Records", `${number(mirror.records || 0)}${mirror.untold ? `, ${number(mirror.untold)} not yet told` : ""}`],
    ["Trouble", mirror.trouble && h("span.is-bad", {}, mirror.trouble.reason)],
    ...(mirror.nodes || []).map((node) => [`Node ${node.node}`, [node.connected ? `has version ${version(node.version)}` : "is not connected", node.waiting ? `${number(node.waiting)} wait` : null, node.trouble?.reason].filter(Boolean).join("; ")]),
  ]);
}

const RESOLVER_COLUMNS = [["Resolver"], ["Names", "num"], ["Services", "num.mid"], ["Addresses", "num.mid"], ["Answered", "num"], ["Failed", "num"], ["Failures", "mid"]];

function showResolvers(page) {
  const zones = Object.entries(page.api.resolvers || {});
  if (!zones.length) return [];
  const rows = zones.map(([zone, { requests, responses }]) => {
    const failures = Object.entries(responses || {}).filter(([kind, count]) => kind !== "noerror" && count);
    const failed = failures.reduce((all, [, count]) => all + count, 0);
    return h("tr", {}, cells([zone, number(requests.name || 0), number(requests.srv || 0), number(requests.addr || 0), number(responses.noerror || 0), number(failed), failures.map(([kind, count]) => `${kind} ${number(count)}`).join(", ")], RESOLVER_COLUMNS));
  });
  return [table("Resolvers", RESOLVER_COLUMNS, rows)];
}
