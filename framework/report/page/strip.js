"use strict";
// What memory held and what was read on a frame, and what was decided by which numbers. A click jumps.

const ANCHOR = -1;

// What there is to say of every memory: those read as spatial memories in the order of attention, then the others.
function memoriesOf(use, before) {
  const found = new Map();
  const at = (frame) => {
    if (!found.has(frame)) found.set(frame, { frame, held: use.held.includes(frame) });
    return found.get(frame);
  };
  const items = [...use.spatial.map(([frame, slot]) => ["spatial", frame, slot]), ...use.pointers.map(([frame, ago]) => ["pointer", frame, ago])];
  items.forEach(([kind, frame, place], index) => {
    const order = kind === "spatial" ? index : index - use.spatial.length;
    const item = { place, order };
    for (const name of ["gain", "bias", "attention"]) if (use[name].length) item[name] = use[name][index];
    at(frame)[kind] = item;
  });
  const read = [...found.values()];
  const others = new Set([...use.held, ...(before ? before.held : [])]);
  const left = [...others].filter((frame) => !found.has(frame)).sort((a, b) => a - b).map(at);
  return [...read, ...left];
}

const strip = {
  thumbnails: new Map(), // folder, variant, object, frame -> canvas
  KEPT: 600,

  async draw(node, folder, size, frame, found, before, { variants, object, names }, jump) {
    const lines = variants.map((variant) => {
      const one = found.variants[variant][object], last = before && before.variants[variant][object];
      const line = document.createElement("div");
      line.className = "strip";
      line.dataset.variant = variant;
      line.append(strip.title(folder, variant, names[variant], frame, one, last));
      if (one) {
        const memories = document.createElement("div");
        memories.className = "memories";
        const all = memoriesOf(one.memory, last ? last.memory : null);
        memories.append(...all.map((memory) => strip.memory(folder, size, variant, object, memory, jump)));
        line.append(memories, strip.reasons(folder, one.memory.reasons));
      }
      return line;
    });
    node.replaceChildren(...lines);
  },

  title(folder, variant, name, frame, one, last) {
    const title = document.createElement("h2");
    const swatch = document.createElement("i");
    swatch.className = "swatch";
    swatch.style.background = colourOf(variant);
    const about = document.createElement("span");
    about.textContent = one ? strip.decided(folder, frame, one.memory, last ? last.memory : null) : "not tracked on this frame";
    title.append(swatch, name, about);
    return title;
  },

  decided(folder, frame, use, before) {
    const gone = before ? before.held.filter((held) => !use.held.includes(held)) : [];
    const kept = use.held.includes(frame) ? "remembered" : "not remembered";
    const read = `read ${use.spatial.length} memories, ${use.pointers.length} pointers`;
    return `${read} · ${kept} · holds ${new Set(use.held).size}${gone.length ? ` · forgot ${gone.map((held) => store.number(folder, held)).join(", ")}` : ""}`;
  },

  memory(folder, size, variant, object, memory, jump) {
    const node = document.createElement("button");
    const { frame, spatial, pointer, held } = memory;
    node.className = `memory ${spatial ? (spatial.place === ANCHOR ? "anchor" : "spatial") : pointer ? "pointer" : held ? "held" : "gone"}`;
    node.dataset.frame = frame;
    if (spatial) node.dataset.slot = spatial.place;
    if (pointer) node.dataset.ago = pointer.place;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [152, 114];
    const text = document.createElement("span");
    text.innerHTML = strip.words(folder, memory).map((line) => `<div>${line}</div>`).join("");
    node.append(canvas, text);
    node.onclick = () => jump(frame);
    strip.thumbnail(canvas, folder, size, variant, object, frame);
    return node;
  },

  words(folder, { frame, spatial, pointer, held }) {
    const lines = [`<b>${store.number(folder, frame)}</b>${held ? "" : " · gone"}`];
    const weights = (item) => ["gain", "bias", "attention"].filter((name) => name in item).map((name) => {
      const value = item[name];
      return name === "attention" ? `attention ${(100 * value).toFixed(1)} %` : `${name} ${value === null ? "−∞" : value.toFixed(2)}`;
    });
    if (spatial) lines.push(`${spatial.order + 1}. ${spatial.place === ANCHOR ? "anchor" : `slot ${spatial.place}`}`, ...weights(spatial));
    if (pointer) lines.push(`pointer ${pointer.place} ago`, ...weights(pointer));
    if (!spatial && !pointer) lines.push("not read");
    return lines;
  },

  // The frame about the mask that was remembered. Drawn when it is there; kept, since the next frame shows most again.
  async thumbnail(canvas, folder, size, variant, object, frame) {
    const key = `${folder} ${variant} ${object} ${frame}`;
    if (!strip.thumbnails.has(key)) {
      strip.thumbnails.set(key, strip.render(folder, size, variant, object, frame));
      if (strip.thumbnails.size > strip.KEPT) strip.thumbnails.delete(strip.thumbnails.keys().next().value);
    }
    const picture = await strip.thumbnails.get(key);
    if (picture) canvas.getContext("2d").drawImage(picture, 0, 0);
  },

  async render(folder, size, variant, object, frame) {
    const found = await store.frame(folder, frame);
    if (!found) return null;
    const image = new Image();
    image.src = store.image(folder, frame);
    await image.decode().catch(() => null);
    const one = found.variants[variant][object];
    const mask = one ? decodeMask(one.mask, size) : new Uint8Array(size[0] * size[1]);
    const [left, top, width, height] = strip.crop(boundingBox(mask, size), size);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [152, 114];
    const context = canvas.getContext("2d");
    const across = image.naturalWidth / size[1] || 1;
    context.drawImage(image, left * across, top * across, width * across, height * across, 0, 0, canvas.width, canvas.height);
    const over = document.createElement("canvas");
    [over.height, over.width] = size;
    stage.paint(over, found, size, one ? [variant] : [], object, 0.35, false);
    context.imageSmoothingEnabled = false;
    context.drawImage(over, left, top, width, height, 0, 0, canvas.width, canvas.height);
    return canvas;
  },

  // 4 : 3 about a box, twice as large, inside the frame where it fits; all of the frame without a box.
  crop(box, [height, width]) {
    const [left, top, right, bottom] = box || [0, 0, width, height];
    const grow = box ? 2 : 1;
    const wide = Math.min(Math.max(grow * (right - left), (grow * 4 * (bottom - top)) / 3, width / 6), Math.max(width, (4 * height) / 3));
    const high = (wide * 3) / 4;
    const place = (low, top, span, most) => (span >= most ? (most - span) / 2 : Math.min(Math.max((low + top - span) / 2, 0), most - span));
    return [place(left, right, wide, width), place(top, bottom, high, height), wide, high];
  },

  reasons(folder, reasons) {
    const list = document.createElement("ul");
    list.className = "reasons";
    for (const [decision, those] of strip.grouped(reasons)) {
      const item = document.createElement("li");
      const head = document.createElement("b");
      const own = those.filter((reason) => reason.frame === null);
      const all = own.length && own.every(holds);
      head.textContent = own.length ? `${decision}: ${all ? "yes" : "no"}` : decision;
      item.append(head, ...those.flatMap((reason) => {
        const part = document.createElement("span");
        part.className = holds(reason) ? "holds" : reason.frame === null ? "fails" : "";
        const about = reason.frame === null ? "" : ` (${store.number(folder, reason.frame)})`;
        part.textContent = `${reason.name}${about}: ${plain(reason.value)} ${reason.relation} ${plain(reason.threshold)} ${holds(reason) ? "✓" : "✗"}`;
        part.title = `${reason.value} ${reason.relation} ${reason.threshold}`;
        return [" · ", part];
      }));
      list.append(item);
    }
    return list;
  },

  grouped(reasons) {
    const groups = new Map();
    for (const reason of reasons) groups.set(reason.decision, [...(groups.get(reason.decision) || []), reason]);
    return groups;
  },
};

const plain = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

function holds({ value, relation, threshold }) {
  switch (relation) {
    case ">": return value > threshold;
    case ">=": return value >= threshold;
    case "<": return value < threshold;
    case "<=": return value <= threshold;
    default: return value === threshold;
  }
}
