"use strict";
// What is chosen, and everything that follows from a change of it. The address keeps the choice.

const choice = { sequence: null, frame: 0, object: null, variants: [], layout: "beside", opacity: 0.5, truth: true, measure: 0, spans: [] };
const MOST = 8; // variants at once
const byId = (id) => document.getElementById(id);
const names = () => store.comparison.variants.map((variant) => variant.name);
let sequence = null; // of the store, once it is read
let drawing = 0;

// Called by comparison.js.
store.receive = (comparison) => {
  store.comparison = comparison;
  document.title = byId("title").textContent = comparison.title;
  byId("sequence").append(...comparison.sequences.map((one) => new Option(one.name, one.folder)));
  byId("variants").append(...comparison.variants.map((variant, index) => chooser(variant.name, index)));
  byId("notes").textContent = comparison.notes;
  moments.offer(comparison.moments);
  const asked = new URLSearchParams(location.hash.slice(1));
  choice.variants = (asked.get("variants") || comparison.variants.map((_, index) => index).slice(0, 3).join(",")).split(",").map(Number)
    .filter((index) => index < comparison.variants.length).slice(0, MOST);
  choice.layout = asked.get("layout") || choice.layout;
  choice.frame = Number(asked.get("frame")) || 0;
  const found = comparison.sequences.find((one) => one.name === asked.get("sequence"));
  byId("layout").value = choice.layout;
  byId("opacity").value = choice.opacity;
  byId("truth").checked = choice.truth;
  if (comparison.sequences.length) open((found || comparison.sequences[0]).folder, choice.frame, asked.get("object"));
};

function chooser(name, index) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = index;
  box.onchange = () => {
    const wanted = box.checked ? [...choice.variants, index].sort((a, b) => a - b) : choice.variants.filter((one) => one !== index);
    if (wanted.length >= 1 && wanted.length <= MOST) choice.variants = wanted;
    refresh();
  };
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.background = colourOf(index);
  label.append(box, swatch, name);
  return label;
}

async function open(folder, frame = 0, object = null) {
  sequence = null;
  choice.sequence = folder;
  byId("sequence").value = folder;
  const read = await store.sequence(folder);
  if (choice.sequence !== folder) return;
  sequence = read;
  const { about } = sequence;
  choice.object = about.objects.includes(object) ? object : about.objects[0];
  byId("object").replaceChildren(...about.objects.map((key) => new Option(key, key)));
  byId("scrubber").max = about.length - 1;
  const spans = Object.keys(about.attributes);
  choice.spans = choice.spans.filter((name) => spans.includes(name));
  if (!choice.spans.length) choice.spans = spans.slice(0, 1);
  byId("spans").replaceChildren(...spans.map(spanButton));
  show(frame);
}

function spanButton(name) {
  const button = document.createElement("button");
  button.textContent = name;
  button.dataset.span = name;
  button.onclick = () => {
    choice.spans = choice.spans.includes(name) ? choice.spans.filter((one) => one !== name) : [...choice.spans, name];
    refresh();
  };
  return button;
}

function show(frame) {
  if (!sequence) return;
  choice.frame = Math.min(Math.max(frame, 0), sequence.about.length - 1);
  refresh();
}

async function refresh() {
  if (!sequence) return;
  const turn = ++drawing;
  const { about, curves: rows } = sequence, folder = choice.sequence, { frame } = choice;
  byId("scrubber").value = frame;
  byId("frame").textContent = `${store.number(folder, frame)} / ${store.number(folder, about.length - 1)}`;
  byId("object").value = choice.object;
  for (const box of byId("variants").querySelectorAll("input")) box.checked = choice.variants.includes(Number(box.value));
  for (const button of byId("spans").children) button.setAttribute("aria-pressed", choice.spans.includes(button.dataset.span));
  const address = new URLSearchParams({ sequence: about.name, frame, object: choice.object, variants: choice.variants, layout: choice.layout });
  history.replaceState(null, "", `#${address}`);
  const spans = choice.spans.flatMap((name) => about.attributes[name]);
  curves.draw(byId("curves"), rows, about.length, { ...choice, spans, folder });
  moments.list(store.comparison.moments, choice.variants, names(), jumpTo);
  moments.differences(byId("differences"), about.pairs, choice.variants, names(), folder, show);
  const [found, before] = await Promise.all([store.frame(folder, frame), store.frame(folder, frame - 1)]);
  if (turn !== drawing) return; // another frame was asked for meanwhile
  stage.arrange(choice.variants, choice.layout, about.size, names());
  stage.draw(store.image(folder, frame), found, about.size, { ...choice, names: names() });
  strip.draw(byId("strips"), folder, about.size, frame, found, before, { ...choice, names: names() }, show);
  document.body.dataset.shown = `${about.name} ${frame}`;
}

function jumpTo(moment) {
  const { folder } = store.comparison.sequences.find((one) => one.name === moment.sequence);
  if (folder === choice.sequence && sequence) {
    choice.object = moment.object;
    show(moment.frame);
  } else open(folder, moment.frame, moment.object);
}

function step(direction) {
  const here = moments.shown.filter((moment) => sequence && moment.sequence === sequence.about.name);
  const frames = [...new Set(here.map((moment) => moment.frame))].sort((a, b) => direction * (a - b));
  const next = frames.find((frame) => direction * (frame - choice.frame) > 0);
  if (next !== undefined) show(next);
}

const play = {
  timer: null,
  toggle() {
    if (play.timer) clearInterval(play.timer);
    play.timer = play.timer ? null : setInterval(() => (choice.frame + 1 < sequence.about.length ? show(choice.frame + 1) : play.toggle()), 100);
    byId("play").textContent = play.timer ? "pause" : "play";
  },
};

byId("sequence").onchange = (event) => open(event.target.value);
byId("object").onchange = (event) => { choice.object = event.target.value; refresh(); };
byId("layout").onchange = (event) => { choice.layout = event.target.value; refresh(); };
byId("opacity").oninput = (event) => { choice.opacity = Number(event.target.value); refresh(); };
byId("truth").onchange = (event) => { choice.truth = event.target.checked; refresh(); };
byId("measure").onchange = (event) => { choice.measure = Number(event.target.value); refresh(); };
byId("kind").onchange = byId("attribute").onchange = refresh;
byId("scrubber").oninput = (event) => show(Number(event.target.value));
byId("play").onclick = play.toggle;
byId("curves").onclick = (event) => show(curves.frameAt(event));
new ResizeObserver(refresh).observe(byId("curves"));
matchMedia("(prefers-color-scheme: dark)").onchange = refresh;
document.onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  const far = event.shiftKey ? 10 : 1;
  const keys = {
    ArrowLeft: () => show(choice.frame - far),
    ArrowRight: () => show(choice.frame + far),
    Home: () => show(0),
    End: () => show(Infinity),
    " ": play.toggle,
    n: () => step(1),
    p: () => step(-1),
  };
  if (event.key in keys && !(event.key === " " && event.target.tagName === "BUTTON")) {
    event.preventDefault();
    keys[event.key]();
  }
};
