"use strict";
// COCO run lengths (pycocotools): column by column, background first, each length as the difference to the one before
// the last, in groups of five bits.

function runLengths(counts) {
  const lengths = [];
  for (let at = 0; at < counts.length; ) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const bits = counts.charCodeAt(at++) - 48;
      value |= (bits & 31) << shift;
      shift += 5;
      more = (bits & 32) !== 0;
      if (!more && bits & 16) value |= -1 << shift;
    }
    if (lengths.length > 2) value += lengths[lengths.length - 2];
    lengths.push(value);
  }
  return lengths;
}

// 1 inside and 0 outside, row by row.
function decodeMask(counts, [height, width]) {
  const mask = new Uint8Array(height * width);
  let at = 0;
  runLengths(counts).forEach((length, index) => {
    if (index % 2) for (let i = at; i < at + length; i++) mask[(i % height) * width + Math.floor(i / height)] = 1;
    at += length;
  });
  return mask;
}

// A box as a mask; [xmin, ymin, xmax, ymax] with exclusive maxima.
function boxMask([xmin, ymin, xmax, ymax], [height, width]) {
  const mask = new Uint8Array(height * width);
  const clip = (value, most) => Math.min(Math.max(Math.round(value), 0), most);
  for (let y = clip(ymin, height); y < clip(ymax, height); y++) mask.fill(1, y * width + clip(xmin, width), y * width + clip(xmax, width));
  return mask;
}

// Pixels inside that touch one outside; the border of the frame is outside.
function outline(mask, [height, width]) {
  const found = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (!mask[at]) continue;
      const inner = x > 0 && x < width - 1 && y > 0 && y < height - 1;
      if (!inner || !mask[at - 1] || !mask[at + 1] || !mask[at - width] || !mask[at + width]) found.push(at);
    }
  }
  return found;
}

// left, top, right, bottom with exclusive maxima; null for an empty mask.
function boundingBox(mask, [height, width]) {
  let left = width, top = height, right = 0, bottom = 0;
  for (let at = mask.indexOf(1); at >= 0; at = mask.indexOf(1, at + 1)) {
    const x = at % width, y = Math.floor(at / width);
    left = Math.min(left, x); right = Math.max(right, x + 1);
    top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
  }
  return right ? [left, top, right, bottom] : null;
}
