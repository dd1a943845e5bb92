"use strict";

const find = (name) => document.getElementById(name);
const show = (name, shown = true) => { find(name).hidden = !shown; };
const limits = document.body.dataset;
const POLL_MILLISECONDS = 250;

let tab = "file";        // where the speech comes from
let speech = null;       // File: chosen or recorded
let portrait = null;     // File: chosen, dropped or the example
let job = null;          // identifier of the video that is being made or shown
let cancelled = false;
let curves = null;

// ---- inputs -------------------------------------------------------------------------------------------------------

function fits(file, bytes) {
  if (file.size <= bytes) return true;
  say(`${file.name}: larger than ${Math.floor(bytes / 1e6)} MB, the limit of this page; use a smaller file.`);
  return false;
}

function say(message) {
  find("error").textContent = message;
  show("error", message !== "");
}

function preview(element, file) {
  if (element.src) URL.revokeObjectURL(element.src);
  element.hidden = file === null;
  if (file === null) element.removeAttribute("src");
  else element.src = URL.createObjectURL(file);
}

function choosePortrait(file) {
  if (!file || !fits(file, limits.imageBytes)) return;
  say("");
  portrait = file;
  preview(find("portrait-picture"), file);
  document.querySelector("#portrait-drop .invite").hidden = true;
}

function chooseSpeech(file) {
  if (!file || !fits(file, limits.mediaBytes)) return;
  say("");
  speech = file;
  preview(find("speech-sound"), file);
  document.querySelector("#speech-drop strong").textContent = file.name;
}

function acceptDrops(area, choose) {
  for (const kind of ["dragenter", "dragover"]) {
    area.addEventListener(kind, (event) => { event.preventDefault(); area.classList.add("over"); });
  }
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });
}

for (const kind of ["dragover", "drop"]) {
  window.addEventListener(kind, (event) => event.preventDefault());  // a file dropped outside an area must not replace the page
}
acceptDrops(find("portrait-drop"), choosePortrait);
acceptDrops(find("speech-drop"), chooseSpeech);
find("portrait").addEventListener("change", (event) => choosePortrait(event.target.files[0]));
find("speech").addEventListener("change", (event) => chooseSpeech(event.target.files[0]));
find("example").addEventListener("click", async () => {
  const answer = await fetch("example.jpg");
  choosePortrait(new File([await answer.blob()], "astronaut.jpg", { type: "image/jpeg" }));
});

for (const button of document.querySelectorAll("[data-tab]")) {
  button.addEventListener("click", () => {
    tab = button.dataset.tab;
    for (const other of document.querySelectorAll("[data-tab]")) other.setAttribute("aria-selected", other === button);
    for (const panel of document.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== tab;
    show("speech-sound", speech !== null && (tab === "file" || tab === "record"));
  });
}

// ---- recording ----------------------------------------------------------------------------------------------------

let recorder = null;

async function startRecording() {
  if (!navigator.mediaDevices) {
    say("This browser records only on pages of this machine (127.0.0.1) or over https; choose a file instead.");
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    say(`The microphone cannot be used (${error.message}); allow it in the browser, or choose a file.`);
    return;
  }
  const pieces = [], started = Date.now();
  recorder = new MediaRecorder(stream);
  const label = document.querySelector("#record span");
  const clock = setInterval(() => {
    const seconds = (Date.now() - started) / 1000;
    label.textContent = `Stop, ${seconds.toFixed(0)} s`;
    if (seconds >= Number(limits.seconds) - 1) recorder.stop();
  }, 200);
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.addEventListener("stop", () => {
    clearInterval(clock);
    for (const track of stream.getTracks()) track.stop();
    const type = recorder.mimeType.split(";")[0];
    chooseSpeech(new File(pieces, `recording.${type.split("/")[1]}`, { type }));
    label.textContent = "Record again";
    find("record").classList.remove("on");
    recorder = null;
  });
  recorder.start();
  find("record").classList.add("on");
}

find("record").addEventListener("click", () => (recorder ? recorder.stop() : startRecording()));

// ---- controls -----------------------------------------------------------------------------------------------------

function showValue(range) {
  const output = range.parentElement.querySelector("output");
  output.textContent = "gaze" in range.dataset ? `${range.value}°` : String(Number(range.value));
}

function showUsualStrength() {  // the slider that the user has not moved starts where this kind of motion does
  const [motion, scale] = ["motion", "expression_scale"].map((name) => document.querySelector(`[data-control=${name}]`));
  const untouched = scale.value === scale.defaultValue;
  scale.defaultValue = scale.dataset[motion.selectedOptions[0].text];
  if (untouched) scale.value = scale.defaultValue;
}

function showDependent() {
  show("background-colour", find("background").value === "colour");
  show("background-file", find("background").value === "picture");
  show("reference-parts", find("reference-video").files.length > 0);
  const [emotion, level] = ["emotion", "level"].map((name) => document.querySelector(`[data-control=${name}]`));
  level.closest("label").hidden = emotion.selectedIndex === 0;
  showUsualStrength();
  document.querySelectorAll("input[type=range]").forEach(showValue);
}

find("form").addEventListener("input", showDependent);
find("form").addEventListener("reset", (event) => {
  event.preventDefault();  // portrait and speech are kept
  for (const field of document.querySelectorAll(".controls input, .controls select")) {
    if (field.type === "file") field.value = "";
    else if (field.type === "checkbox") field.checked = field.defaultChecked;
    else if (field.tagName === "SELECT") field.selectedIndex = 0;
    else field.value = field.defaultValue;
  }
  showDependent();
});
find("dice").addEventListener("click", () => { find("seed").value = Math.floor(Math.random() * 10000); });
showDependent();

function chosenControls() {
  const chosen = {};
  for (const field of document.querySelectorAll("[data-control]")) {
    const [value, usual] = field.type === "checkbox"
      ? [field.checked ? "yes" : "no", "no"]
      : [field.value, field.tagName === "SELECT" ? field.options[0].value : field.defaultValue];
    if (value !== usual) chosen[field.dataset.control] = value;
  }
  const gaze = [...document.querySelectorAll("[data-gaze]")].map((range) => range.value);
  if (gaze.some((degrees) => degrees !== "0")) chosen.gaze = gaze.join(",");
  const background = find("background").value;
  if (background === "blur") chosen.background = "blur";
  if (background === "colour") chosen.background = find("background-colour").value;
  if (find("reference-video").files.length) {
    const parts = [...document.querySelectorAll("#reference-parts input:checked")].map((box) => box.value);
    chosen.reference_parts = parts.join(",");
  }
  return chosen;
}

// ---- making a video -----------------------------------------------------------------------------------------------

function readForm() {
  const form = new FormData();
  if (!portrait) throw new Error("There is no portrait; choose an image of one face.");
  form.append("controls", JSON.stringify(chosenControls()));
  form.append("portrait", portrait, portrait.name);
  if (tab === "text") {
    if (!find("text").value.trim()) throw new Error("There is no text to speak; type a few words.");
    form.append("text", find("text").value);
    form.append("language", find("language").value);
  } else if (tab === "idle") {
    form.append("idle", find("idle").value);
  } else {
    if (!speech) throw new Error("There is no speech; choose a recording, record one, or type a text.");
    form.append("speech", speech, speech.name);
  }
  const files = { reference_video: find("reference-video").files[0] };
  if (find("background").value === "picture") {
    files.background = find("background-file").files[0];
    if (!files.background) throw new Error("There is no background image; choose one.");
  }
  for (const [name, file] of Object.entries(files)) {
    if (!file) continue;
    const most = Number(name === "background" ? limits.imageBytes : limits.mediaBytes);
    if (file.size > most) throw new Error(`${file.name}: larger than ${Math.floor(most / 1e6)} MB, the limit of this page; use a smaller file.`);
    form.append(name, file, file.name);
  }
  return form;
}

async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The page's server does not answer; is 'expnet ui' still running?");
  }
  if (answer.status === 204) return null;
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

async function forget() {
  if (job === null) return;
  const old = job;
  job = null;
  await fetch(`jobs/${old}`, { method: "DELETE", keepalive: true });
}

function working(on) {
  find("make").disabled = on;
  show("progress", on);
  if (!on) preview(find("waiting"), null);
}

function showProgress(status) {
  find("stage").textContent = status.stage;
  find("count").textContent = status.frames ? `${status.drawn} of ${status.frames} frames` : "";
  const bar = find("bar");
  if (status.frames) {
    bar.max = status.frames;
    bar.value = status.drawn;
  } else {
    bar.removeAttribute("value");
  }
}

// Wait until a video is finished; null if the user cancels.
async function follow(identifier) {
  while (!cancelled) {
    const status = await ask(`jobs/${identifier}`);
    if (status.state === "failed") throw new Error(status.error);
    if (status.state === "done") return status;
    showProgress(status);
    await new Promise((wake) => setTimeout(wake, POLL_MILLISECONDS));
  }
  return null;
}

function clearStage() {
  const video = find("video");
  video.removeAttribute("src");
  video.load();
  for (const name of ["video", "downloads", "curves", "hint"]) show(name, false);
}

function showResult(status) {
  const video = find("video");
  video.src = `jobs/${status.id}/video.mp4`;
  find("download-video").href = video.src;
  find("download-coefficients").href = `jobs/${status.id}/coefficients.npz`;
  curves = status.curves;
  for (const name of ["video", "downloads", "curves"]) show(name);
  drawCharts();
  video.play().catch(() => {});  // some browsers need a click before they play
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  let form;
  try {
    form = readForm();
  } catch (error) {
    say(error.message);
    return;
  }
  cancelled = false;
  clearStage();
  working(true);
  showProgress({ stage: "sending", frames: 0 });
  preview(find("waiting"), portrait);
  find("screen").scrollIntoView({ block: "nearest", behavior: "smooth" });
  try {
    await forget();
    job = (await ask("jobs", { method: "POST", body: form })).id;
    if (cancelled) await forget();  // cancelled while the form was being sent
    const status = await follow(job);
    if (status !== null) showResult(status);
  } catch (error) {
    if (!cancelled) say(error.message);
  }
  working(false);
  show("hint", find("video").hidden);
});

find("cancel").addEventListener("click", () => {
  cancelled = true;
  forget();
});
window.addEventListener("pagehide", forget);
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// ---- curves -------------------------------------------------------------------------------------------------------

const LEFT = 40, RIGHT = 8, TOP = 6, BOTTOM = 18;

function drawn(kind, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function roundStep(span, count) {
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
}

function drawChart(chart, lines, filled) {
  const values = Object.values(lines).flat();
  const width = chart.clientWidth, height = chart.clientHeight, seconds = (lines[Object.keys(lines)[0]].length - 1) / curves.fps;
  const low = Math.min(0, ...values), high = Math.max(...values, low + 1e-3);
  const x = (time) => LEFT + (time / seconds) * (width - LEFT - RIGHT);
  const y = (value) => height - BOTTOM - ((value - low) / (high - low)) * (height - TOP - BOTTOM);
  chart.replaceChildren();
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const step = roundStep(high - low, 4);
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) {
    chart.append(drawn("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
    chart.append(drawn("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, String(Number(tick.toPrecision(2)))));
  }
  const pause = roundStep(seconds, Math.max(width / 110, 2));
  for (let time = 0; time <= seconds + 1e-9; time += pause) {
    const anchor = x(time) > width - 24 ? "end" : "middle";
    chart.append(drawn("text", { x: x(time), y: height - 4, "text-anchor": anchor }, `${Number(time.toPrecision(3))} s`));
  }
  for (const [name, line] of Object.entries(lines)) {
    const path = line.map((value, k) => `${x(k / curves.fps).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    if (filled) chart.append(drawn("path", { class: "area", d: `M${x(0)} ${y(low)}L${path}L${x(seconds)} ${y(low)}Z` }));
    chart.append(drawn("path", { class: `line ${name}`, d: `M${path}` }));
  }
  chart.append(drawn("line", { class: "now", y1: TOP, y2: height - BOTTOM }));
  chart.at = (time) => x(Math.min(time, seconds));
  chart.timeAt = (place) => Math.min(Math.max((place - LEFT) / (width - LEFT - RIGHT), 0), 1) * seconds;
  moveNow();
}

function drawCharts() {
  if (curves === null || find("curves").hidden) return;
  drawChart(find("mouth-chart"), { mouth: curves.mouth }, true);
  drawChart(find("head-chart"), { pitch: curves.pitch, yaw: curves.yaw, roll: curves.roll }, false);
}

function moveNow() {
  for (const chart of document.querySelectorAll(".chart")) {
    const now = chart.querySelector(".now");
    if (!now) continue;
    const place = chart.at(find("video").currentTime);
    now.setAttribute("x1", place);
    now.setAttribute("x2", place);
  }
}

function keepMoving() {
  moveNow();
  if (!find("video").paused) requestAnimationFrame(keepMoving);
}

find("video").addEventListener("play", keepMoving);
find("video").addEventListener("seeked", moveNow);
window.addEventListener("resize", drawCharts);
for (const chart of document.querySelectorAll(".chart")) {
  chart.addEventListener("pointerdown", (event) => {
    find("video").currentTime = chart.timeAt(event.clientX - chart.getBoundingClientRect().left);
  });
}
