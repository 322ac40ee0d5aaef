"use strict";
// The frame, and over it the masks: one picture per variant, or one for all.

const COLOURS = ["#009ede", "#e6550d", "#40ba50", "#de3c8a", "#f0be14", "#8c64e1", "#14afa0", "#b27846"];
const colourOf = (variant) => COLOURS[variant % COLOURS.length];
const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
const OTHERS = 0.35; // share of the opacity that objects have which are not chosen

const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));

const stage = {
  panels: new Map(), // what a panel shows -> its elements

  panel(key, name, size) {
    const figure = document.createElement("figure");
    figure.className = "panel";
    const picture = document.createElement("div");
    picture.className = "picture";
    picture.style.aspectRatio = `${size[1]} / ${size[0]}`;
    const image = document.createElement("img");
    image.alt = "";
    const canvas = document.createElement("canvas");
    [canvas.height, canvas.width] = size;
    canvas.dataset.variants = key;
    const caption = document.createElement("figcaption");
    picture.append(image, canvas);
    figure.append(picture, caption);
    return { figure, image, canvas, caption, name };
  },

  // Panels for the chosen variants; the same ones are kept.
  arrange(variants, layout, size, names) {
    const keys = layout === "overlay" ? [variants.join(" ")] : variants.map(String);
    const wanted = `${keys.join("|")} ${size}`;
    if (stage.arranged === wanted) return;
    stage.arranged = wanted;
    stage.panels = new Map(keys.map((key) => [key, stage.panel(key, names, size)]));
    const node = document.getElementById("stage");
    const rows = Math.ceil(keys.length / 4), columns = Math.ceil(keys.length / rows);
    node.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    node.style.maxWidth = `min(100%, ${Math.round((55 * columns * size[1]) / (rows * size[0]))}vh)`; // strips stay in view
    node.replaceChildren(...[...stage.panels.values()].map((panel) => panel.figure));
  },

  draw(source, found, size, { object, opacity, truth, names }) {
    for (const [key, panel] of stage.panels) {
      const variants = key.split(" ").map(Number);
      if (panel.image.getAttribute("src") !== source) panel.image.src = source;
      stage.paint(panel.canvas, found, size, variants, object, opacity, truth);
      panel.caption.replaceChildren(...variants.flatMap((variant) => {
        const one = found.variants[variant][object];
        const swatch = document.createElement("span");
        swatch.className = "swatch";
        swatch.style.background = colourOf(variant);
        const text = document.createElement("span");
        text.textContent = `${names[variant]}  ${one ? `IoU ${number(one.iou)}  predicted ${number(one.predicted_iou)}` : "not tracked"}`;
        return [swatch, text];
      }));
    }
  },

  paint(canvas, found, size, variants, object, opacity, truth) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(size[1], size[0]);
    const covered = new Float32Array(size[0] * size[1]);
    const set = (at, colour, alpha) => image.data.set([...colour, alpha], 4 * at);
    const edges = [];
    for (const variant of variants) {
      const colour = rgb(colourOf(variant));
      for (const [key, one] of Object.entries(found.variants[variant])) {
        const mask = decodeMask(one.mask, size);
        const share = opacity * (key === object ? 1 : OTHERS);
        for (let at = mask.indexOf(1); at >= 0; at = mask.indexOf(1, at + 1)) {
          const before = covered[at], total = before + share || 1; // where masks overlap their colours mix
          for (let channel = 0; channel < 3; channel++) {
            image.data[4 * at + channel] = (image.data[4 * at + channel] * before + colour[channel] * share) / total;
          }
          covered[at] = before + share;
          image.data[4 * at + 3] = 255 * Math.max(share, image.data[4 * at + 3] / 255);
        }
        if (key === object) edges.push([colour, outline(mask, size)]);
      }
    }
    for (const [colour, places] of edges) for (const at of places) set(at, colour, 255);
    if (truth) {
      for (const known of Object.values(found.truth)) {
        if (known === null) continue;
        const mask = typeof known === "string" ? decodeMask(known, size) : boxMask(known, size);
        for (const at of outline(mask, size)) set(at, [255, 255, 255], 255);
      }
    }
    context.putImageData(image, 0, 0);
  },
};
