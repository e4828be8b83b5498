// Drawings: lines of the last minutes, bars and histograms.

/// A line over time. `update` gets the values, oldest first; null is a gap.
function spark(label, red) {
  const area = draw("path", { class: "area" });
  const line = draw("path", { class: "line" });
  const title = draw("title", {});
  const svg = draw("svg", { class: red ? "spark red" : "spark", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" }, title, area, line);
  return {
    svg,
    update(values, show) {
      const known = values.filter((value) => value !== null);
      const most = Math.max(...known, 0);
      const text = known.length ? `${label}: at most ${show(most)}, now ${show(known[known.length - 1])}` : `${label}: nothing yet`;
      if (title.textContent !== text) {
        title.textContent = text;
        svg.setAttribute("aria-label", text);
      }
      let [path, fillPath, start] = ["", "", null];
      const x = (at) => ((100 * at) / Math.max(1, values.length - 1)).toFixed(2);
      const close = (at) => { if (start !== null) fillPath += `L${x(at)} 40L${x(start)} 40Z`; start = null; };
      values.forEach((value, at) => {
        if (value === null) return close(at - 1);
        const y = (38 - (36 * value) / (most || 1)).toFixed(1);
        path += `${start === null ? "M" : "L"}${x(at)} ${y}`;
        fillPath += `${start === null ? "M" : "L"}${x(at)} ${y}`;
        if (start === null) start = at;
      });
      close(values.length - 1);
      line.setAttribute("d", path);
      area.setAttribute("d", fillPath);
    },
  };
}

/// A bar of parts: [class, amount].
function bar(parts) {
  const element = h("div.bar", { "aria-hidden": "true" });
  const all = parts.reduce((sum, [, amount]) => sum + amount, 0);
  for (const [name, amount] of parts) {
    if (amount > 0) {
      const part = h(`i.b-${name}`);
      part.style.width = `${Math.max(2, (100 * amount) / all)}%`;
      element.append(part);
    }
  }
  return element;
}

/// A histogram of the API as [upper bound in milliseconds, count], in order of the bounds.
function buckets(hist) {
  const pairs = Object.entries(hist.buckets).map(([end, count]) => [end === "inf" ? Infinity : Number(end), count]);
  return pairs.sort((one, other) => one[0] - other[0]);
}

/// The sum of histograms with the same bounds; null without any.
function joined(hists) {
  let sum = null;
  for (const hist of hists.filter(Boolean)) {
    sum ||= { count: 0, sum: 0, buckets: {} };
    sum.count += hist.count;
    sum.sum += hist.sum;
    for (const [end, count] of Object.entries(hist.buckets)) sum.buckets[end] = (sum.buckets[end] || 0) + count;
  }
  return sum;
}

/// What a histogram gained; the whole one if it began anew.
function gained(now, before) {
  if (!now || !before || before.count > now.count) return now;
  const gain = { count: now.count - before.count, sum: now.sum - before.sum, buckets: {} };
  for (const [end, count] of Object.entries(now.buckets)) gain.buckets[end] = count - (before.buckets[end] || 0);
  return gain;
}

/// The time that a part of all times does not exceed, in milliseconds; interpolated in its bucket.
function quantile(hist, part) {
  if (!hist || !hist.count) return null;
  let [below, lower] = [0, 0];
  for (const [end, count] of buckets(hist)) {
    if (count && below + count >= part * hist.count) {
      return end === Infinity ? lower : lower + ((end - lower) * (part * hist.count - below)) / count;
    }
    below += count;
    if (end !== Infinity) lower = end;
  }
  return lower;
}

/// Percentiles and bars of a histogram.
function latency(title, hist) {
  if (!hist || !hist.count) return h("p.muted", {}, `${title}: no times yet.`);
  const facts = [["mean", hist.sum / hist.count], ["p50", quantile(hist, 0.5)], ["p95", quantile(hist, 0.95)], ["p99", quantile(hist, 0.99)]];
  const parts = buckets(hist);
  const most = Math.max(...parts.map(([, count]) => count));
  const width = 100 / parts.length;
  const bars = parts.map(([end, count], at) => {
    const height = count ? Math.max(1.5, (44 * count) / most) : 0;
    const upTo = end === Infinity ? "longer" : `up to ${millis(end)}`;
    return draw("rect", { x: `${at * width + 0.4}%`, width: `${width - 0.8}%`, y: 46 - height, height }, draw("title", {}, `${upTo}: ${number(count)}`));
  });
  const spoken = facts.map(([name, value]) => `${name} ${millis(value)}`).join(", ");
  return h("div.split", {},
    h("dl", {}, h("div", {}, h("dt", {}, title), h("dd", {}, plural(hist.count, "answer"))),
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, millis(value))))),
    draw("svg", { class: "hist", role: "img", "aria-label": `${title}: ${spoken}` }, bars));
}
