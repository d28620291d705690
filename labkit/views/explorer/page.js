
"use strict";
// Linked maps of points. One state: which points are selected, by what they are coloured, which one is pointed at.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent), n = data.n;
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const maps = data.maps.map((m) => ({ title: m.title, worth: m.worth, xy: new Float32Array(bytes(m.xy).buffer), k: 1, x: 0, y: 0 }));
const labels = data.labels.map((l) => ({ ...l, codes: new (l.wide ? Uint32Array : Uint16Array)(bytes(l.codes).buffer) }));
const PLAIN = { name: "", names: ["points"], colours: ["#2b6cb0"], codes: new Uint16Array(n) };
const state = { selected: new Uint8Array(n), count: 0, by: labels[0] || PLAIN, at: -1, shown: 0, moving: false, one: -1 };
const PAGE = 60, NEAR = 260; // thumbnails a page of the gallery; points in sight up to which they are drawn as pictures

// ---- pictures: sheets of thumbnails, made into addresses when one of them is first looked at
const sheets = [...document.querySelectorAll(".sheet")].map((block) => ({ block, url: "", image: null }));
const per = data.columns * data.columns;
function sheetOf(i) {
  const sheet = sheets[Math.floor(i / per)];
  if (sheet && !sheet.url) sheet.url = URL.createObjectURL(new Blob([bytes(sheet.block.textContent)], { type: "image/webp" }));
  return sheet;
}
function place(i) { const j = i % per; return [j % data.columns, Math.floor(j / data.columns)]; }
function thumb(element, i) {
  const sheet = sheetOf(i);
  element.hidden = !sheet;
  if (!sheet) return;
  const [column, row] = place(i), rows = Math.ceil(Math.min(per, n - Math.floor(i / per) * per) / data.columns);
  element.style.backgroundImage = `url(${sheet.url})`;
  element.style.backgroundSize = `${data.columns * 100}% ${rows * 100}%`;
  element.style.backgroundPosition = `${data.columns > 1 ? (100 * column) / (data.columns - 1) : 0}% ${rows > 1 ? (100 * row) / (rows - 1) : 0}%`;
}
function image(i) {
  const sheet = sheetOf(i);
  if (sheet && !sheet.image) { sheet.image = new Image(); sheet.image.onload = redraw; sheet.image.src = sheet.url; }
  return sheet && sheet.image.complete && sheet.image.naturalWidth ? sheet.image : null;
}

// ---- drawing: points lie in the order of their colours, so that a colour is set once
let order = new Uint32Array(n), waiting = new Set();
function recolour() {
  const counts = new Uint32Array(state.by.names.length + 1);
  for (let i = 0; i < n; i++) counts[state.by.codes[i] + 1]++;
  for (let c = 1; c < counts.length; c++) counts[c] += counts[c - 1];
  for (let i = 0; i < n; i++) order[counts[state.by.codes[i]]++] = i;
}
function redraw(map) {
  if (!waiting.size) requestAnimationFrame(() => { const some = waiting; waiting = new Set(); some.forEach(draw); });
  (maps.includes(map) ? [map] : maps).forEach((m) => waiting.add(m));
}
function fit(map) {
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
  for (let i = 0; i < n; i++) {
    const x = map.xy[2 * i], y = map.xy[2 * i + 1];
    if (x < x0) x0 = x; if (x > x1) x1 = x; if (y < y0) y0 = y; if (y > y1) y1 = y;
  }
  const w = map.canvas.clientWidth, h = map.canvas.clientHeight, margin = 34;
  if (w <= 2 * margin || h <= 2 * margin + 16) return; // not laid out yet
  map.k = Math.min((w - 2 * margin) / (x1 - x0 || 1), (h - 2 * margin - 16) / (y1 - y0 || 1));
  map.fitted = map.k;
  map.x = w / 2 - (map.k * (x0 + x1)) / 2;
  map.y = h / 2 + 8 + (map.k * (y0 + y1)) / 2; // y points up
  redraw(map);
}
function stamp(map, size, ratio) { // very many points: small squares, written straight into the picture's memory
  const { canvas, g, xy } = map, W = canvas.width, H = canvas.height, d = Math.max(2, Math.round(size));
  if (!map.frame || map.frame.width !== W || map.frame.height !== H) {
    map.frame = g.createImageData(W, H);
    map.memory = new Uint32Array(map.frame.data.buffer);
  }
  const memory = map.memory.fill(0), k = map.k * ratio, x = map.x * ratio - d / 2, y = map.y * ratio - d / 2;
  const mixed = (share) => state.by.colours.map((c) => { // as the memory has it: alpha, blue, green, red
    const parts = [5, 3, 1].map((at) => Math.round(255 - share * (255 - parseInt(c.slice(at, at + 2), 16))));
    return ((255 << 24) | (parts[0] << 16) | (parts[1] << 8) | parts[2]) >>> 0;
  });
  const [faint, full] = [mixed(0.2), mixed(0.9)];
  for (const chosen of state.count ? [0, 1] : [0]) {
    const inks = state.count && !chosen ? faint : full;
    for (let i = 0; i < n; i++) {
      if (state.count && state.selected[i] !== chosen) continue;
      const px = Math.round(k * xy[2 * i] + x), py = Math.round(y - k * xy[2 * i + 1]);
      if (px < 0 || py < 0 || px + d > W || py + d > H) continue;
      const ink = inks[state.by.codes[i]];
      for (let row = py * W + px, end = row + d * W; row < end; row += W) for (let c = 0; c < d; c++) memory[row + c] = ink;
    }
  }
  g.putImageData(map.frame, 0, 0);
}
function draw(map) {
  const began = performance.now(), ratio = window.devicePixelRatio || 1, { canvas, g, xy, k, x, y } = map;
  const w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio);
  }
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  let sight = 0;
  for (let i = 0; i < n; i++) {
    const px = k * xy[2 * i] + x, py = y - k * xy[2 * i + 1];
    if (px > -30 && px < w + 30 && py > -30 && py < h + 30) sight++;
  }
  const near = $("pictures").checked && sheets.length && sight <= NEAR;
  const round = sight <= 6000, r = Math.min(7, (n > 6000 ? 1.5 : n > 1500 ? 2.6 : 4.2) * Math.sqrt(Math.max(1, k / map.fitted)));
  const side = Math.max(26, Math.min(76, 0.75 * Math.sqrt((w * h) / Math.max(sight, 1))));
  if (!round) stamp(map, 2 * r * ratio, ratio);
  for (const chosen of !round ? [] : state.count ? [0, 1] : [0]) { // what is selected lies on top
    g.globalAlpha = state.count && !chosen ? 0.18 : 0.88;
    let colour = -1;
    for (let o = 0; o < n; o++) {
      const i = order[o];
      if (state.count && state.selected[i] !== chosen) continue;
      const px = k * xy[2 * i] + x, py = y - k * xy[2 * i + 1];
      if (px < -30 || px > w + 30 || py < -30 || py > h + 30) continue;
      const code = state.by.codes[i];
      if (code !== colour) { colour = code; g.fillStyle = g.strokeStyle = state.by.colours[code]; }
      if (near) {
        const picture = image(i);
        g.lineWidth = 3;
        g.strokeRect(px - side / 2, py - side / 2, side, side);
        if (picture) {
          const [c, row] = place(i);
          g.imageSmoothingEnabled = false;
          g.drawImage(picture, c * data.side, row * data.side, data.side, data.side, px - side / 2, py - side / 2, side, side);
        }
      } else { g.beginPath(); g.arc(px, py, r, 0, 7); g.fill(); }
    }
  }
  g.globalAlpha = 1;
  for (const [i, ink] of [[state.one, "#0f766e"], [state.at, "#111"]]) {
    if (i < 0) continue;
    const px = k * xy[2 * i] + x, py = y - k * xy[2 * i + 1];
    g.strokeStyle = ink; g.lineWidth = near ? 4 : 2; g.beginPath();
    if (near) g.rect(px - side / 2 - 3, py - side / 2 - 3, side + 6, side + 6); else g.arc(px, py, r + 4, 0, 7);
    g.stroke();
  }
  if (map.trail && map.trail.length > 1) {
    g.beginPath(); map.trail.forEach(([px, py], j) => (j ? g.lineTo(px, py) : g.moveTo(px, py))); g.closePath();
    g.fillStyle = "rgba(15,118,110,.10)"; g.fill(); g.strokeStyle = "#0f766e"; g.lineWidth = 1.5; g.setLineDash([5, 4]); g.stroke(); g.setLineDash([]);
  }
  map.drawn = performance.now() - began;
}

// ---- selecting
function inside(map, trail) { // even-odd rule, in the map's own units
  const px = trail.map((p) => (p[0] - map.x) / map.k), py = trail.map((p) => (map.y - p[1]) / map.k), hits = [];
  const [x0, x1, y0, y1] = [Math.min(...px), Math.max(...px), Math.min(...py), Math.max(...py)];
  for (let i = 0; i < n; i++) {
    const x = map.xy[2 * i], y = map.xy[2 * i + 1];
    if (x < x0 || x > x1 || y < y0 || y > y1) continue;
    let odd = false;
    for (let a = 0, b = px.length - 1; a < px.length; b = a++) {
      if (py[a] > y !== py[b] > y && x < ((px[b] - px[a]) * (y - py[a])) / (py[b] - py[a]) + px[a]) odd = !odd;
    }
    if (odd) hits.push(i);
  }
  return hits;
}
function select(hits, how = "only") {
  if (how === "only") state.selected.fill(0);
  for (const i of hits) state.selected[i] = how === "less" ? 0 : 1;
  state.count = state.selected.reduce((a, b) => a + b, 0);
  list(); redraw();
  if (state.count === 1) choose(state.list[0]);
}
function choose(i) { // one picture, of which the page around us is told
  state.one = i;
  for (const figure of $("gallery").children) figure.classList.toggle("one", Number(figure.dataset.i) === i);
  redraw();
  if (window.parent !== window) window.parent.postMessage({ chosen: i }, "*"); // a number is no secret
}
function chosen() { const out = []; for (let i = 0; i < n; i++) if (state.selected[i]) out.push(i); return out; }

// ---- what is in the selection
function make(tag, parent, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
}
function list() {
  const some = state.count ? chosen() : null, total = some ? some.length : n;
  $("count").textContent = some ? `${total.toLocaleString("en")} of ${n.toLocaleString("en")}` : `${n.toLocaleString("en")} points`;
  $("hint").hidden = Boolean(some);
  $("clear").disabled = !some;
  $("bars").replaceChildren();
  if (labels.length) {
    const counts = new Uint32Array(state.by.names.length), all = new Uint32Array(state.by.names.length);
    for (let i = 0; i < n; i++) { all[state.by.codes[i]]++; if (!some || state.selected[i]) counts[state.by.codes[i]]++; }
    const rows = [...counts.keys()].filter((c) => counts[c]).sort((a, b) => counts[b] - counts[a]).slice(0, 20), most = counts[rows[0]] || 1;
    for (const c of rows) {
      const bar = make("button", $("bars"), undefined, "bar");
      bar.title = `Select all ${all[c]} of ${state.by.names[c]}`;
      bar.append(swatch(state.by.colours[c], 1)); make("span", bar, state.by.names[c]);
      bar.append(swatch(state.by.colours[c], counts[c] / most));
      make("small", bar, some ? `${counts[c]} / ${all[c]}` : `${all[c]}`);
      bar.onclick = () => select([...Array(n).keys()].filter((i) => state.by.codes[i] === c));
    }
  }
  $("gallery").replaceChildren(); state.shown = 0; state.list = some || [];
  more();
}
function swatch(colour, share) { // an SVG, as the page's policy allows no styles made by scripts in markup
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), box = document.createElementNS(svg.namespaceURI, "rect");
  svg.setAttribute("viewBox", "0 0 100 11"); svg.setAttribute("preserveAspectRatio", "none");
  for (const [key, value] of Object.entries({ width: 100 * share, height: 11, rx: 2, fill: colour })) box.setAttribute(key, value);
  svg.append(box); return svg;
}
function more() {
  for (const i of state.list.slice(state.shown, state.shown + PAGE)) {
    const figure = make("figure", $("gallery"));
    figure.dataset.i = i; figure.title = data.names[i];
    thumb(make("div", figure, undefined, "thumb"), i);
    make("figcaption", figure, data.captions[i] || data.names[i]);
    figure.classList.toggle("one", i === state.one);
    figure.tabIndex = 0; figure.setAttribute("role", "button");
    figure.onclick = () => choose(i);
    figure.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(i); } };
    figure.onmouseenter = () => { state.at = i; redraw(); };
    figure.onmouseleave = () => { state.at = -1; redraw(); };
  }
  state.shown = Math.min(state.list.length, state.shown + PAGE);
  $("more").hidden = state.shown >= state.list.length;
  $("more").textContent = `Show more (${(state.list.length - state.shown).toLocaleString("en")} left)`;
}

// ---- what leaves the page
function quoted(value) { // a text that a spreadsheet would run as a formula gets an apostrophe; then CSV's own quotes
  let text = String(value);
  if (/^([\s\u00ad\u200b-\u200f\u2060\ufeff\0]*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212\ufe63\ufe62\ufe66\ufe6b]|[\t\r\n])/.test(text)) text = "'" + text;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
function csv() {
  const rows = state.count ? chosen() : [...Array(n).keys()];
  const head = ["name", "caption", ...labels.map((l) => l.name), ...maps.flatMap((m) => [`${m.title} x`, `${m.title} y`])];
  const lines = rows.map((i) => [quoted(data.names[i]), quoted(data.captions[i] || ""),
    ...labels.map((l) => (l.values ? l.values[i] : quoted(l.names[l.codes[i]]))), ...maps.flatMap((m) => [m.xy[2 * i], m.xy[2 * i + 1]])].join(","));
  return [head.map(quoted).join(","), ...lines].join("\r\n") + "\r\n";
}
function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", csv()], { type: "text/csv" }));
  link.download = state.count ? "selection.csv" : "points.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- hands
function nearest(map, px, py) {
  let best = 14 * 14, found = -1;
  for (let i = 0; i < n; i++) {
    const dx = map.k * map.xy[2 * i] + map.x - px, dy = map.y - map.k * map.xy[2 * i + 1] - py, d = dx * dx + dy * dy;
    if (d < best) { best = d; found = i; }
  }
  return found;
}
function point(map, event) {
  const i = nearest(map, event.offsetX, event.offsetY);
  $("tip").hidden = i < 0;
  if (i >= 0) {
    if (i !== state.at) {
      thumb($("tip").firstElementChild, i);
      $("tip-name").textContent = data.names[i]; $("tip-caption").textContent = data.captions[i] || "";
      $("tip-labels").textContent = labels.map((l) => `${l.name}: ${l.names[l.codes[i]]}`).join(" · ");
    }
    const box = $("tip").getBoundingClientRect();
    $("tip").style.left = `${Math.max(4, Math.min(event.clientX + 16, innerWidth - box.width - 8))}px`;
    $("tip").style.top = `${Math.max(4, Math.min(event.clientY + 16, innerHeight - box.height - 8))}px`;
  }
  if (i !== state.at) { state.at = i; redraw(); }
}
function listen(map) {
  const canvas = map.canvas;
  let from = null;
  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    const moves = state.moving !== event.shiftKey;
    from = { moves, x: event.offsetX - map.x, y: event.offsetY - map.y };
    map.trail = moves ? null : [[event.offsetX, event.offsetY]];
    $("tip").hidden = true;
  };
  canvas.onpointermove = (event) => {
    if (!from) return point(map, event);
    if (from.moves) { map.x = event.offsetX - from.x; map.y = event.offsetY - from.y; }
    else { const [px, py] = map.trail.at(-1); if (Math.hypot(event.offsetX - px, event.offsetY - py) > 2) map.trail.push([event.offsetX, event.offsetY]); }
    redraw(map);
  };
  canvas.onpointerup = (event) => {
    const trail = map.trail, how = event.ctrlKey || event.metaKey ? "more" : event.altKey ? "less" : "only";
    if (from && !from.moves) {
      const one = nearest(map, event.offsetX, event.offsetY);
      select(trail.length > 2 ? inside(map, trail) : one < 0 ? [] : [one], how);
    }
    from = map.trail = null; redraw(map);
  };
  canvas.onpointercancel = () => { from = map.trail = null; redraw(map); };
  canvas.onpointerleave = () => { $("tip").hidden = true; if (state.at >= 0) { state.at = -1; redraw(); } };
  canvas.ondblclick = () => fit(map);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    $("tip").hidden = true; state.at = -1;
    const factor = Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015));
    const k = Math.min(map.fitted * 4000, Math.max(map.fitted / 4, map.k * factor));
    map.x = event.offsetX - ((event.offsetX - map.x) * k) / map.k;
    map.y = event.offsetY - ((event.offsetY - map.y) * k) / map.k;
    map.k = k; redraw(map);
  }, { passive: false });
}
function tool(moving) {
  state.moving = moving;
  $("move").setAttribute("aria-pressed", moving); $("lasso").setAttribute("aria-pressed", !moving);
  maps.forEach((m) => m.box.classList.toggle("moving", moving));
}

// ---- the page
$("title").textContent = data.title; $("note").textContent = data.note;
$("maps").className = maps.length === 1 ? "one" : maps.length === 2 ? "two" : "many";
for (const map of maps) {
  map.box = make("div", $("maps"), undefined, "map");
  map.canvas = make("canvas", map.box);
  map.canvas.setAttribute("aria-label", map.title); map.canvas.setAttribute("role", "img");
  make("small", make("h3", map.box, map.title), map.worth);
  map.g = map.canvas.getContext("2d");
  listen(map);
}
labels.forEach((l, j) => { const option = make("option", $("colour"), l.name); option.value = j; });
$("colour-label").hidden = !labels.length;
$("colour").onchange = () => { state.by = labels[$("colour").value]; recolour(); list(); redraw(); };
$("lasso").onclick = () => tool(false); $("move").onclick = () => tool(true);
$("fit").onclick = () => maps.forEach(fit);
$("clear").onclick = () => { $("find").value = ""; select([]); };
$("csv").onclick = download; $("more").onclick = more; $("pictures").onchange = redraw;
$("find").oninput = () => {
  const wanted = $("find").value.trim().toLowerCase();
  select(wanted ? [...Array(n).keys()].filter((i) => `${data.names[i]} ${data.captions[i] || ""}`.toLowerCase().includes(wanted)) : []);
};
document.addEventListener("keydown", (event) => { if (event.key === "Escape") $("clear").click(); });
new ResizeObserver(() => maps.forEach(fit)).observe($("maps"));
recolour(); list(); maps.forEach(fit);
window.explorer = { maps, chosen, select, inside, csv, draw };
