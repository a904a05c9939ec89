// The page of `vda view`: asks for a frame's picture and codes, draws them, and tells what is under the pointer.
// Where data comes from is `source`: the server, or what is kept in this very file. Nothing is asked of anybody else.
"use strict";

const byId = (id) => document.getElementById(id);
const state = { place: 0, picture: null, codes: null, things: [], over: false, pointer: null };
const inside = document.createElement("canvas"); // the depth in colours, at its own size
let facts, colours, values, source;

// ---- where frames come from -----------------------------------------------------------------------------------

async function asked(name) {
  const answer = await fetch(name).catch(() => { throw new Error("vda view has ended: start it again."); });
  if (!answer.ok) throw new Error((await answer.text()) || `${name} is not to be had`);
  return answer;
}

const served = {
  facts: async () => (await asked("facts.json")).json(),
  values: async () => new Float32Array(await (await asked("values")).arrayBuffer()),
  colours: async () => new Uint8Array(await (await asked("colours")).arrayBuffer()),
  picture: async (place) => createImageBitmap(await (await asked(`picture/${place}`)).blob()),
  codes: async (place) => new Uint16Array(await (await asked(`depth/${place}`)).arrayBuffer()),
  things: async (place) => (facts.things ? (await asked(`things/${place}`)).json() : []),
  begin: (dark) => { byId("cloud").src = `cloud/?hideViserLogo${dark ? "&darkMode" : ""}`; },
  cloud: async (place) => (await (await asked(`points/${place}`)).json()).points,
};

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function unpacked(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Each row is kept as differences from pixel to pixel, their high bytes first and then their low ones.
function summed(bytes, width, height) {
  const codes = new Uint16Array(width * height);
  for (let row = 0, place = 0; row < height; row++) {
    for (let column = 0, code = 0; column < width; column++, place++) {
      code = (code + (bytes[place] << 8) + bytes[codes.length + place]) & 0xffff;
      codes[place] = code;
    }
  }
  return codes;
}

function keptIn(all) {
  return {
    facts: async () => all.facts,
    values: async () => new Float32Array(await unpacked(all.values)),
    colours: async () => new Uint8Array(await unpacked(all.colours)),
    picture: async (place) => createImageBitmap(new Blob([bytesOf(all.frames[place].picture)], { type: "image/jpeg" })),
    codes: async (place) => summed(new Uint8Array(await unpacked(all.frames[place].depth)), facts.width, facts.height),
    things: async (place) => all.frames[place].things,
    begin: (dark) => {
      byId("cloud").srcdoc = dark ? all.cloud.replace("{darkMode:false}", "{darkMode:true}") : all.cloud;
    },
    cloud: async (place) => { await played(place); return all.frames[place].points; },
  };
}

// viser plays what was recorded, a second for each frame: its own clock is set to the middle of that second.
async function played(place) {
  const clock = await until(() => byId("cloud").contentDocument?.querySelector("input[inputmode], input[type=text]"));
  const bar = clock.closest(".mantine-Paper-root");
  if (bar) bar.style.display = "none";
  const set = Object.getOwnPropertyDescriptor(clock.ownerDocument.defaultView.HTMLInputElement.prototype, "value").set;
  // Twice, for a time that the clock shows already is no news to it, and it would play on.
  for (const share of [0.25, 0.5]) {
    set.call(clock, `${place + share}`);
    clock.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function until(find) {
  return new Promise((done) => {
    const look = () => { const found = find(); if (found) done(found); else setTimeout(look, 50); };
    look();
  });
}

// On a phone viser's panel would cover the cloud; wider it is one line in a corner.
function clear() {
  const style = byId("cloud").contentDocument.createElement("style");
  style.textContent = "@media (max-width: 36em) { .mantine-Paper-root[style*='bottom: 0'] { display: none !important; } }";
  byId("cloud").contentDocument.head.appendChild(style);
}

// ---- one frame after another: what is asked for last is what is shown ------------------------------------------

function follower(show) {
  let wanted = null, busy = false;
  return async (place) => {
    wanted = place;
    if (busy) return;
    busy = true;
    while (wanted !== null) {
      const now = wanted;
      wanted = null;
      try { await show(now); tell(""); } catch (error) { tell(error.message); }
    }
    busy = false;
  };
}

const followFrame = follower(async (place) => {
  const [picture, codes, things] = await Promise.all([source.picture(place), source.codes(place), source.things(place)]);
  Object.assign(state, { place, picture, codes, things });
  const found = inside.getContext("2d").createImageData(facts.width, facts.height), rgba = found.data;
  for (let i = 0; i < codes.length; i++) {
    const code = 3 * codes[i];
    rgba[4 * i] = colours[code]; rgba[4 * i + 1] = colours[code + 1]; rgba[4 * i + 2] = colours[code + 2];
    rgba[4 * i + 3] = 255;
  }
  inside.getContext("2d").putImageData(found, 0, 0);
  draw();
  read();
  document.body.dataset.shown = place;
});

const followCloud = follower(async (place) => {
  const points = await source.cloud(place);
  byId("cloud-words").textContent = points
    ? `${points.toLocaleString("en")} points of frame ${facts.frames[place]}. Drag to turn, right-drag to move, wheel to come near.`
    : `Frame ${facts.frames[place]} has no pose, so it has no place in the cloud.`;
  document.body.dataset.cloud = place;
});

function go(place) {
  byId("time").value = place;
  const missing = facts.missing.includes(facts.frames[place]) ? " · not decoded" : "";
  byId("when").value = `frame ${facts.frames[place]} · ${facts.times[place].toFixed(2)} s${missing}`;
  followFrame(place);
  if (facts.cloud) followCloud(place);
}

function tell(words) {
  byId("trouble").textContent = words;
  byId("trouble").hidden = !words;
}

// ---- drawing -----------------------------------------------------------------------------------------------------

const share = () => byId("wipe").value / 1000;

function draw() {
  if (!state.picture) return;
  const wide = Math.max(state.picture.width, facts.width);
  const high = wide === facts.width ? facts.height : state.picture.height;
  for (const name of ["picture", "depth"]) {
    const canvas = byId(name);
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  }
  const left = byId("picture").getContext("2d"), right = byId("depth").getContext("2d");
  left.drawImage(state.picture, 0, 0, wide, high);
  right.imageSmoothingEnabled = left.imageSmoothingEnabled = false;
  if (state.over) {
    const edge = Math.round(share() * wide);
    left.save();
    left.beginPath(); left.rect(edge, 0, wide - edge, high); left.clip();
    left.drawImage(inside, 0, 0, wide, high);
    left.restore();
    left.fillStyle = "#fff";
    left.fillRect(edge - wide / 640, 0, wide / 320, high);
  } else {
    right.drawImage(inside, 0, 0, wide, high);
  }
  left.imageSmoothingEnabled = true;
  for (const pen of state.over ? [left] : [left, right]) {
    if (byId("things").checked) for (const thing of state.things) drawThing(pen, thing, wide, high);
    if (state.pointer) drawPointer(pen, wide, high);
  }
  byId("count").textContent = facts.things ? `${state.things.length} here` : "";
}

function drawThing(pen, thing, wide, high) {
  // Pixels count from their middles.
  const x = (value) => ((value + 0.5) * wide) / facts.width, y = (value) => ((value + 0.5) * high) / facts.height;
  // Names far apart in hue for numbers next to each other.
  const colour = `hsl(${((thing.track + 1) * 137.5) % 360} 90% 62%)`;
  const unit = Math.max(1, wide / 480);
  let at = thing.point && [x(thing.point[0]), y(thing.point[1])];
  pen.lineWidth = 1.5 * unit;
  pen.strokeStyle = pen.fillStyle = colour;
  if (thing.box) {
    const [x1, y1, x2, y2] = thing.box;
    pen.strokeRect(x(x1), y(y1), x(x2) - x(x1), y(y2) - y(y1));
  }
  if (at) { pen.beginPath(); pen.arc(at[0], at[1], 3 * unit, 0, 7); pen.fill(); }
  if (thing.box) at = [x(thing.box[0]), y(thing.box[1])];
  // Places that were found up to scale are no metres.
  const words = thing.name + (thing.place && facts.unit === "m" ? ` ${thing.place[2].toFixed(1)} m` : "");
  if (!at || !words) return;
  pen.font = `${Math.round(10 * unit)}px system-ui, sans-serif`;
  const room = pen.measureText(words).width + 6 * unit;
  const left = Math.min(Math.max(0, at[0]), wide - room), top = Math.max(13 * unit, at[1]);
  pen.fillRect(left, top - 13 * unit, room, 13 * unit);
  pen.fillStyle = "#111";
  pen.fillText(words, left + 3 * unit, top - 3.5 * unit);
}

function drawPointer(pen, wide, high) {
  const x = ((state.pointer[0] + 0.5) * wide) / facts.width, y = ((state.pointer[1] + 0.5) * high) / facts.height;
  const arm = wide / 50;
  for (const [style, width] of [["#000", wide / 213], ["#fff", wide / 480]]) {
    pen.strokeStyle = style;
    pen.lineWidth = Math.max(1, width);
    pen.beginPath();
    for (const sign of [-1, 1]) {
      pen.moveTo(x + (sign * arm) / 4, y); pen.lineTo(x + sign * arm, y);
      pen.moveTo(x, y + (sign * arm) / 4); pen.lineTo(x, y + sign * arm);
    }
    pen.stroke();
  }
}

// ---- the value under the pointer ---------------------------------------------------------------------------------

function lengthOf(value) {
  const frame = facts.frames[state.place];
  const fit = facts.fits.find((one) => one.start <= frame && frame < one.stop);
  if (!fit) return null;
  const inverse = fit.scale * (facts.kind === "depth" ? 1 / value : value) + fit.shift;
  return inverse > 0 ? 1 / inverse : Infinity;
}

const digits = (number) => String(Number(number.toPrecision(5)));

function read() {
  const told = byId("value");
  if (!state.pointer || !state.codes) return;
  const [x, y] = state.pointer;
  const code = state.codes[y * facts.width + x];
  const value = values[code];
  Object.assign(told.dataset, { x, y, code, value: code ? value : "", length: "" });
  const words = [];
  if (!code) {
    words.push("no depth (invalid)");
  } else {
    if (facts.unit) {
      const length = facts.kind === "depth" && facts.unit === "m" && facts.plain ? value : lengthOf(value);
      told.dataset.length = length;
      if (length === null) words.push("no length: nothing ties this shot to the reconstruction");
      else words.push(Number.isFinite(length) ? `${digits(length)} ${facts.unit}` : "farther than the calibration reaches");
    }
    if (facts.kind === "inverse_depth") words.push(`inverse depth ${digits(value)}${facts.unit ? "" : " (relative, no unit: larger is nearer)"}`);
    else if (facts.unit !== "m") words.push(`depth ${digits(value)} m`);
  }
  told.textContent = `x ${x * facts.step}, y ${y * facts.step}: ${words.join(" · ")}`;
}

function point(event) {
  const box = event.target.getBoundingClientRect();
  const across = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.height;
  const within = (part, size) => Math.min(size - 1, Math.max(0, Math.floor(part * size)));
  state.pointer = [within(across, facts.width), within(down, facts.height)];
  if (state.over && event.buttons) byId("wipe").value = Math.round(1000 * across);
  draw();
  read();
}

// ---- controls ------------------------------------------------------------------------------------------------------

function lay(over) {
  state.over = over;
  byId("panes").className = over ? "over" : "beside";
  byId("left-words").textContent = over ? "Frame to the left, depth to the right: drag the picture or the slider." : "Frame";
  byId("wipe-label").hidden = !over;
  byId("over").setAttribute("aria-pressed", over);
  byId("beside").setAttribute("aria-pressed", !over);
  draw();
}

let playing = null;

function play() {
  if (playing !== null) { stop(); return; }
  const last = facts.frames.length - 1;
  const from = Number(byId("time").value) >= last ? 0 : Number(byId("time").value);
  const began = performance.now();
  byId("play").textContent = "\u275a\u275a";
  byId("play").setAttribute("aria-label", "pause");
  const step = (now) => {
    const time = facts.times[from] + (now - began) / 1000;
    let place = Number(byId("time").value);
    if (place < from) place = from;
    while (place < last && facts.times[place + 1] <= time) place++;
    if (place !== Number(byId("time").value)) go(place);
    if (place < last) playing = requestAnimationFrame(step); else stop();
  };
  if (from !== Number(byId("time").value)) go(from);
  playing = requestAnimationFrame(step);
}

function stop() {
  cancelAnimationFrame(playing);
  playing = null;
  byId("play").textContent = "\u25b6";
  byId("play").setAttribute("aria-label", "play");
}

async function begin() {
  const kept = byId("kept");
  source = kept ? keptIn(JSON.parse(kept.textContent)) : served;
  facts = await source.facts();
  [values, colours] = await Promise.all([source.values(), source.colours()]);
  Object.assign(inside, { width: facts.width, height: facts.height });
  byId("about").textContent = facts.about;
  byId("bar").style.background = `linear-gradient(to right, ${facts.bar.join(", ")})`;
  byId("time").max = facts.frames.length - 1;
  byId("things-label").hidden = !facts.things;
  byId("space").hidden = !facts.cloud;
  for (const name of ["picture", "depth"]) {
    byId(name).style.aspectRatio = facts.shape;
    byId(name).addEventListener("pointermove", point);
    byId(name).addEventListener("pointerdown", (event) => { event.target.setPointerCapture(event.pointerId); point(event); });
  }
  byId("panes").style.setProperty("--shape", facts.shape);
  for (const note of facts.notes) byId("notes").appendChild(document.createElement("li")).textContent = note;
  byId("time").addEventListener("input", () => { stop(); go(Number(byId("time").value)); });
  byId("wipe").addEventListener("input", draw);
  byId("things").addEventListener("change", draw);
  byId("over").addEventListener("click", () => lay(true));
  byId("beside").addEventListener("click", () => lay(false));
  byId("play").addEventListener("click", play);
  byId("cloud").addEventListener("load", clear);
  if (facts.cloud) source.begin(matchMedia("(prefers-color-scheme: dark)").matches);
  go(0);
}

begin().catch((error) => tell(error.message));
