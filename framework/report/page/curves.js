"use strict";
// One number of all chosen variants over the frames, with the spans of attributes behind it. A click jumps.

const curves = {
  MARGIN: { left: 40, right: 8, top: 10, bottom: 18 },
  view: null, // {length, width}: what a click is told by

  // Curves stay as they are while the frame changes.
  draw(canvas, rows, length, choice) {
    const ink = (name) => getComputedStyle(document.body).getPropertyValue(name);
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return; // it has no place yet
    const { variants, object, measure, frame, spans } = choice;
    const drawn = JSON.stringify([width, height, scale, ink("--ink"), variants, object, measure, spans]);
    if (curves.drawn !== drawn || curves.rows !== rows) {
      curves.layer = document.createElement("canvas");
      curves.lines(curves.layer, rows, length, choice, width, height, scale, ink);
      [curves.drawn, curves.rows] = [drawn, rows];
    }
    [canvas.width, canvas.height] = [width * scale, height * scale];
    const context = canvas.getContext("2d");
    context.drawImage(curves.layer, 0, 0);
    context.scale(scale, scale);
    curves.view = { length, width };
    const { left, right, top, bottom } = curves.MARGIN;
    const at = left + ((width - left - right) * frame) / Math.max(length - 1, 1);
    context.fillStyle = ink("--ink");
    context.fillRect(at - 0.5, top, 1, height - bottom - top);
  },

  lines(canvas, rows, length, { variants, object, measure, spans, folder }, width, height, scale, ink) {
    [canvas.width, canvas.height] = [width * scale, height * scale];
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.font = "11px system-ui, sans-serif";
    const { left, right, top, bottom } = curves.MARGIN;
    const [low, high] = measure === 2 ? curves.range(rows, variants, object) : [0, 1];
    const x = (at) => left + ((width - left - right) * at) / Math.max(length - 1, 1);
    const y = (value) => top + ((height - top - bottom) * (high - value)) / (high - low);
    context.fillStyle = ink("--shade");
    for (const [first, last] of spans) context.fillRect(x(first - 0.5), top, x(last + 0.5) - x(first - 0.5), height - top - bottom);
    context.strokeStyle = ink("--line");
    context.fillStyle = ink("--faint");
    context.textAlign = "right";
    for (const value of measure === 2 ? [low, 0, high] : [0, 0.5, 1]) {
      context.beginPath();
      context.moveTo(left, y(value));
      context.lineTo(width - right, y(value));
      context.stroke();
      context.fillText(value.toFixed(measure === 2 ? 0 : 1), left - 6, y(value) + 4);
    }
    context.textAlign = "center";
    for (let part = 0; part <= 4; part++) {
      const at = Math.round(((length - 1) * part) / 4);
      context.fillText(String(store.number(folder, at)), Math.min(Math.max(x(at), left + 4), width - right - 10), height - 4);
    }
    context.lineWidth = 1.6;
    for (const variant of variants) {
      context.strokeStyle = colourOf(variant);
      context.beginPath();
      let down = false;
      for (const [at, objects] of rows) {
        const value = curves.value(objects, variant, object, measure);
        if (value === null) down = false;
        else if (down) context.lineTo(x(at), y(value));
        else {
          context.moveTo(x(at), y(value));
          down = true;
        }
      }
      context.stroke();
    }
  },

  value(objects, variant, object, measure) {
    const found = objects[object] && objects[object][variant];
    return found ? found[measure] : null;
  },

  range(rows, variants, object) {
    let low = -1, high = 1;
    for (const [, objects] of rows) {
      for (const variant of variants) {
        const value = curves.value(objects, variant, object, 2);
        if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
      }
    }
    return [low, high];
  },

  frameAt(event) {
    const { length, width } = curves.view, { left, right } = curves.MARGIN;
    const share = (event.offsetX - left) / (width - left - right);
    return Math.round(Math.min(Math.max(share, 0), 1) * (length - 1));
  },
};
