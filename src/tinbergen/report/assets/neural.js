// Figures of runs that predict spikes, or predict from them.

// ---- neuron by neuron

function drawScatter(figure, data, width) {
  const height = Math.round(Math.min(width * 0.82, 400)), top = 26, bottom = 44;
  let [xRange, yRange] = [data.x_range, data.y_range];
  if (data.diagonal) xRange = yRange = extent([...xRange, ...yRange]);
  const y = scale(...padded(...yRange, false), height - bottom, top);
  const left = 10 + Math.max(18, ...y.ticks(6).map((t) => textWidth(t.text, 11)));
  const x = scale(...padded(...xRange, false), left, width - 8);
  const n = data.x.length;
  const svg = canvasFor(figure, width, height, data.alt, n);
  axisLeft(svg, y, left, width - 8, 6);
  axisBelow(svg, x, height - bottom, left, width - 8, clipText(data.x_label, width - left), Math.max(2, width / 90));
  svgNode(svg, "text", { x: 0, y: 12, class: "label" }, clipText(`↑ ${data.y_label}`, width));
  if (data.diagonal) {
    const [low, high] = x.domain;
    svgNode(svg, "line", { x1: x(low), y1: y(low), x2: x(high), y2: y(high), class: "null" });
  }
  const inside = (map, value) => map(Math.min(map.domain[1], Math.max(map.domain[0], value)));
  const places = data.x.map((v, i) => [inside(x, v), inside(y, data.y[i])]);
  const radius = n > 800 ? 2.2 : n > 200 ? 2.8 : 3.6;
  const shapes = new Map();
  places.forEach(([px, py], i) => {
    const code = data.codes[i];
    shapes.set(code, (shapes.get(code) || "") + markerPath(code, px, py, radius));
  });
  const paths = new Map();
  for (const [code, d] of [...shapes].sort((a, b) => a[0] - b[0])) {
    paths.set(code, svgNode(svg, "path", { d, class: "cloud", style: `fill:${categoryColour(code)}` }));
  }
  const ring = svgNode(svg, "circle", { r: 7, class: "ring", visibility: "hidden" });
  walkable(svg, n,
    (px, py) => {
      const i = nearest(places, (p) => Math.hypot(p[0] - px, p[1] - py));
      return i >= 0 && Math.hypot(places[i][0] - px, places[i][1] - py) < 24 ? i : -1;
    },
    (i) => {
      ring.setAttribute("visibility", "visible");
      ring.setAttribute("cx", places[i][0]);
      ring.setAttribute("cy", places[i][1]);
      const lines = [data.units[i], ...(data.names.length > 1 ? [data.names[data.codes[i]]] : [])];
      lines.push(`${data.y_label}: ${formatNumber(data.y[i])}`, `${data.x_label}: ${formatNumber(data.x[i])}`);
      return { x: places[i][0], y: places[i][1], lines };
    },
    () => ring.setAttribute("visibility", "hidden"));
  if (data.names.length > 1) nameLegend(figure, data.names, paths);
}

function drawStrips(figure, data, width) {
  const rowHeight = 30, top = 6, bottom = 42;
  const texts = data.rows.map((r) => `${r.name} (${r.n})`);
  const label = Math.min(width * 0.4, 16 + Math.max(...texts.map((t) => textWidth(t, 12.5))));
  const height = top + data.rows.length * rowHeight + bottom;
  const x = scale(...padded(...extent([...data.range, 0])), label, width - 8);
  const svg = canvasFor(figure, width, height, data.alt, data.rows.length);
  for (const tick of x.ticks(Math.max(2, width / 90))) {
    svgNode(svg, "line", { x1: x(tick.value), x2: x(tick.value), y1: top, y2: height - bottom, class: "rule" });
  }
  svgNode(svg, "line", { x1: x(0), x2: x(0), y1: top, y2: height - bottom, class: "null" });
  axisBelow(svg, x, height - bottom, label, width - 8, data.x_label, Math.max(2, width / 90));
  const inside = (value) => x(Math.min(x.domain[1], Math.max(x.domain[0], value)));
  data.rows.forEach((row, i) => {
    const mid = top + (i + 0.5) * rowHeight, [q1, median, q3] = row.quartiles.map(inside);
    svgNode(svg, "text", { x: label - 10, y: mid + 4, "text-anchor": "end", class: "name" }, clipText(texts[i], label - 12, 12.5));
    const d = row.points.map((v, k) => markerPath(0, inside(v), mid + (((k * 0.618) % 1) - 0.5) * 18, 2)).join("");
    svgNode(svg, "path", { d, class: "strip-dot" });
    svgNode(svg, "rect", { x: q1, y: mid - 6, width: Math.max(1, q3 - q1), height: 12, rx: 2, class: "box" });
    svgNode(svg, "line", { x1: median, x2: median, y1: mid - 9, y2: mid + 9, class: "median" });
  });
  walkable(svg, data.rows.length,
    (px, py) => {
      const i = Math.floor((py - top) / rowHeight);
      return i >= 0 && i < data.rows.length ? i : -1;
    },
    (i) => {
      const row = data.rows[i], [q1, median, q3] = row.quartiles;
      const lines = [row.name, `n = ${row.n}`, `median ${withUnit(median, data.unit)}`];
      lines.push(`middle half ${formatNumber(q1)} to ${formatNumber(q3)}`);
      return { x: inside(median), y: top + (i + 0.5) * rowHeight, lines };
    },
    () => {});
}

function drawHistogram(figure, data, width) {
  const height = 170, top = 10, bottom = 28, left = 4;
  const { edges, series } = data;
  const x = scale(...padded(...extent([...edges, data.measured])), left, width - 8);
  const most = Math.max(1e-9, ...series.flatMap((s) => s.counts.map((c) => c / (s.n || 1))));
  const y = scale(0, most, height - bottom, top + 6);
  const svg = canvasFor(figure, width, height, data.alt, edges.length - 1);
  axisBelow(svg, x, height - bottom, left, width - 8, "", Math.max(2, width / 80));
  series.forEach((s) => {
    let d = `M${x(edges[0])},${y(0)}`;
    s.counts.forEach((count, i) => { d += `V${y(count / (s.n || 1)).toFixed(1)}H${x(edges[i + 1]).toFixed(1)}`; });
    svgNode(svg, "path", { d: `${d}V${y(0)}Z`, class: "area", style: `fill:${categoryColour(s.colour)};stroke:${categoryColour(s.colour)}` });
  });
  if (data.measured === null || data.measured === undefined) return;
  const at = x(data.measured);
  svgNode(svg, "line", { x1: at, x2: at, y1: top - 6, y2: height - bottom, class: "measured" });
}

// ---- curves over time: truth and prediction

function drawTimes(figure, data, width) {
  const wide = width > 640, height = wide ? 210 : 190, top = 18, bottom = 40, right = 8;
  const all = data.series.flatMap((s) => s.y).concat(...(data.band || []));
  const y = scale(...padded(...extent(all)), height - bottom, top);
  const left = 10 + Math.max(18, ...y.ticks(5).map((t) => textWidth(t.text, 11)));
  const x = scale(...extent(data.x), left, width - right);
  if (data.ticks && data.ticks.length) x.ticks = () => data.ticks;
  const svg = canvasFor(figure, width, height, data.alt, data.x.length * data.series.length);
  axisLeft(svg, y, left, width - right, 5);
  axisBelow(svg, x, height - bottom, left, width - right, data.x_label, Math.max(2, width / 80));
  if (data.y_label) svgNode(svg, "text", { x: 0, y: 10, class: "label" }, data.y_label);
  if (data.event && x.domain[0] < 0 && x.domain[1] > 0) {
    svgNode(svg, "line", { x1: x(0), x2: x(0), y1: top, y2: height - bottom, class: "null" });
  }
  const trace = (values) => {
    let d = "", pen = "M";
    values.forEach((v, i) => {
      if (v === null || data.x[i] === null) { pen = "M"; return; }
      d += `${pen}${x(data.x[i]).toFixed(1)},${y(v).toFixed(1)}`;
      pen = "L";
    });
    return d;
  };
  if (data.band) svgNode(svg, "path", { d: bandPath(data, x, y), class: "band", style: `fill:${categoryColour(1)}` });
  for (const series of data.series) {
    const style = `stroke:${categoryColour(series.colour)}`;
    svgNode(svg, "path", { d: trace(series.y), class: series.dashed ? "curve dashed" : "curve thin", style });
    if (!data.points) continue;
    series.y.forEach((v, i) => {
      if (v !== null) svgNode(svg, "circle", { cx: x(data.x[i]), cy: y(v), r: 2.6, style: `fill:${categoryColour(series.colour)}` });
    });
  }
  const cursor = svgNode(svg, "line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  const times = data.at || data.x;
  walkable(svg, data.x.length,
    (px) => (px < left - 4 ? -1 : nearest(data.x, (v) => (v === null ? Infinity : Math.abs(x(v) - px)))),
    (i) => {
      const at = data.x[i] === null ? Math.max(0, i - 1) : i;
      cursor.setAttribute("visibility", "visible");
      cursor.setAttribute("x1", x(data.x[at]));
      cursor.setAttribute("x2", x(data.x[at]));
      const lines = [`${times[at].toFixed(2)} s`];
      for (const series of data.series) lines.push(`${series.name}: ${withUnit(series.y[at], data.unit)}`);
      return { x: x(data.x[at]), y: height / 2, lines };
    },
    () => cursor.setAttribute("visibility", "hidden"));
}

function bandPath(data, x, y) {
  const [low, high] = data.band;
  let d = "", run = [];
  const close = () => {
    if (run.length > 1) {
      const over = run.map((i) => `${x(data.x[i]).toFixed(1)},${y(high[i]).toFixed(1)}`);
      const under = run.map((i) => `${x(data.x[i]).toFixed(1)},${y(low[i]).toFixed(1)}`).reverse();
      d += `M${over.join("L")}L${under.join("L")}Z`;
    }
    run = [];
  };
  data.x.forEach((v, i) => {
    if (v === null || low[i] === null || high[i] === null) close();
    else run.push(i);
  });
  close();
  return d;
}

// ---- pictures: rows over time, recorded beside predicted

const MISSING = 255;

function colourTable() {
  return Array.from({ length: MISSING }, (_, i) => sequential(i / (MISSING - 1)).match(/\d+/g).map(Number));
}

function pictureOf(levels, from, rows, columns, colours) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const level = levels.charCodeAt(from + i);
    if (level === MISSING) continue;
    image.data.set(colours[level], 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL("image/png");
}

function drawHeat(figure, data, width) {
  const { rows, columns } = data, levels = atob(data.levels), colours = colourTable();
  const beside = width > 430, left = 20, gap = 32, head = 18, foot = 38;
  const share = Math.max(20, beside ? (width - left - gap) / 2 : width - left);
  const tall = Math.min(300, Math.max(90, rows * 4));
  const height = beside ? head + tall + foot : 2 * (head + tall) + foot + 8;
  const svg = canvasFor(figure, width, height, data.alt, 2 * rows * columns);
  const end = data.start + columns * data.bin;
  const panels = ["recorded", "predicted"].map((name, k) => {
    const x0 = beside ? left + k * (share + gap) : left, y0 = beside ? head : head + k * (tall + head + 8);
    const x = scale(data.start, end, x0, x0 + share);
    svgNode(svg, "text", { x: x0, y: y0 - 5, class: "name" }, name);
    const picture = svgNode(svg, "image", {
      x: x0, y: y0, width: share, height: tall, preserveAspectRatio: "none",
      href: pictureOf(levels, k * rows * columns, rows, columns, colours),
    });
    if (rows <= tall && columns <= 2 * share) picture.setAttribute("style", "image-rendering:pixelated");
    svgNode(svg, "rect", { x: x0, y: y0, width: share, height: tall, class: "frame" });
    if (data.event && data.start < 0 && end > 0) {
      svgNode(svg, "line", { x1: x(0), x2: x(0), y1: y0, y2: y0 + tall, class: "event" });
    }
    for (const band of data.bands.slice(1)) {
      const at = y0 + (band.row / rows) * tall;
      svgNode(svg, "line", { x1: x0 - 5, x2: x0 + share, y1: at, y2: at, class: "divide" });
    }
    if (beside || k === 1) axisBelow(svg, x, y0 + tall, x0, x0 + share, k === 1 ? data.x_label : "", Math.max(2, share / 70));
    return { x, x0, y0 };
  });
  const side = data.bands.length ? data.bands.map((b) => b.name) : [data.y_label];
  const bounds = [...(data.bands.length ? data.bands.map((b) => b.row) : [0]), rows];
  for (const { y0 } of beside ? panels.slice(0, 1) : panels) {
    side.forEach((text, i) => {
      const length = ((bounds[i + 1] - bounds[i]) / rows) * tall;
      if (length < 14) return;
      const middle = y0 + ((bounds[i] + bounds[i + 1]) / 2 / rows) * tall;
      svgNode(svg, "text", { transform: `translate(12,${middle}) rotate(-90)`, "text-anchor": "middle", class: "label" }, clipText(text, length - 2));
    });
  }
  const marks = panels.map(() => svgNode(svg, "rect", { class: "cell", visibility: "hidden", width: 6, height: 6 }));
  const value = (k, cell) => {
    const level = levels.charCodeAt(k * rows * columns + cell), row = Math.floor(cell / columns);
    return level === MISSING ? null : data.low[row] + (level / (MISSING - 1)) * (data.high[row] - data.low[row]);
  };
  walkable(svg, rows * columns,
    (px, py) => {
      for (const { x0, y0 } of panels) {
        const c = Math.floor(((px - x0) / share) * columns), r = Math.floor(((py - y0) / tall) * rows);
        if (c >= 0 && c < columns && r >= 0 && r < rows) return r * columns + c;
      }
      return -1;
    },
    (cell) => {
      const r = Math.floor(cell / columns), c = cell % columns;
      panels.forEach(({ x0, y0 }, k) => {
        marks[k].setAttribute("x", x0 + ((c + 0.5) / columns) * share - 3);
        marks[k].setAttribute("y", y0 + ((r + 0.5) / rows) * tall - 3);
        marks[k].setAttribute("visibility", "visible");
      });
      const lines = [data.names[r], `${(data.start + (c + 0.5) * data.bin).toFixed(2)} s`];
      lines.push(`recorded ${withUnit(value(0, cell), data.unit)}`, `predicted ${withUnit(value(1, cell), data.unit)}`);
      return { x: panels[0].x0 + ((c + 0.5) / columns) * share, y: panels[0].y0 + ((r + 0.5) / rows) * tall, lines };
    },
    () => marks.forEach((mark) => mark.setAttribute("visibility", "hidden")));
  heatScale(figure, data);
}

function heatScale(figure, data) {
  if (!data.by_row) {
    colourBar(figure, { range: [data.low[0], data.high[0]], unit: data.unit, clipped: true });
    return;
  }
  const bar = htmlNode(figure, "div", { class: "colour-bar" });
  const stops = Array.from({ length: 12 }, (_, i) => sequential(i / 11)).join(",");
  htmlNode(bar, "span", {}, "1 %");
  htmlNode(bar, "span", { class: "ramp", style: `background:linear-gradient(to right,${stops})` });
  htmlNode(bar, "span", {}, "99 % of the row’s recorded values");
}

// ---- classes

function drawConfusion(figure, data, width) {
  const { names, counts } = data, k = names.length;
  const left = Math.min(width * 0.34, 14 + Math.max(...names.map((n) => textWidth(n, 12.5))));
  const cell = Math.max(6, Math.min((width - left) / k, 84)), tall = Math.min(cell, 56), top = 24;
  const svg = canvasFor(figure, width, top + k * tall + 6, data.alt, k * k);
  names.forEach((name, i) => {
    const at = { x: left + (i + 0.5) * cell, y: 16, "text-anchor": "middle", class: "name" };
    svgNode(svgNode(svg, "text", at, clipText(name, cell - 4, 12.5)), "title", {}, name);
    const beside = { x: left - 8, y: top + (i + 0.5) * tall + 4, "text-anchor": "end", class: "name" };
    svgNode(svgNode(svg, "text", beside, clipText(name, left - 10, 12.5)), "title", {}, name);
  });
  counts.forEach((row, i) => {
    const total = row.reduce((a, b) => a + b, 0);
    row.forEach((count, j) => {
      const share = total ? count / total : 0, x = left + j * cell, y = top + i * tall;
      svgNode(svg, "rect", { x: x + 1, y: y + 1, width: cell - 2, height: tall - 2, rx: 2, class: "share-back" });
      const rect = svgNode(svg, "rect", { x: x + 1, y: y + 1, width: cell - 2, height: tall - 2, rx: 2, class: "share", style: `fill-opacity:${share.toFixed(3)}` });
      svgNode(rect, "title", {}, `${names[i]} taken for ${names[j]}: ${count} of ${total}`);
      const text = tall > 26 && cell > 34 ? `${Math.round(100 * share)} %` : "";
      const class_ = share > 0.55 ? "on-colour" : "in-cell";
      svgNode(svg, "text", { x: x + cell / 2, y: y + tall / 2 + (tall > 44 ? -1 : 4), "text-anchor": "middle", class: class_ }, text);
      if (tall > 44 && text) svgNode(svg, "text", { x: x + cell / 2, y: y + tall / 2 + 14, "text-anchor": "middle", class: class_ }, String(count));
    });
  });
}
