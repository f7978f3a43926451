"use strict";
// Puts the figures into the page, and gives life to the map, the clip, the tables and the theme switch.

const payload = JSON.parse(document.getElementById("payload").textContent);
const maps = [];

// ---- embedding map: panels of one set of points, hovered together

function drawMap(figure, data, width) {
  const points = payload.map, n = points.x.length;
  const values = points.columns[data.by];
  const height = Math.round(Math.min(width * 0.86, 460));
  const svg = canvasFor(figure, width, height, data.alt, n);
  const radius = n > 1500 ? 2 : n > 400 ? 2.6 : 3.4;
  const x = scale(...padded(...extent(points.x)), 8, width - 8);
  const y = scale(...padded(...extent(points.y)), height - 22, 8);
  svgNode(svg, "rect", { x: 0.5, y: 0.5, width: width - 1, height: height - 15, class: "frame", rx: 3 });
  svgNode(svg, "text", { x: width, y: height - 1, "text-anchor": "end", class: "label" }, points.x_label);
  svgNode(svg, "text", { x: 0, y: height - 1, class: "label" }, `↑ ${points.y_label}`);
  const groups = new Map();
  for (let i = 0; i < n; i++) {
    const key = groupOf(values, i);
    groups.set(key, (groups.get(key) || "") + markerPath(values.names ? key : 0, x(points.x[i]), y(points.y[i]), radius));
  }
  const paths = new Map();
  for (const [key, d] of [...groups].sort((a, b) => a[0] - b[0])) {
    paths.set(key, svgNode(svg, "path", { d, class: "cloud", style: `fill:${groupColour(values, key)}` }));
  }
  const ring = svgNode(svg, "circle", { r: 7, class: "ring", visibility: "hidden" });
  maps.push({ ring, x, y });
  walkable(svg, n,
    (px, py) => {
      const i = nearest(points.x, (v, k) => Math.hypot(x(v) - px, y(points.y[k]) - py));
      return i >= 0 && Math.hypot(x(points.x[i]) - px, y(points.y[i]) - py) < 24 ? i : -1;
    },
    (i) => {
      ringAll(i);
      return { x: x(points.x[i]), y: y(points.y[i]), lines: describePoint(points, i) };
    },
    () => ringAll(-1));
  if (values.names) nameLegend(figure, values.names, paths);
  else colourBar(figure, values);
}

const BINS = 32;
function groupOf(values, i) {
  if (values.names) return values.codes[i];
  const v = values.numbers[i];
  if (v === null) return -1;
  const [low, high] = values.range;
  return Math.max(0, Math.min(BINS - 1, Math.floor(((v - low) / (high - low || 1)) * BINS)));
}

function groupColour(values, key) {
  if (key < 0) return "var(--muted)";
  return values.names ? categoryColour(key) : sequential((key + 0.5) / BINS);
}

function describePoint(points, i) {
  return Object.entries(points.columns).map(([name, values]) => {
    if (values.names) return name === "recording" ? values.names[values.codes[i]] : `${name}: ${values.names[values.codes[i]] ?? "–"}`;
    return `${name}: ${withUnit(values.numbers[i], values.unit)}`;
  });
}

function ringAll(i) {
  for (const { ring, x, y } of maps) {
    ring.setAttribute("visibility", i < 0 ? "hidden" : "visible");
    if (i < 0) continue;
    ring.setAttribute("cx", x(payload.map.x[i]));
    ring.setAttribute("cy", y(payload.map.y[i]));
  }
}

function nameLegend(figure, names, paths) {
  const legend = htmlNode(figure, "div", { class: "legend", role: "group", "aria-label": "Highlight" });
  let chosen = null;
  const highlight = (code) => {
    for (const [key, path] of paths) path.classList.toggle("dim", code !== null && key !== code);
  };
  names.forEach((name, code) => {
    const button = htmlNode(legend, "button", { type: "button", "aria-pressed": "false" });
    const swatch = svgNode(button, "svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" });
    svgNode(swatch, "path", { d: markerPath(code, 6, 6, 4), style: `fill:${categoryColour(code)}` });
    htmlNode(button, "span", {}, name);
    button.addEventListener("pointerenter", () => highlight(code));
    button.addEventListener("pointerleave", () => highlight(chosen));
    button.addEventListener("click", () => {
      chosen = chosen === code ? null : code;
      for (const other of legend.children) other.setAttribute("aria-pressed", String(other === button && chosen === code));
      highlight(chosen);
    });
  });
}

function colourBar(figure, values) {
  const bar = htmlNode(figure, "div", { class: "colour-bar" });
  const stops = Array.from({ length: 12 }, (_, i) => sequential(i / 11)).join(",");
  const step = (values.range[1] - values.range[0]) / 10;
  htmlNode(bar, "span", {}, (values.clipped ? "≤ " : "") + formatTick(values.range[0], step));
  htmlNode(bar, "span", { class: "ramp", style: `background:linear-gradient(to right,${stops})` });
  htmlNode(bar, "span", {}, `${values.clipped ? "≥ " : ""}${formatTick(values.range[1], step)} ${values.unit}`);
}

// ---- clip with its traces

const clip = { index: 0, playing: false, speed: 1, listeners: [] };

function showFrame(i) {
  clip.index = i;
  for (const listener of clip.listeners) listener(i);
}

function setUpClip() {
  const root = document.getElementById("clip-player");
  if (!root) return;
  const { times, sprite } = payload.clip;
  const canvas = root.querySelector("canvas"), context = canvas.getContext("2d");
  const button = root.querySelector(".play"), slider = root.querySelector("input"), clock = root.querySelector("output");
  const sheet = new Image();
  const paint = (i) => {
    const sx = (i % sprite.columns) * sprite.width, sy = Math.floor(i / sprite.columns) * sprite.height;
    context.drawImage(sheet, sx, sy, sprite.width, sprite.height, 0, 0, canvas.width, canvas.height);
    slider.value = i;
    slider.setAttribute("aria-valuetext", `${times[i].toFixed(2)} seconds`);
    clock.textContent = `${times[i].toFixed(2)} s`;
    canvas.dataset.frame = i;
  };
  sheet.onload = () => { clip.listeners.unshift(paint); showFrame(clip.index); root.dataset.ready = "true"; };
  sheet.src = sprite.uri;

  const play = (on) => {
    clip.playing = on;
    button.textContent = on ? "❚❚ Pause" : "▶ Play";
    if (!on) return;
    if (clip.index === times.length - 1) showFrame(0);
    const begin = times[clip.index], started = performance.now();
    const tick = (now) => {
      if (!clip.playing || clip.started !== started) return;
      const target = begin + ((now - started) / 1000) * clip.speed;
      let i = clip.index;
      while (i + 1 < times.length && times[i + 1] <= target) i++;
      if (i !== clip.index) showFrame(i);
      if (i === times.length - 1) play(false);
      else requestAnimationFrame(tick);
    };
    clip.started = started;
    requestAnimationFrame(tick);
  };
  button.addEventListener("click", () => play(!clip.playing));
  slider.addEventListener("input", () => { play(false); showFrame(Number(slider.value)); });
  root.querySelector("select").addEventListener("change", (event) => {
    clip.speed = Number(event.target.value);
    if (clip.playing) play(true);
  });
  clip.seek = (i) => { play(false); showFrame(i); };
}

function drawTraces(figure, data, width) {
  const { times, traces, strips } = payload.clip;
  const strip = 34, left = 46, right = 8, top = 2;
  const room = document.querySelector("#clip-player > div").clientHeight - strips.length * strip - 40;
  const lane = Math.min(100, Math.max(54, room / Math.max(1, traces.length)));
  const height = top + traces.length * lane + strips.length * strip + 38;
  const x = scale(...extent(times), left, width - right);
  const svg = canvasFor(figure, width, height, data.alt, traces.length * times.length + strips.length);
  traces.forEach((trace, k) => {
    const y0 = top + k * lane, [low, high] = extent(trace.values);
    const y = scale(low, high, y0 + lane - 8, y0 + 18);
    svgNode(svg, "text", { x: left + 5, y: y0 + 12, class: "name" }, trace.unit ? `${trace.name} (${trace.unit})` : trace.name);
    for (const [value, at] of [[high, y0 + 21], [low, y0 + lane - 6]]) {
      svgNode(svg, "text", { x: left - 6, y: at, "text-anchor": "end", class: "tick" }, formatTick(value, (high - low) / 10));
    }
    let d = "", pen = "M";
    trace.values.forEach((v, i) => {
      if (v === null) { pen = "M"; return; }
      d += `${pen}${x(times[i]).toFixed(1)},${y(v).toFixed(1)}`;
      pen = "L";
    });
    svgNode(svg, "path", { d, class: "curve thin", style: `stroke:${categoryColour(k)}` });
  });
  strips.forEach((row, k) => {
    const y0 = top + traces.length * lane + k * strip;
    svgNode(svg, "text", { x: left + 5, y: y0 + 11, class: "name" }, row.name);
    for (const bout of row.bouts) {
      const a = x(bout.start), b = x(bout.stop);
      const rect = svgNode(svg, "rect", { x: a, y: y0 + 15, width: Math.max(1, b - a), height: 15, style: `fill:${categoryColour(bout.code)}` });
      svgNode(rect, "title", {}, bout.name);
      if (textWidth(bout.name, 11) + 8 < b - a) svgNode(svg, "text", { x: a + 4, y: y0 + 26.5, class: "on-colour" }, bout.name);
    }
  });
  axisBelow(svg, x, height - 36, left, width - right, "Time (s)", Math.max(2, width / 90));
  const cursor = svgNode(svg, "line", { class: "cursor strong", y1: top, y2: height - 36 });
  const follow = (i) => { cursor.setAttribute("x1", x(times[i])); cursor.setAttribute("x2", x(times[i])); };
  clip.listeners = clip.listeners.filter((listener) => !listener.isCursor);
  follow.isCursor = true;
  clip.listeners.push(follow);
  follow(clip.index);
  const seek = (event) => {
    const box = svg.getBoundingClientRect();
    const px = ((event.clientX - box.left) / box.width) * width;
    clip.seek(nearest(times, (t) => Math.abs(x(t) - px)));
  };
  svg.addEventListener("pointerdown", seek);
  svg.addEventListener("pointermove", (event) => { if (event.buttons & 1) seek(event); });
}

// ---- tables, theme, drawing everything

function makeSortable(table) {
  table.querySelectorAll("th button").forEach((button, column) => {
    button.addEventListener("click", () => {
      const header = button.parentElement, up = header.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const [p, q] = [key(a), key(b)], [m, k] = [parseFloat(p), parseFloat(q)];
        const order = Number.isNaN(m) || Number.isNaN(k) ? p.localeCompare(q) : m - k;
        return up ? order : -order;
      };
      const body = table.tBodies[0];
      [...body.rows].sort(compare).forEach((row) => body.appendChild(row));
    });
  });
}

const DRAW = {
  lines: drawLines, bars: drawBars, dots: drawDots, shares: drawShares, map: drawMap, traces: drawTraces,
  scatter: drawScatter, strips: drawStrips, histogram: drawHistogram, times: drawTimes, heat: drawHeat, confusion: drawConfusion,
};

function drawAll() {
  maps.length = 0;
  for (const figure of document.querySelectorAll("[data-figure]")) {
    const data = payload.figures[figure.dataset.figure];
    const width = Math.floor(figure.clientWidth);
    if (!width) continue;
    figure.replaceChildren();
    DRAW[data.kind](figure, data, width);
  }
}

function setUpTheme() {
  const button = document.getElementById("theme");
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { label(); drawAll(); });
  label();
}

// Paper is white.
let themeBeforePrint;
addEventListener("beforeprint", () => {
  themeBeforePrint = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  drawAll();
});
addEventListener("afterprint", () => {
  if (themeBeforePrint) document.documentElement.dataset.theme = themeBeforePrint;
  else delete document.documentElement.dataset.theme;
  drawAll();
});

let lastWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === lastWidth) return;
  lastWidth = innerWidth;
  requestAnimationFrame(drawAll);
});
setUpTheme();
setUpClip();
document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll("details").forEach((node) => node.addEventListener("toggle", () => {
  if (node.open && node.querySelector("[data-figure]:empty")) drawAll();
}));
drawAll();
