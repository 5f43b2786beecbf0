// The page of resilient_ws.monitor: it shows what the program tells it, and asks for
// nothing but what to see. Every text reaches the page as text, never as HTML.

const SPAN_SECONDS = { "2m": 120, "30m": 1800, "24h": 86400 };
const SPAN_NAMES = { "2m": "last 2 minutes", "30m": "last 30 minutes", "24h": "last 24 hours" };
const RANKS = { bad: 0, warn: 1, good: 2, idle: 3 };
const LEVELS = { bad: "Alarm", warn: "Warning" };
const DOWN = new Set(["connecting", "restoring", "backoff"]);
const WRONG_TOKEN = 4401;
const MOST_ALARMS = 6;
const KEY = "resilient_ws.monitor.token";

const $ = (id) => document.getElementById(id);

// What is known. Only `take` writes what the program told.
const told = { title: "", period: 1, columns: [], rows: new Map(), strips: {}, session: null, notes: [] };
const view = { session: null, span: "2m", chosen: false, sort: null, offset: 0, heard: 0, focus: null };

// ---------------------------------------------------------------- small tools

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function draw(tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const now = () => Date.now() / 1000 + view.offset;
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function figure(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10000) return short.format(value);
  // A second is never exact, and 0.998 is 1 to a person.
  return String(value < 100 ? Number(value.toFixed(1)) : Math.round(value));
}

function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024) return `${unit === "B" ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`;
    value /= 1024;
  }
  return `${figure(value)} TiB`;
}

function milliseconds(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 1 ? `${figure(seconds * 1000)} ms` : `${figure(seconds)} s`;
}

function lasting(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s < 600 ? `${s % 60} s` : ""}`.trim();
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function clock(at) {
  const date = new Date(at * 1000);
  const time = date.toLocaleTimeString([], { hour12: false });
  const today = new Date().toDateString() === date.toDateString();
  return today ? time : `${date.toLocaleDateString([], { month: "short", day: "numeric" })} ${time}`;
}

const counted = (count, noun) => `${whole.format(count)} ${noun}${count === 1 ? "" : "s"}`;

// ---------------------------------------------------------------- the program

const link = { socket: null, failures: 0, timer: 0, refused: false };

function takeToken() {
  // The token comes behind a #, which browsers send to nobody, and leaves the address.
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname);
  }
}

function connect() {
  clearTimeout(link.timer);
  const url = new URL("live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  const socket = (link.socket = new WebSocket(url));
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = (event) => lost(event.code);
}

function lost(code) {
  link.socket = null;
  if (code === WRONG_TOKEN) {
    link.refused = sessionStorage.getItem(KEY) !== null;
    sessionStorage.removeItem(KEY);
  }
  if (!$("locked").hidden && !link.refused && code === WRONG_TOKEN) return connect();
  // As the sessions do: ever longer, up to a bound, and not all at the same time.
  const wait = link.refused ? 0 : Math.min(10, 0.5 * 2 ** link.failures++) * (0.5 + Math.random() / 2);
  link.timer = setTimeout(connect, wait * 1000);
  if (!link.refused) stale("The program does not answer");
}

function stale(text) {
  document.body.dataset.stale = "";
  mark($("contact"), "data-contact", "none");
  write($("contact-text"), "no contact");
  if ($("locked").hidden) {
    $("overview").hidden = view.session !== null;
    mark($("verdict"), "data-health", "idle");
    write($("verdict-text"), text);
    write($("verdict-more"), "What is below was true when it was last heard of. The page tries again by itself.");
    document.title = `? ${told.title || "Sessions"}`;
    announce(text);
  }
}

function ask() {
  if (link.socket?.readyState === WebSocket.OPEN) {
    link.socket.send(JSON.stringify({ span: view.span, session: view.session }));
  }
}

function take(message) {
  if (message.type === "locked") return unlock();
  view.heard = Date.now();
  link.failures = 0;
  if (message.type === "hello") welcome(message);
  if (message.type === "turn") takeTurn(message);
  if (message.type === "strips" && message.span === view.span) told.strips = message.strips;
  if (message.type === "session" && message.id === view.session && message.span === view.span) told.session = message;
  if (message.type === "gone" && message.id === view.session) location.hash = "#/";
  if (message.type !== "hello") render();
}

function unlock() {
  const token = sessionStorage.getItem(KEY);
  if (token) return link.socket.send(JSON.stringify({ token }));
  $("locked").hidden = false;
  $("overview").hidden = $("detail").hidden = true;
  write($("locked-error"), link.refused ? "That is not the token." : "");
  write($("contact-text"), "locked");
  link.refused = false;
  $("token").focus();
}

function welcome(message) {
  $("locked").hidden = true;
  Object.assign(told, { title: message.title, period: message.period, columns: message.columns, rows: new Map(), strips: {}, session: null });
  if (!view.chosen) view.span = now() - message.began > 300 ? "30m" : "2m";
  for (const input of $("spans").elements) input.checked = input.value === view.span;
  write($("title"), message.title);
  ask();
}

function takeTurn(message) {
  view.offset = message.now - Date.now() / 1000;
  told.notes = message.notes;
  for (const cells of message.rows) {
    const row = Object.fromEntries(told.columns.map((name, place) => [name, cells[place]]));
    told.rows.set(row.id, row);
  }
  const present = new Set(message.ids);
  for (const id of told.rows.keys()) if (!present.has(id)) told.rows.delete(id);
  delete document.body.dataset.stale;
  mark($("contact"), "data-contact", "live");
  write($("contact-text"), "live");
}

// ---------------------------------------------------------------- the verdict

let announced = "";
function announce(text) {
  if (text !== announced) write($("announcer"), (announced = text));
}

function verdict(rows) {
  const bad = rows.filter((row) => row.health === "bad");
  const warned = rows.filter((row) => row.health === "warn").length;
  const open = rows.filter((row) => row.state === "open").length;
  const of = (count) => (rows.length === 1 ? "The session" : `${whole.format(count)} of ${counted(rows.length, "session")}`);
  const verb = (count) => (count === 1 || rows.length === 1 ? "is" : "are");
  if (!rows.length) return ["idle", "There are no sessions", "One appears here when the program has it."];
  if (bad.length) {
    const down = bad.filter((row) => DOWN.has(row.state)).length;
    const what = down === bad.length ? "down" : "in trouble";
    if (rows.length === 1) return ["bad", `The session is ${what}`, rows[0].alarms[0][1]];
    return ["bad", `${of(bad.length)} ${verb(bad.length)} ${what}`, `${counted(open, "session")} open${warned ? `, ${counted(warned, "warning")}` : ""}`];
  }
  if (warned) return ["warn", `${of(warned)} ${warned === 1 ? "needs" : "need"} a look`, `${counted(open, "session")} open`];
  if (!open) return ["idle", "No session is running", `${counted(rows.length, "session")} known`];
  const running = rows.filter((row) => row.state !== "closed" && row.state !== "idle").length;
  const idle = rows.length - running;
  const all = open === 1 ? "The session is open" : open === 2 ? "Both sessions are open" : `All ${counted(open, "session")} are open`;
  return ["good", all, idle ? `${whole.format(idle)} not running` : "Nothing is wrong."];
}

function showVerdict(rows) {
  const [health, text, more] = verdict(rows);
  mark($("verdict"), "data-health", health);
  write($("verdict-text"), text);
  write($("verdict-more"), [more, ...told.notes].join(" · "));
  document.title = `${{ good: "✓", warn: "!", bad: "✕", idle: "–" }[health]} ${text} · ${told.title}`;
  announce(text);
  const sum = (name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);
  tiles([
    ["open", `${whole.format(rows.filter((row) => row.state === "open").length)}/${whole.format(rows.length)}`],
    ["messages in /s", figure(sum("received"))],
    ["messages out /s", figure(sum("sent"))],
    ["unread", figure(sum("inbox"))],
    ["unsent", figure(sum("outbox"))],
    ["drops", figure(sum("drops"))],
  ]);
}

function tiles(pairs) {
  const list = $("tiles");
  if (!list.children.length) list.append(...pairs.map(([name]) => make("div", {}, make("dt", {}, name), make("dd"))));
  pairs.forEach(([, value], place) => write(list.children[place].lastChild, value));
}

// Alarms of the same words are one line, so that a storm is one line too.
function showAlarms(rows) {
  const groups = new Map();
  for (const row of rows) {
    for (const [health, text, since] of row.alarms) {
      const group = groups.get(text) ?? { health, text, since, rows: [] };
      group.rows.push(row);
      if (since !== null) group.since = Math.min(group.since, since);
      groups.set(text, group);
    }
  }
  const sorted = [...groups.values()].sort((a, b) => RANKS[a.health] - RANKS[b.health] || b.rows.length - a.rows.length);
  $("alarms").hidden = !sorted.length;
  const lines = sorted.slice(0, MOST_ALARMS).map((group) => ({ ...group, key: group.text }));
  if (sorted.length > MOST_ALARMS) lines.push({ key: "more", text: `and ${counted(sorted.length - MOST_ALARMS, "other thing")}; the table shows which sessions` });
  keyed($("alarm-list"), lines, (line) => line.key, makeAlarm, updateAlarm);
}

function makeAlarm() {
  return make("li", { class: "alarm" }, make("span", { class: "level" }), make("span", { class: "what" }), make("span", { class: "who" }), make("span", { class: "age" }));
}

function updateAlarm(item, line) {
  const [level, what, who, age] = item.children;
  mark(item, "data-health", line.health ?? "warn");
  write(level, LEVELS[line.health] ?? "");
  write(what, line.text);
  write(age, line.since ? `for ${lasting(now() - line.since)}` : "");
  if (!line.rows) return;
  const named = line.rows.slice(0, 3);
  const key = named.map((row) => row.id).join() + line.rows.length;
  if (item.dataset.who === key) return;
  item.dataset.who = key;
  const names = named.flatMap((row, place) => [place ? ", " : "", make("a", { href: `#/session/${row.id}` }, row.name)]);
  who.replaceChildren(...names, line.rows.length > 3 ? ` and ${whole.format(line.rows.length - 3)} more` : "");
}

// Give a list one element for each thing, and touch only what changed.
function keyed(parent, things, keyOf, makeOne, update) {
  const known = (parent.known ??= new Map());
  const keys = new Set(things.map(keyOf));
  for (const [key, element] of known) {
    if (!keys.has(key)) {
      element.remove();
      known.delete(key);
    }
  }
  let before = null;
  for (const thing of things) {
    const key = keyOf(thing);
    let element = known.get(key);
    if (!element) known.set(key, (element = makeOne(thing)));
    update(element, thing);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== element) parent.insertBefore(element, place);
    before = element;
  }
}

// ---------------------------------------------------------------- the table

const HEADS = [
  ["name", "Session"],
  ["state", "State"],
  ["history", "History"],
  ["latency", "Round trip"],
  ["received", "In /s"],
  ["sent", "Out /s"],
  ["inbox", "Unread"],
  ["outbox", "Unsent"],
  ["drops", "Drops"],
];
const NUMBERS = HEADS.slice(3);

function makeHeads() {
  for (const [name, label] of HEADS) {
    const head = make("th", { role: "columnheader", scope: "col", class: NUMBERS.some(([one]) => one === name) ? "number" : "", "data-name": name });
    if (name === "history") head.append(label);
    else {
      const button = make("button", { type: "button" }, label);
      button.onclick = () => sortBy(name);
      head.append(button);
    }
    $("heads").append(head);
  }
}

function sortBy(name) {
  // First the most, then the least, then the worst first again.
  const first = name === "name" ? 1 : -1;
  if (view.sort?.name !== name) view.sort = { name, way: first };
  else view.sort = view.sort.way === first ? { name, way: -first } : null;
  for (const head of $("heads").children) {
    if (head.dataset.name === view.sort?.name) head.setAttribute("aria-sort", view.sort.way > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  render();
}

function sorted(rows) {
  const { name, way } = view.sort ?? {};
  const byNumber = (a, b) => a.id - b.id;
  if (!name) return rows.sort((a, b) => RANKS[a.health] - RANKS[b.health] || byNumber(a, b));
  if (name === "name" || name === "state") return rows.sort((a, b) => way * a[name].localeCompare(b[name], "en", { numeric: true }) || byNumber(a, b));
  return rows.sort((a, b) => way * ((a[name] ?? -1) - (b[name] ?? -1)) || byNumber(a, b));
}

function showTable(rows) {
  const wanted = $("filter").value.trim().toLowerCase();
  const troubled = $("troubled").checked;
  const shown = rows.filter((row) => (!wanted || row.name.toLowerCase().includes(wanted)) && (!troubled || RANKS[row.health] < 2));
  $("nothing").hidden = shown.length > 0;
  write($("nothing"), rows.length ? "No session matches." : "There are no sessions.");
  write($("sessions-title"), shown.length === rows.length ? "Sessions" : `${whole.format(shown.length)} of ${counted(rows.length, "session")}`);
  const heading = $("heads").children[2];
  write(heading, SPAN_NAMES[view.span].replace(/^l/, "L"));
  keyed($("rows"), sorted(shown), (row) => row.id, makeRow, updateRow);
}

function makeRow(row) {
  const made = make("tr", { role: "row" });
  const name = make("span", { class: "name" }, make("span", { class: "pip", "aria-hidden": "true" }), make("a", { href: `#/session/${row.id}` }), make("span", { class: "unseen" }));
  made.append(make("td", { role: "cell" }, name), make("td", { role: "cell", class: "state" }), make("td", { role: "cell", class: "history" }));
  for (const [, label] of NUMBERS) made.append(make("td", { role: "cell", class: "number", "data-label": label }));
  made.onclick = (event) => {
    if (!event.target.closest("a")) location.hash = `#/session/${row.id}`;
  };
  return made;
}

function updateRow(made, row) {
  const [name, state, history, ...numbers] = made.children;
  const [pip, anchor, level] = name.firstChild.children;
  mark(pip, "data-health", row.health);
  write(anchor, row.name);
  write(level, LEVELS[row.health] ?? "");
  mark(state, "data-health", row.health);
  write(state, stateText(row));
  showStrip(history, told.strips[row.id] ?? "", row);
  NUMBERS.forEach(([key], place) => {
    const value = row[key];
    const cell = numbers[place];
    write(cell, key === "latency" ? milliseconds(value) : figure(value));
    mark(cell, "class", value ? "number" : "number zero");
  });
}

function stateText(row) {
  const age = lasting(now() - row.since);
  if (row.state === "open") return `open ${age}`;
  if (row.state === "backoff" && row.retryAt !== null) return `down ${age}, next try in ${lasting(row.retryAt - now())}`;
  if (DOWN.has(row.state)) return `down ${age}, ${row.state}`;
  return row.state === "closed" && row.health === "bad" ? "ended with an error" : row.state;
}

// One bar for each run of samples of the same kind: a quiet session is one rectangle.
const STRIP_HEIGHTS = { o: 10, p: 14, d: 18, x: 4 };
const STRIP_WORDS = { o: "open", p: "partly down", d: "down", x: "not running" };

function showStrip(cell, letters, row) {
  const present = row.state === "open" ? "o" : DOWN.has(row.state) ? "d" : "x";
  const text = letters + present;
  const longest = Math.max(12, longestStrip) + 1;
  const key = `${text}|${longest}`;
  if (cell.strip === key) return;
  cell.strip = key;
  const svg = draw("svg", { class: "strip", viewBox: `0 0 ${longest} 18`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
  for (const run of text.matchAll(/(.)\1*/g)) {
    const [all, letter] = run;
    const height = STRIP_HEIGHTS[letter];
    svg.append(draw("rect", { class: letter, x: longest - text.length + run.index, y: (18 - height) / 2, width: all.length, height }));
  }
  const said = [...new Set(text)].map((letter) => STRIP_WORDS[letter]).join(", ");
  cell.replaceChildren(svg, make("span", { class: "unseen" }, said));
}

let longestStrip = 0;

// ---------------------------------------------------------------- charts

const WIDE = 1200;
const LEFT = 44;
const BELOW = 20;

const CHARTS = [
  { name: "state", title: "Connection", kind: "share", wide: true, height: 74 },
  { name: "latency", title: "Round trip", kind: "line", lines: [["latency", "newest ping"]], format: milliseconds },
  { name: "messages", title: "Messages a second", kind: "line", lines: [["received", "in"], ["sent", "out"]], format: figure, least: 2 },
  { name: "bytes", title: "Bytes a second", kind: "line", lines: [["bytes_received", "in"], ["bytes_sent", "out"]], format: bytes, base: 1024 },
  { name: "queues", title: "Messages waiting", kind: "line", lines: [["inbox", "unread"], ["outbox", "unsent"]], format: figure, least: 2 },
  { name: "gaps", title: "Holes in feeds that could not be filled", kind: "bar", lines: [["gaps", "holes"]], format: figure, least: 2, feed: true, wide: true, height: 110 },
];

function makeCharts() {
  for (const chart of CHARTS) {
    const keys = make("span", { class: "keys" });
    const svg = draw("svg", { role: "img", height: chart.height ?? 150 });
    const box = make("figure", { class: `card chart${chart.wide ? " wide" : ""}` }, make("figcaption", {}, make("h2", {}, chart.title), keys), svg);
    Object.assign(chart, { box, svg, keys, at: null });
    svg.onpointermove = (event) => {
      chart.at = event.offsetX;
      showChart(chart);
    };
    svg.onpointerleave = () => {
      chart.at = null;
      showChart(chart);
    };
    $("charts").append(box);
  }
  new ResizeObserver(() => render()).observe($("charts"));
}

function showChart(chart) {
  const { samples, span, feed } = told.session;
  chart.box.hidden = Boolean(chart.feed) && !feed;
  if (chart.box.hidden) return;
  const width = chart.svg.clientWidth || WIDE;
  const height = chart.height ?? 150;
  const until = now();
  const first = samples.at.length ? samples.at[0] - samples.seconds[0] : until;
  const from = Math.max(until - SPAN_SECONDS[span], Math.min(first, until - 10));
  const x = (at) => LEFT + ((at - from) / (until - from)) * (width - LEFT - 2);
  const frame = { width, height: height - BELOW, x, samples, from, until };
  chart.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.svg.replaceChildren(...timeAxis(frame), ...(chart.kind === "share" ? shareMarks(frame) : valueMarks(chart, frame)));
  const place = nearest(chart, frame);
  if (place !== null) chart.svg.append(draw("line", { class: "here", x1: x(samples.at[place]), x2: x(samples.at[place]), y1: 0, y2: frame.height }));
  (chart.kind === "share" ? shareKeys : valueKeys)(chart, samples, place);
}

function nearest(chart, { x, samples }) {
  if (chart.at === null || !samples.at.length) return null;
  return samples.at.reduce((best, at, place) => (Math.abs(x(at) - chart.at) < Math.abs(x(samples.at[best]) - chart.at) ? place : best), 0);
}

function timeAxis({ width, height, x, from, until }) {
  const step = [5, 10, 30, 60, 300, 600, 3600, 14400, 21600].find((one) => (until - from) / one <= Math.max(2, width / 110)) ?? 86400;
  const marks = [];
  for (let age = 0; age <= until - from; age += step) {
    const at = x(until - age);
    const anchor = age === 0 ? "end" : at < LEFT + 24 ? "start" : "middle";
    const label = draw("text", { x: at, y: height + 15, "text-anchor": anchor });
    label.textContent = age === 0 ? "now" : `−${lasting(age).replace(/ 0 (s|min)$/, "")}`;
    marks.push(label);
  }
  return marks;
}

function shareMarks({ height, x, samples }) {
  const marks = [];
  let run = null;
  samples.at.forEach((at, place) => {
    const shares = sharesOf(samples, place);
    const key = String(shares);
    const begin = Math.max(LEFT, x(at - samples.seconds[place]));
    // Samples of one kind are one mark, so that there is no seam between them.
    if (run?.key === key) {
      for (const one of run.marks) one.setAttribute("width", Math.max(0.5, x(at) - run.begin));
      return;
    }
    if (x(at) < LEFT) return;
    run = { key, begin, marks: [] };
    let top = height;
    for (const [kind, share] of shares) {
      top -= share * height;
      if (share > 0) run.marks.push(draw("rect", { class: kind, x: begin, y: top, width: Math.max(0.5, x(at) - begin), height: share * height }));
    }
    marks.push(...run.marks);
  });
  return marks;
}

function sharesOf(samples, place) {
  const down = samples.down[place];
  if (down === null) return [["idle", 0.3]];
  const waiting = samples.waiting[place] ?? 0;
  return [["bad", waiting], ["warn", down - waiting], ["good", 1 - down]].map(([kind, share]) => [kind, Math.round(share * 100) / 100]);
}

function shareKeys(chart, samples, place) {
  const names = { good: "open", warn: "connecting", bad: "waiting to try again" };
  const places = place === null ? samples.at.map((_, one) => one) : [place];
  const total = { good: 0, warn: 0, bad: 0, seconds: 0 };
  for (const one of places) {
    if (samples.down[one] === null) continue;
    total.seconds += samples.seconds[one];
    const [down, waiting] = [samples.down[one], samples.waiting[one]];
    total.good += (1 - down) * samples.seconds[one];
    total.warn += (down - waiting) * samples.seconds[one];
    total.bad += waiting * samples.seconds[one];
  }
  const percent = (kind) => (total.seconds ? percentText((100 * total[kind]) / total.seconds) : "–");
  setKeys(chart, Object.keys(names).map((kind) => [`${kind} square`, names[kind], percent(kind)]), agoText(samples, place));
  mark(chart.svg, "aria-label", `Connection, ${SPAN_NAMES[told.session.span]}: open ${percent("good")} of the time`);
}

function percentText(value) {
  if (value > 0 && value < 0.1) return "under 0.1 %";
  return `${Number(value.toFixed(value > 99 && value < 100 ? 2 : 1))} %`;
}

function valueMarks(chart, { width, height, x, samples, from }) {
  const values = chart.lines.flatMap(([name]) => samples[name].filter((value, place) => value !== null && samples.at[place] >= from));
  const top = Math.max(chart.least ?? 0, ceiling(Math.max(0, ...values), chart.base));
  const y = (value) => height - (value / top) * (height - 8);
  const marks = [];
  for (const value of [0, top / 2, top]) {
    const label = draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" });
    label.textContent = axisText(value, chart);
    marks.push(draw("line", { class: "rule", x1: LEFT, x2: width, y1: y(value), y2: y(value) }), label);
  }
  const shape = chart.kind === "bar" ? bars : lines;
  chart.lines.forEach(([name], place) => marks.push(...shape(samples, name, x, y, place ? "second" : "first", from)));
  return marks;
}

function axisText(value, chart) {
  if (chart.format !== bytes) return chart.format(value);
  return bytes(value).replace(" B", "").replace(/ ([KMGT])iB/, "$1");
}

// A round number that the chart's highest value fits under.
function ceiling(value, base = 2) {
  if (value <= 0) return base === 1024 ? 1024 : 0.01;
  if (base === 1024) return 2 ** Math.ceil(Math.log2(value));
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 10].map((times) => times * power).find((round) => round >= value);
}

function lines(samples, name, x, y, kind, from) {
  let path = "";
  let pen = "M";
  const first = samples.at.findIndex((at, place) => at >= from && samples[name][place] !== null);
  let last = null;
  samples[name].forEach((value, place) => {
    if (value === null || samples.at[place] < from) {
      pen = "M";
    } else {
      // A point alone is a line of no length, which its round ends make a dot.
      path += `${pen}${x(samples.at[place]).toFixed(1)} ${y(value).toFixed(1)}${pen === "M" ? "h0" : ""}`;
      pen = "L";
      last = place;
    }
  });
  if (last === null) return [];
  const whole = !samples[name].slice(first, last + 1).includes(null);
  const area = whole ? [draw("path", { class: `area ${kind}`, d: `${path}L${x(samples.at[last])} ${y(0)}L${x(samples.at[first])} ${y(0)}Z` })] : [];
  return [...area, draw("path", { class: `line ${kind}`, d: path })];
}

function bars(samples, name, x, y) {
  return samples.at.flatMap((at, place) => {
    const value = samples[name][place];
    const begin = Math.max(LEFT, x(at - samples.seconds[place]));
    if (!value || x(at) < LEFT) return [];
    return [draw("rect", { class: "bad", x: begin, y: y(value), width: Math.max(2, x(at) - begin - 1), height: y(0) - y(value) })];
  });
}

function valueKeys(chart, samples, place) {
  const at = place ?? samples.at.length - 1;
  const entries = chart.lines.map(([name, label], order) => [chart.kind === "bar" ? "bad square" : order ? "second" : "first", label, chart.format(samples[name][at] ?? null)]);
  setKeys(chart, entries, agoText(samples, place));
  const said = chart.lines.map(([name, label]) => {
    const values = samples[name].filter((value) => value !== null);
    return values.length ? `${label} now ${chart.format(values.at(-1))}, highest ${chart.format(Math.max(...values))}` : `${label} unknown`;
  });
  mark(chart.svg, "aria-label", `${chart.title}, ${SPAN_NAMES[told.session.span]}: ${said.join("; ")}`);
}

function agoText(samples, place) {
  return place === null ? "" : `${lasting(now() - samples.at[place])} ago`;
}

function setKeys(chart, entries, ago) {
  const parts = entries.map(([kind, label, value]) => make("span", { class: "key" }, make("i", { class: kind }), `${label} `, make("b", {}, value)));
  if (ago) parts.push(make("span", { class: "key" }, ago));
  chart.keys.replaceChildren(...parts.flatMap((part) => [part, "  "]));
}

// ---------------------------------------------------------------- one session

function showDetail() {
  const row = told.rows.get(view.session);
  if (!row) return;
  mark($("detail-verdict"), "data-health", row.health);
  write($("detail-name"), row.name);
  write($("detail-state"), stateText(row).replace(/^./, (first) => first.toUpperCase()));
  document.title = `${row.name} · ${told.title}`;
  keyed($("detail-alarms"), row.alarms.map(([health, text, since]) => ({ health, text, since, key: text })), (line) => line.key, makeAlarm, updateAlarm);
  announce(row.alarms.length ? `${row.name}: ${row.alarms[0][1]}` : `${row.name}: ${row.state}`);
  const all = told.session;
  if (!all || all.id !== view.session) return;
  write($("detail-endpoint"), all.endpoint && all.endpoint !== row.name ? all.endpoint : "");
  showFacts(row, all);
  for (const chart of CHARTS) showChart(chart);
  showRecords("downtimes", all.downtimes, "There was none.", [
    ["Began", (one) => clock(one.began)],
    ["Lasted", (one) => (one.seconds === null ? `${lasting(now() - one.began)} so far` : one.seconds < 10 ? milliseconds(one.seconds) : lasting(one.seconds))],
    ["Failed attempts", (one) => whole.format(one.failed)],
    ["Why", (one) => one.why],
  ]);
  showRecords("attempts", all.attempts, "None has failed.", [
    ["When", (one) => clock(one.at)],
    ["Attempt", (one) => whole.format(one.number)],
    ["Took", (one) => milliseconds(one.elapsed)],
    ["To", (one) => one.endpoint],
    ["Why", (one) => one.why],
  ]);
  showEvents(all.events);
}

function showFacts(row, { counters, limits, epoch, feed }) {
  const facts = [
    [row.state === "open" ? "Open since" : DOWN.has(row.state) ? "Down since" : "Since", clock(row.since)],
    ["Connection", epoch ? `no. ${whole.format(epoch)}` : "none yet"],
    ["Drops", figure(counters.drops)],
    ["Attempts", figure(counters.attempts)],
    ["Without connection", lasting(counters.outage_seconds)],
    ["Last message", counters.last_message_at ? `${lasting(now() - counters.last_message_at)} ago` : "none"],
    ["Received", figure(counters.messages_received), bytes(counters.bytes_received)],
    ["Sent", figure(counters.messages_sent), bytes(counters.bytes_sent)],
    ["Unread", figure(counters.inbox_messages), `of ${whole.format(limits.inbox)}`],
    ["Unsent", figure(counters.outbox_messages), `of ${whole.format(limits.outbox)}`],
    ["Oldest unsent", counters.outbox_oldest_age ? lasting(counters.outbox_oldest_age) : "–"],
    ["Lost, discarded", `${figure(counters.outbox_lost)}, ${figure(counters.inbox_discarded)}`],
  ];
  if (feed) {
    facts.push(
      ["Subscriptions", `${feed.live} of ${feed.subscriptions}`, "live"],
      ["Items", figure(feed.items), `${whole.format(feed.waiting)} waiting`],
      ["Holes left open", figure(feed.gaps)],
      ["Repeats dropped", figure(feed.repeats)],
    );
  }
  keyed($("facts"), facts.map(([name, value, more]) => ({ name, value, more })), (fact) => fact.name, makeFact, updateFact);
}

function makeFact({ name }) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, make("span"), " ", make("small")));
}

function updateFact(box, { value, more }) {
  const [first, second] = box.lastChild.children;
  write(first, value);
  write(second, more ?? "");
}

function showRecords(id, records, none, columns) {
  const table = $(id);
  const key = JSON.stringify(records) + (records[0]?.seconds === null ? Math.floor(now()) : "");
  if (table.shown === key) return;
  table.shown = key;
  if (!records.length) return table.replaceChildren(make("tbody", {}, make("tr", {}, make("td", {}, none))));
  const head = make("tr", {}, ...columns.map(([name]) => make("th", { scope: "col" }, name)));
  const body = records.map((one) => make("tr", {}, ...columns.map(([name, text]) => make("td", name === "Why" ? { class: "why" } : {}, text(one)))));
  table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}

function showEvents(events) {
  const key = JSON.stringify(events);
  if ($("events").shown === key) return;
  $("events").shown = key;
  const items = events.map((one) =>
    make(
      "li",
      { "data-level": one.level },
      make("time", { datetime: new Date(one.at * 1000).toISOString() }, clock(one.at)),
      make("span", { class: "level", role: "img", "aria-label": one.level }),
      make("span", { class: "text" }, one.text),
      make("span", { class: "times" }, one.count > 1 ? `× ${whole.format(one.count)}` : ""),
    ),
  );
  $("events").replaceChildren(...(items.length ? items : [make("li", {}, "Nothing yet.")]));
}

// ---------------------------------------------------------------- the whole

let drawing = false;

// However much is told at once, it is drawn once for each frame.
function render() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    show();
  });
}

function show() {
  if (!$("locked").hidden || !told.columns.length) return;
  const detail = view.session !== null;
  $("overview").hidden = detail;
  $("detail").hidden = !detail;
  if (detail) showDetail();
  else showOverview();
  if (view.focus) document.querySelector(view.focus)?.focus();
  view.focus = null;
}

function showOverview() {
  const rows = [...told.rows.values()];
  longestStrip = rows.reduce((most, row) => Math.max(most, told.strips[row.id]?.length ?? 0), 0);
  if (!("stale" in document.body.dataset)) showVerdict(rows);
  showAlarms(rows);
  showTable(rows);
}

function route() {
  const found = /^#\/session\/(\d+)$/.exec(location.hash);
  if (!found && location.hash && location.hash !== "#/") return; // The link that skips to the sessions.
  const before = view.session;
  view.session = found ? Number(found[1]) : null;
  if (view.session !== before) {
    told.session = null;
    // What is hidden takes no focus, so it goes there once the page is drawn.
    view.focus = view.session === null ? `#rows a[href="#/session/${before}"]` : "#detail-name";
    ask();
    render();
  }
}

function begin() {
  takeToken();
  makeHeads();
  makeCharts();
  route();
  addEventListener("hashchange", () => (location.hash.startsWith("#token=") ? location.reload() : route()));
  $("spans").onchange = (event) => {
    Object.assign(view, { span: event.target.value, chosen: true });
    told.session = null;
    told.strips = {};
    ask();
  };
  $("filter").oninput = render;
  $("troubled").onchange = render;
  $("locked-form").onsubmit = (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, $("token").value);
    $("token").value = "";
    if (link.socket?.readyState === WebSocket.OPEN) unlock();
    else connect();
  };
  // Ages grow by themselves; and a program that hangs is not shown as alive.
  setInterval(() => {
    if (view.heard && Date.now() - view.heard > 4000 * told.period && link.socket) stale("The program does not answer");
    render();
  }, 1000);
  connect();
}

begin();
