"use strict";
// Small drawing kit: every figure is SVG drawn to the width at hand, coloured through CSS variables.

const SVG_NS = "http://www.w3.org/2000/svg";
const PALETTE_SIZE = 8;

function svgNode(parent, tag, attributes = {}, text) {
  const node = document.createElementNS(SVG_NS, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}

function htmlNode(parent, tag, attributes = {}, text) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}

function canvasFor(figure, width, height, label, marks) {
  const svg = svgNode(figure, "svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label,
  });
  svg.dataset.marks = marks;
  return svg;
}

// ---- numbers and scales

function formatNumber(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 0) return `−${formatNumber(-value)}`;
  const size = value;
  if (size >= 1000) return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
  if (size >= 100) return value.toFixed(0);
  if (size >= 1) return value.toFixed(1);
  if (size >= 0.001 || size === 0) return value.toFixed(3);
  return value.toExponential(1);
}

function formatTick(value, step) {
  if (value === 0) return "0";
  if (value < 0) return `−${formatTick(-value, step)}`;
  const size = value;
  if (size >= 1e6 || (step || size) < 1e-3) {
    const digits = step ? Math.floor(Math.log10(size) + 1e-9) - Math.floor(Math.log10(step) + 1e-9) : 0;
    return value.toExponential(Math.max(0, digits)).replace("e+", "e");
  }
  const digits = step ? Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) : 0;
  const text = value.toFixed(Math.min(digits, 6));
  return size >= 10000 ? text.replace(/\B(?=(\d{3})+$)/g, "\u202f") : text;
}

function withUnit(value, unit) {
  return unit ? `${formatNumber(value)}\u00a0${unit}` : formatNumber(value);
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

function linearTicks(low, high, wanted) {
  const raw = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  return ticks.map((value) => ({ value, text: formatTick(value, step) }));
}

function logTicks(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const factors = last - first <= 2 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = first; power <= last; power++) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) {
        ticks.push({ value, text: formatTick(value, 10 ** power) });
      }
    }
  }
  return ticks;
}

function scale(low, high, from, to, logarithmic = false) {
  if (low === high) [low, high] = logarithmic ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const f = logarithmic ? Math.log10 : (v) => v;
  const a = f(low), b = f(high);
  const map = (value) => from + ((f(value) - a) / (b - a)) * (to - from);
  map.domain = [low, high];
  map.ticks = (wanted) => (logarithmic ? logTicks(low, high) : linearTicks(low, high, wanted));
  return map;
}

let measuring;
function textWidth(text, size = 12) {
  measuring = measuring || document.createElement("canvas").getContext("2d");
  measuring.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return measuring.measureText(text).width;
}

function clipText(text, width, size = 12) {
  if (textWidth(text, size) <= width) return text;
  let n = text.length;
  while (n > 1 && textWidth(text.slice(0, n) + "…", size) > width) n--;
  return text.slice(0, n) + "…";
}

// ---- colour

const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function sequential(fraction) {
  const [low, high] = isDark() ? [0.2, 1] : [0, 0.9];
  const at = (low + Math.min(1, Math.max(0, fraction)) * (high - low)) * (VIRIDIS.length - 1);
  const i = Math.min(VIRIDIS.length - 2, Math.floor(at));
  const mixed = VIRIDIS[i].map((c, k) => Math.round(c + (at - i) * (VIRIDIS[i + 1][k] - c)));
  return `rgb(${mixed.join(",")})`;
}

const categoryColour = (i) => `var(--c${i % PALETTE_SIZE})`;
const MARKERS = [
  (x, y, r) => `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0Z`,
  (x, y, r) => `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  (x, y, r) => `M${x},${y - 1.3 * r}L${x + 1.2 * r},${y + r}H${x - 1.2 * r}Z`,
  (x, y, r) => `M${x},${y - 1.4 * r}L${x + 1.4 * r},${y}L${x},${y + 1.4 * r}L${x - 1.4 * r},${y}Z`,
];
const markerPath = (i, x, y, r) => MARKERS[Math.floor(i / PALETTE_SIZE) % MARKERS.length](x, y, r);

// ---- hovering

const tip = {
  show(lines, clientX, clientY) {
    const node = document.getElementById("tip");
    node.replaceChildren();
    lines.forEach((line, i) => htmlNode(node, i ? "div" : "strong", {}, line));
    node.hidden = false;
    const box = node.getBoundingClientRect();
    const x = Math.max(6, Math.min(clientX + 14, innerWidth - box.width - 6));
    const y = clientY + 16 + box.height > innerHeight ? clientY - box.height - 12 : clientY + 16;
    node.style.left = `${x}px`;
    node.style.top = `${Math.max(6, y)}px`;
  },
  hide() { document.getElementById("tip").hidden = true; },
};

// Pointer and arrow keys walk over n marks: locate(x, y) -> index or -1, focus(index) -> {x, y, lines}.
function walkable(svg, n, locate, focus, leave) {
  let current = -1;
  svg.setAttribute("tabindex", "0");
  const toClient = (x, y) => {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    return [box.left + (x / view.width) * box.width, box.top + (y / view.height) * box.height];
  };
  const go = (i) => {
    current = i;
    if (i < 0) { leave(); tip.hide(); return; }
    const at = focus(i);
    tip.show(at.lines, ...toClient(at.x, at.y));
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    const x = ((event.clientX - box.left) / box.width) * view.width;
    const y = ((event.clientY - box.top) / box.height) * view.height;
    go(locate(x, y));
  });
  svg.addEventListener("pointerleave", () => go(-1));
  svg.addEventListener("blur", () => go(-1));
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") go(-1);
    if (!move || !n) return;
    event.preventDefault();
    go((current + move + n) % n);
  });
}

// ---- axes

function axisBelow(svg, x, y, left, right, label, wanted) {
  const axis = svgNode(svg, "g", { class: "axis" });
  svgNode(axis, "line", { x1: left, x2: right, y1: y, y2: y });
  let end = -Infinity;
  for (const tick of x.ticks(wanted)) {
    const at = x(tick.value), half = textWidth(tick.text, 11) / 2;
    svgNode(axis, "line", { x1: at, x2: at, y1: y, y2: y + 4 });
    if (at - half < end + 6) continue;
    end = at + half;
    svgNode(axis, "text", { x: at, y: y + 16, "text-anchor": "middle" }, tick.text);
  }
  if (label) svgNode(axis, "text", { x: right, y: y + 32, "text-anchor": "end", class: "label" }, label);
}

function axisLeft(svg, y, left, right, wanted) {
  const axis = svgNode(svg, "g", { class: "axis" });
  for (const tick of y.ticks(wanted)) {
    const at = y(tick.value);
    svgNode(axis, "line", { x1: left, x2: right, y1: at, y2: at, class: "rule" });
    svgNode(axis, "text", { x: left - 6, y: at + 4, "text-anchor": "end" }, tick.text);
  }
}

// ---- figures

function drawLines(figure, data, width) {
  const height = 214, top = 12, bottom = 40, right = 12;
  const all = data.series.flatMap((s) => s.y);
  const [low, high] = extent(all);
  const y = scale(...(data.log ? [low, high] : padded(low, high, data.zero)), height - bottom, top, data.log);
  const left = 10 + Math.max(18, ...y.ticks(7).map((t) => textWidth(t.text, 11)));
  const x = scale(...extent(data.series.flatMap((s) => s.x)), left, width - right);
  const svg = canvasFor(figure, width, height, data.alt, all.length);
  axisLeft(svg, y, left, width - right, 7);
  axisBelow(svg, x, height - bottom, left, width - right, data.x_label, Math.max(2, width / 70));
  data.series.forEach((series) => {
    const points = series.x.map((v, i) => [v, series.y[i]]).filter((p) => Number.isFinite(p[1]) && p[1] !== null);
    const colour = categoryColour(series.colour);
    const path = points.map((p, i) => `${i ? "L" : "M"}${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join("");
    svgNode(svg, "path", { d: path, class: "curve", style: `stroke:${colour}` });
    if (series.points || points.length === 1) {
      for (const p of points) svgNode(svg, "circle", { cx: x(p[0]), cy: y(p[1]), r: 3, style: `fill:${colour}` });
    }
  });
  const cursor = svgNode(svg, "line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  const steps = [...new Set(data.series.flatMap((s) => s.x))].sort((a, b) => a - b);
  walkable(svg, steps.length,
    (px) => (px < left - 4 ? -1 : nearest(steps, (v) => Math.abs(x(v) - px))),
    (i) => {
      cursor.setAttribute("visibility", "visible");
      cursor.setAttribute("x1", x(steps[i]));
      cursor.setAttribute("x2", x(steps[i]));
      const lines = [`${data.x_label} ${formatTick(steps[i])}`];
      for (const series of data.series) {
        const k = nearest(series.x, (v) => Math.abs(v - steps[i]));
        if (k < 0) continue;
        const elsewhere = series.x[k] === steps[i] ? "" : ` (step ${formatTick(series.x[k])})`;
        lines.push(`${series.name}: ${withUnit(series.y[k], data.unit)}${elsewhere}`);
      }
      return { x: x(steps[i]), y: height / 2, lines };
    },
    () => cursor.setAttribute("visibility", "hidden"));
}

function padded(low, high, zero) {
  if (zero) low = Math.min(0, low);
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  return [zero && low === 0 ? 0 : low - pad, high + pad];
}

function nearest(items, distance) {
  let best = -1, least = Infinity;
  for (let i = 0; i < items.length; i++) {
    const d = distance(items[i], i);
    if (d < least) { least = d; best = i; }
  }
  return best;
}

function drawBars(figure, data, width) {
  const rowHeight = 40, top = data.null === null ? 2 : 22, bottom = 24;
  const height = top + data.rows.length * rowHeight + bottom;
  const values = data.rows.flatMap((r) => [r.value, ...(r.interval || [])]).concat(data.null ?? [], 0);
  const texts = data.rows.map((r) => withUnit(r.value, data.unit));
  const right = width - Math.max(...texts.map((t) => textWidth(t, 13))) - 14;
  const [low, high] = extent(values);
  const x = scale(low, high, 4, right);
  const svg = canvasFor(figure, width, height, data.alt, data.rows.length);
  const base = top + data.rows.length * rowHeight;
  axisBelow(svg, x, base + 2, 4, right, "", Math.max(2, right / 70));
  svgNode(svg, "text", { x: width, y: base + 18, "text-anchor": "end", class: "label" }, data.unit || "fraction");
  if (data.null !== null) {
    const at = x(data.null), text = `${data.null_name} ${withUnit(data.null, data.unit)}`;
    const half = textWidth(text, 12) / 2 + 2;
    svgNode(svg, "line", { x1: at, x2: at, y1: 16, y2: base + 2, class: "null" });
    svgNode(svg, "text", { x: Math.min(Math.max(at, half), width - half), y: 11, "text-anchor": "middle", class: "null-text" }, text);
  }
  data.rows.forEach((row, i) => {
    const y = top + i * rowHeight, mid = y + 25;
    svgNode(svg, "text", { x: 4, y: y + 13, class: row.model ? "name strong" : "name" }, clipText(row.name, width - 8, 12.5));
    if (row.value === null) { svgNode(svg, "text", { x: 8, y: mid + 5, class: "label" }, "not measured"); return; }
    const [a, b] = [x(0), x(row.value)].sort((p, q) => p - q);
    svgNode(svg, "rect", { x: a, y: mid - 7, width: Math.max(1, b - a), height: 14, rx: 1.5, class: row.model ? "bar model" : "bar" });
    let end = b;
    if (row.interval) {
      const [l, h] = row.interval.map(x);
      svgNode(svg, "path", { class: "whisker", d: `M${l},${mid}H${h}M${l},${mid - 4}v8M${h},${mid - 4}v8` });
      end = Math.max(end, h);
    }
    svgNode(svg, "text", { x: end + 6, y: mid + 4.5, class: row.model ? "value strong" : "value" }, texts[i]);
  });
}

function drawDots(figure, data, width) {
  const rowHeight = 22, top = 6, bottom = 42;
  const label = Math.min(width * 0.4, 14 + Math.max(...data.rows.map((r) => textWidth(r.name, 12))));
  const height = top + data.rows.length * rowHeight + bottom;
  const values = data.rows.flatMap((r) => [r.null, ...r.points.flatMap((p) => [p.value, p.low, p.high])]);
  const [low, high] = extent([...values, data.zero ? 0 : null]);
  const x = scale(...padded(low, high, data.zero), label, width - 10);
  const marks = data.rows.flatMap((row, i) => row.points.map((point) => ({ row, point, y: top + (i + 0.5) * rowHeight })));
  const svg = canvasFor(figure, width, height, data.alt, marks.length);
  for (const tick of x.ticks(Math.max(2, width / 90))) {
    svgNode(svg, "line", { x1: x(tick.value), x2: x(tick.value), y1: top, y2: height - bottom, class: "rule" });
  }
  axisBelow(svg, x, height - bottom, label, width - 10, data.x_label, Math.max(2, width / 90));
  data.rows.forEach((row, i) => {
    const y = top + (i + 0.5) * rowHeight;
    const name = svgNode(svg, "text", { x: label - 10, y: y + 4, "text-anchor": "end", class: "name" }, clipText(row.name, label - 14, 12));
    svgNode(name, "title", {}, row.name);
    if (row.null !== null) svgNode(svg, "path", { d: markerPath(3 * PALETTE_SIZE, x(row.null), y, 4), class: "null-mark" });
  });
  for (const { point, y } of marks) {
    if (point.pooled && point.low !== null && point.high !== null) {
      svgNode(svg, "line", { x1: x(point.low), x2: x(point.high), y1: y, y2: y, class: "whisker" });
    }
    if (point.value === null) continue;
    svgNode(svg, "circle", { cx: x(point.value), cy: y, r: point.pooled ? 4.5 : 3.2, class: point.pooled ? "dot" : "dot faint" });
  }
  const ring = svgNode(svg, "circle", { r: 7, class: "ring", visibility: "hidden" });
  walkable(svg, marks.length,
    (px, py) => {
      const i = nearest(marks, (m) => (m.point.value === null ? Infinity : Math.hypot(x(m.point.value) - px, 3 * (m.y - py))));
      return i >= 0 && Math.abs(marks[i].y - py) < rowHeight ? i : -1;
    },
    (i) => {
      const { row, point, y } = marks[i];
      const at = { cx: x(point.value ?? row.null ?? low), cy: y };
      for (const [key, value] of Object.entries(at)) ring.setAttribute(key, value);
      ring.setAttribute("visibility", "visible");
      const lines = [`${row.name}${point.recording ? `, ${point.recording}` : ""}`, withUnit(point.value, data.unit)];
      if (point.low !== null) lines.push(`interval ${formatNumber(point.low)} to ${formatNumber(point.high)}`);
      if (row.null !== null) lines.push(`null ${withUnit(row.null, data.unit)}`);
      return { x: at.cx, y, lines };
    },
    () => ring.setAttribute("visibility", "hidden"));
}

function drawShares(figure, data, width) {
  const height = 30 + 18 * data.parts.length;
  const total = data.parts.reduce((sum, part) => sum + part.value, 0) || 1;
  const svg = canvasFor(figure, width, height, data.alt, data.parts.length);
  let at = 0;
  data.parts.forEach((part, i) => {
    const size = (part.value / total) * width;
    const rect = svgNode(svg, "rect", { x: at, y: 0, width: Math.max(1.5, size - 1.5), height: 24, rx: 2, style: `fill:${categoryColour(part.colour)}` });
    svgNode(rect, "title", {}, `${part.name} ${withUnit(part.value, data.unit)}`);
    const text = `${part.name} ${Math.round((100 * part.value) / total)} % · ${withUnit(part.value, data.unit)}`;
    const edge = svgNode(svg, "text", { x: 0, y: 42 + 18 * i, class: "name" });
    svgNode(edge, "tspan", { style: `fill:${categoryColour(part.colour)}` }, "■ ");
    svgNode(edge, "tspan", {}, text);
    at += size;
  });
}
